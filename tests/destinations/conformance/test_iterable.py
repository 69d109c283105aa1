"""The iterable connector: users with their events, and the members of a list."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bench.destinations import Bench
from retl.testing import Conformance, Row
from tests.destinations.simulators.base import Window
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.iterable import IterableApi


class Users(SimulatedCase):
    """Users by their e-mail address; in mode append, events that are called as the object is."""

    connector = "iterable"
    object = "users"
    key_field = "email"
    name_field: ClassVar[str | None] = "firstName"
    batch_size = 13  # two calls: there are no more than five a second

    def __init__(self) -> None:
        self.vendor: IterableApi = IterableApi()

    def config(self) -> Mapping[str, Any]:
        return {"baseUrl": self.vendor.url}

    def login(self) -> Mapping[str, str]:
        return {"api_key": self.vendor.key}

    def wrong_login(self) -> Mapping[str, str]:
        return {"api_key": "another-key"}

    async def records(self) -> Mapping[str, str]:
        return {email: data["firstName"] for email, data in self.vendor.users.items()}

    async def events(self) -> Sequence[str]:
        return [event["email"] for event in self.vendor.events.values()]

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.users |= {row.key: {"firstName": row.name} for row in rows}

    def row(self, number: int, version: int = 0) -> Row:
        row = super().row(number, version)
        return Row(f"{row.key}@example.com", row.name)

    def refused(self, number: int) -> Row:
        return Row(f"no-address-{number}", "name")


class Members(Users):
    """Members of a list, who are their address alone."""

    object = "lists/7"
    name_field = None

    async def records(self) -> Mapping[str, str]:
        return {email: email for email in self.vendor.members[7]}

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.members[7] |= {row.key: {"email": row.key} for row in rows}


BENCHES = [Bench("iterable", Users, documented=Window(5, 1.0))]


class TestUsers(Conformance):
    """Users and events."""

    case = Users


class TestMembers(Conformance):
    """A list."""

    case = Members
