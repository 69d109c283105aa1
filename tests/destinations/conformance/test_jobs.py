"""A connector all of whose batches are jobs, with a mode that replaces: the kit and the engine hold for these, too."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Batching,
    Destination,
    Ended,
    JobResults,
    JobStatus,
    NotBegun,
    Outcome,
    Rejected,
    Running,
    Skipped,
    Target,
    TryLater,
)
from retl.destinations.registry import DESTINATIONS
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials, ConnectorInfo
from retl.testing import ConnectorCase, Row, Stage
from retl.testing.conformance import amid, begin, expect
from tests.destinations.conformance.replacing import Replacing

NUMBERS = itertools.count()


class Bulk:
    """The vendor: records, and jobs that end when they are asked for the second time."""

    served: dict[str, "Bulk"] = {}  # noqa: RUF012 - shared on purpose: connectors find their vendor here

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.jobs: dict[str, tuple[str, list[dict[str, str]]]] = {}
        self.asked: dict[str, int] = {}
        self.outcomes: dict[str, dict[str, Outcome]] = {}
        self.replaced: list[set[str]] = []
        self.troubles: list[TryLater] = []


class BulkConfig(ConnectorConfig):
    """Which vendor."""

    vendor: str


def capabilities(config: BulkConfig) -> Capabilities:
    return Capabilities(
        frozenset({"upsert", "insert", "update", "delete", "mirror"}),
        10,
        10,
        "json",
        declared={"replace": "mirror"},
        results="job",
        every_row=frozenset({"replace"}),
    )


class BulkDestination(Destination):
    """Everything travels as a job."""

    name = "bulk"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, BulkConfig)
        self.capabilities = capabilities(config)
        self.vendor = Bulk.served[config.vendor]

    async def open(self, target: Target) -> None:
        self.target = target
        self.sent: set[str] = set()

    def batching(self, operation: str, rows: int) -> Batching:
        return Batching(10, 10, asynchronous=not (self.target.mode == "replace" and operation == "delete"))

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        return [ACKNOWLEDGED] * batch.size  # of a mode that replaces: `complete` removes them

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        assert batch.payloads is not None
        if self.vendor.troubles:
            raise self.vendor.troubles.pop()
        handle = f"job-{next(NUMBERS)}"
        await keep(handle)
        records = [orjson.loads(payload) for payload in batch.payloads]
        self.vendor.jobs[handle] = (batch.operation, records)
        self.sent |= {record["id"] for record in records}
        return handle

    def marks(self, batch: Batch) -> Sequence[str]:
        assert batch.payloads is not None
        return [orjson.loads(payload)["id"] for payload in batch.payloads]

    async def poll(self, handle: str) -> JobStatus:
        vendor = self.vendor
        if handle not in vendor.jobs:
            return NotBegun()
        vendor.asked[handle] = vendor.asked.get(handle, 0) + 1
        if vendor.asked[handle] == 1:
            operation, records = vendor.jobs[handle]
            vendor.outcomes[handle] = {record["id"]: self._apply(operation, record) for record in records}
            return Running(timedelta(milliseconds=1))
        return Ended()

    async def collect(self, handle: str) -> JobResults:
        failed = {key: each for key, each in self.vendor.outcomes[handle].items() if each != ACKNOWLEDGED}
        return JobResults(failed, rest=ACKNOWLEDGED)

    async def complete(self) -> None:
        self.vendor.replaced.append(self.sent)
        self.vendor.records = {key: name for key, name in self.vendor.records.items() if key in self.sent}

    async def close(self) -> None:
        return

    def _apply(self, operation: str, record: dict[str, str]) -> Outcome:
        held = self.vendor.records
        if operation == "delete":
            held.pop(record["id"], None)
            return ACKNOWLEDGED
        if operation in ("insert", "update") and (record["id"] in held) is (operation == "insert"):
            return Skipped()
        if record["name"] == "refused":
            return Rejected("DESTINATION_VALIDATION", "no such name")
        held[record["id"]] = record["name"]
        return ACKNOWLEDGED


CONNECTOR = ConnectorInfo(BulkConfig, None, f"{__name__}:BulkDestination", capabilities, example={"vendor": "x"})


class BulkCase(ConnectorCase):
    """The vendor in memory."""

    connector = "bulk"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self.vendor = Bulk()
        Bulk.served["here"] = self.vendor
        yield
        del Bulk.served["here"]

    def config(self) -> Mapping[str, Any]:
        return {"vendor": "here"}

    async def records(self) -> Mapping[str, str]:
        return self.vendor.records

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.records |= {row.key: row.name for row in rows}

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    async def refuse_for_rate(self, calls: int) -> None:
        self.vendor.troubles += [TryLater("RATE_LIMIT", "too many jobs")] * calls

    async def fail(self, calls: int) -> None:
        self.vendor.troubles += [TryLater("DESTINATION_UNAVAILABLE", "down")] * calls


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    builtin = DESTINATIONS.builtin
    assert isinstance(builtin, dict)
    monkeypatch.setitem(builtin, "bulk", f"{__name__}:CONNECTOR")


class TestBulk(Replacing):
    """Jobs, and a mode that replaces."""

    case = BulkCase

    async def test_a_replacement_that_is_throttled_is_made_all_the_same(self, stage: Stage) -> None:
        """Jobs that are refused for the rate are submitted again."""
        rows = await begin(stage, "mirror")
        stage.mode = "replace"
        result = await amid(stage, lambda: stage.case.refuse_for_rate(2))
        assert result.status == "Succeeded"
        await expect(stage, rows)
