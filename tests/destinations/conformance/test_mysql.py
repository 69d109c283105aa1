"""The mysql connector against a real MariaDB."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from bench.destinations import Bench
from retl.testing import Conformance
from tests.destinations.conformance.tables import ServedTableCase
from tests.mariadb import MariaDB, database, mariadb


class Tables(ServedTableCase):
    """A table with a unique key and a check."""

    connector = "mysql"

    server: ClassVar[MariaDB]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with database(self.server) as self.database:
            self.database.run(
                "CREATE TABLE accounts (id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin UNIQUE, "
                "name text CHECK (name <> 'refused'))"
            )
            async with self.relayed(self.server.port, b"COMMIT"):
                yield


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
