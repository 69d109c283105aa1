"""The postgres connector against a real server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from bench.destinations import Bench
from retl.testing import Conformance
from tests.destinations.conformance.tables import ServedTableCase
from tests.engine.warehouse import Warehouse
from tests.postgres import Postgres, postgres


class Tables(ServedTableCase):
    """A table with a unique key and a check."""

    connector = "postgres"

    server: ClassVar[Postgres]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with Warehouse(self.server, self.server.create_database()) as self.database:
            self.database.run("CREATE TABLE accounts (id text UNIQUE, name text CHECK (name <> 'refused'))")
            async with self.relayed(self.server.port, b'INSERT INTO "accounts"'):
                yield


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
