"""The mysql connector against a real MariaDB."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from bench.destinations import Bench
from retl.testing import Conformance, ConnectorCase, Row
from tests.destinations.relay import Relay
from tests.mariadb import MariaDB, database, mariadb


class Tables(ConnectorCase):
    """A table with a unique key and a check."""

    connector = "mysql"
    object = "accounts"

    server: ClassVar[MariaDB]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self.relay = Relay(self.server.port, b"COMMIT")
        with database(self.server) as self.database:
            self.database.run(
                "CREATE TABLE accounts (id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin UNIQUE, "
                "name text CHECK (name <> 'refused'))"
            )
            async with self.relay.serving():
                yield

    def config(self) -> Mapping[str, Any]:
        return {**self.database.config, "port": self.relay.port}

    def login(self) -> Mapping[str, str]:
        return self.database.login

    def wrong_login(self) -> Mapping[str, str]:
        return {**self.database.login, "password": "another-password"}

    async def records(self) -> Mapping[str, str]:
        return dict(self.database.rows("SELECT id, name FROM accounts"))

    async def events(self) -> Sequence[str]:
        return [key for (key,) in self.database.rows("SELECT id FROM accounts")]

    async def seed(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.database.rows("INSERT INTO accounts VALUES (%s, %s)", (row.key, row.name))

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
        with mariadb() as Measured.server:
            async with super().serving():
                yield


BENCHES = [Bench("mysql", Measured, rows=50_000)]


class TestTables(Conformance):
    """Tables."""

    case = Tables

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def server() -> Iterator[None]:
        """One server for all tests."""
        with mariadb() as Tables.server:
            yield
