"""The salesforce connector: by collections, and by jobs."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bench.destinations import Bench
from retl.testing import Conformance, Row
from tests.destinations.simulators.base import Fault, Window
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.salesforce import SalesforceOrg
from tests.destinations.simulators.salesforce_records import KEY


class Collections(SimulatedCase):
    """Fewer rows than it takes for a job."""

    connector = "salesforce"
    object = "Account"
    key_field = KEY
    name_field = "Name"
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.vendor: SalesforceOrg = SalesforceOrg()

    def config(self) -> Mapping[str, Any]:
        return {"instanceUrl": self.vendor.url, "quotaPause": "1s", **self.settings}

    def login(self) -> Mapping[str, str]:
        return {"client_id": self.vendor.client, "client_secret": self.vendor.secret}

    def wrong_login(self) -> Mapping[str, str]:
        return {"client_id": self.vendor.client, "client_secret": "consumer-secret-2"}

    async def records(self) -> Mapping[str, str]:
        return {record[KEY]: record["Name"] for record in self.vendor.records.values()}

    async def events(self) -> Sequence[str]:
        return [record[KEY] for record in self.vendor.records.values()]

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.accounts.put({KEY: row.key, "Name": row.name} for row in rows)

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    async def refuse_for_rate(self, calls: int) -> None:
        body = [
            {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API) Limit exceeded."}
        ]
        self.vendor.faults.next.extend([Fault(403, {}, body)] * calls)

    async def expire_login(self) -> None:
        self.vendor.expire_tokens()


class Jobs(Collections):
    """Enough rows for jobs."""

    settings: ClassVar[Mapping[str, Any]] = {"bulkFrom": 1}


class TestCollections(Conformance):
    """Collections."""

    case = Collections


class TestJobs(Conformance):
    """Jobs."""

    case = Jobs


class Wide(Collections):
    """As many records a call as the vendor takes."""

    batch_size = 200
    settings: ClassVar[Mapping[str, Any]] = {"bulkFrom": None}


class Many(Collections):
    """As many records a job as the connector sends."""

    batch_size = 10_000


DAILY = Window(100_000, 86_400.0)
BENCHES = [
    Bench("salesforce", Wide, documented=DAILY),
    Bench("salesforce-jobs", Many, documented=DAILY),
]
