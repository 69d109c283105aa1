"""The hubspot connector: contacts by their e-mail address, in an account that is logged in to by OAuth."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.destinations import Bench
from retl.testing import Conformance, Row
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.hubspot import HubSpotApi, Kind


class Contacts(SimulatedCase):
    """Contacts."""

    connector = "hubspot"
    object = "contacts"
    key_field = "email"
    name_field = "firstname"

    def __init__(self) -> None:
        self.vendor: HubSpotApi = HubSpotApi()

    def config(self) -> Mapping[str, Any]:
        return {"baseUrl": self.vendor.url}

    def login(self) -> Mapping[str, str]:
        return dict(zip(("client_id", "client_secret", "refresh_token"), self.vendor.client, strict=True))

    def wrong_login(self) -> Mapping[str, str]:
        return {**self.login(), "client_secret": "another-secret"}

    async def expire_login(self) -> None:
        self.vendor.expire_tokens()

    async def records(self) -> Mapping[str, str]:
        return {held["email"]: held.get("firstname", "") for held in self._contacts.records.values()}

    async def events(self) -> Sequence[str]:
        return [held["email"] for held in self._contacts.records.values()]

    async def seed(self, rows: Sequence[Row]) -> None:
        for number, row in enumerate(rows):
            self._contacts.put(str(number), {"email": row.key, "firstname": row.name})

    def row(self, number: int, version: int = 0) -> Row:
        row = super().row(number, version)
        return Row(f"{row.key}@example.com", row.name)

    def refused(self, number: int) -> Row:
        return Row(f"no-address-{number}", "name")

    @property
    def _contacts(self) -> Kind:
        contacts = self.vendor.kind("contacts")
        assert contacts is not None
        return contacts


BENCHES = [Bench("hubspot", Contacts, documented=Window(100, 10.0), limited_rows=20_000)]


class TestContacts(Conformance):
    """Contacts."""

    case = Contacts
