"""The duckdb destination against a real file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from bench.destinations import Bench
from retl.testing import Conformance, ConnectorCase, Row


class Tables(ConnectorCase):
    """A table with a primary key and a check."""

    connector = "duckdb"
    object = "accounts"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with TemporaryDirectory(prefix="retl-duckdb-") as directory:
            self.path = str(Path(directory) / "crm.duckdb")
            self._rows("CREATE TABLE accounts (id VARCHAR PRIMARY KEY, name VARCHAR CHECK (name <> 'refused'))")
            yield

    def config(self) -> Mapping[str, Any]:
        return {"path": self.path}

    async def records(self) -> Mapping[str, str]:
        return dict(self._rows("SELECT id, name FROM accounts"))

    async def events(self) -> Sequence[str]:
        return [key for (key,) in self._rows("SELECT id FROM accounts")]

    async def seed(self, rows: Sequence[Row]) -> None:
        values = ", ".join(f"('{row.key}', '{row.name}')" for row in rows)
        self._rows(f"INSERT INTO accounts VALUES {values}")

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.path) as connection:
            return connection.execute(sql).fetchall()


BENCHES = [Bench("duckdb", Tables, rows=50_000)]


class TestTables(Conformance):
    """Tables."""

    case = Tables
