"""Cases of databases: a table of records, and before a server a relay that breaks calls off."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from retl.testing import ConnectorCase, Row
from tests.destinations.relay import Relay
from tests.destinations.tables.writing import Tables


class TableCase(ConnectorCase):
    """A table accounts that refuses one name; `serving` makes it in `database`."""

    object = "accounts"

    database: Tables

    async def records(self) -> Mapping[str, str]:
        return dict(self.database.rows("SELECT id, name FROM accounts"))

    async def events(self) -> Sequence[str]:
        return [key for (key,) in self.database.rows("SELECT id FROM accounts")]

    async def seed(self, rows: Sequence[Row]) -> None:
        values = ", ".join(f"('{row.key}', '{row.name}')" for row in rows)
        self.database.run(f"INSERT INTO accounts VALUES {values}")

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")


class ServedTableCase(TableCase):
    """A table of a server that has logins, and is reached by TCP."""

    @asynccontextmanager
    async def relayed(self, port: int, write: bytes) -> AsyncIterator[None]:
        """Have the connector reach the server by a relay.

        Args:
            write: what a call says that writes.
        """
        self.relay = Relay(port, write)
        async with self.relay.serving():
            yield

    def config(self) -> Mapping[str, Any]:
        return {**self.database.config, "port": self.relay.port}

    def login(self) -> Mapping[str, str]:
        return self.database.login

    def wrong_login(self) -> Mapping[str, str]:
        return {**self.database.login, "password": "another-password"}

    async def fail(self, calls: int) -> None:
        self.relay.cut = calls

    async def drop_reply(self) -> None:
        self.relay.lose = 1
