"""The postgres connector against a real server."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from bench.destinations import Bench
from retl.testing import Conformance, ConnectorCase, Row
from tests.destinations.relay import Relay
from tests.engine.warehouse import Warehouse
from tests.postgres import Postgres, postgres


class Tables(ConnectorCase):
    """A table with a unique key and a check."""

    connector = "postgres"
    object = "accounts"

    server: ClassVar[Postgres]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with Warehouse(self.server, self.server.create_database()) as self.warehouse:
            self.warehouse.run("CREATE TABLE accounts (id text UNIQUE, name text CHECK (name <> 'refused'))")
            self.relay = Relay(self.server.port, b'INSERT INTO "accounts"')
            async with self.relay.serving():
                yield

    def config(self) -> Mapping[str, Any]:
        return {**self.warehouse.config, "port": self.relay.port}

    def login(self) -> Mapping[str, str]:
        return self.warehouse.login

    def wrong_login(self) -> Mapping[str, str]:
        return {**self.warehouse.login, "password": "another-password"}

    async def records(self) -> Mapping[str, str]:
        return dict(self.warehouse.rows("SELECT id, name FROM accounts"))

    async def events(self) -> Sequence[str]:
        return [key for (key,) in self.warehouse.rows("SELECT id FROM accounts")]

    async def seed(self, rows: Sequence[Row]) -> None:
        self.warehouse.fill("accounts", [(row.key, row.name) for row in rows])

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    async def fail(self, calls: int) -> None:
        self.relay.cut = calls

    async def drop_reply(self) -> None:
        self.relay.lose = 1


class Measured(Tables):
    """With a server of its own, for the benchmark."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with postgres() as Measured.server:
            async with super().serving():
                yield


BENCHES = [Bench("postgres", Measured, rows=50_000)]


class TestTables(Conformance):
    """Tables."""

    case = Tables

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def server() -> Iterator[None]:
        """One server for all tests."""
        with postgres() as Tables.server:
            yield
