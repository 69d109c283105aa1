"""The duckdb destination against a real file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from bench.destinations import Bench
from retl.testing import Conformance, ConnectorCase, Row, Stage
from retl.testing.conformance import begin, expect


class Tables(ConnectorCase):
    """A table with a primary key and a check."""

    connector = "duckdb"
    object = "accounts"
    creates = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with TemporaryDirectory(prefix="retl-duckdb-") as directory:
            self.path = str(Path(directory) / "crm.duckdb")
            self.rows_of("CREATE TABLE accounts (id VARCHAR PRIMARY KEY, name VARCHAR CHECK (name <> 'refused'))")
            yield

    def config(self) -> Mapping[str, Any]:
        return {"path": self.path, "createTable": self.creates}

    async def records(self) -> Mapping[str, str]:
        return dict(self.rows_of("SELECT id, name FROM accounts"))

    async def events(self) -> Sequence[str]:
        return [key for (key,) in self.rows_of("SELECT id FROM accounts")]

    async def seed(self, rows: Sequence[Row]) -> None:
        values = ", ".join(f"('{row.key}', '{row.name}')" for row in rows)
        self.rows_of(f"INSERT INTO accounts VALUES {values}")

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    def rows_of(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.path) as connection:
            return connection.execute(sql).fetchall()


BENCHES = [Bench("duckdb", Tables, rows=50_000)]


class TestTables(Conformance):
    """Tables."""

    case = Tables

    async def test_a_sync_makes_its_table(self, stage: Stage) -> None:
        """The table is not there; what is made takes every row, and then a change and a delete."""
        assert isinstance(stage.case, Tables)
        stage.case.rows_of("DROP TABLE accounts")
        stage.case.creates = True
        rows = await begin(stage, "mirror")
        result = await stage.run()
        assert result.status == "Succeeded", result.message
        await expect(stage, rows)
        rows[0] = stage.case.row(0, version=1)
        stage.rows(rows[:-1])
        counts = (await stage.run()).counts
        assert (counts.updated, counts.deleted) == (1, 1)
        await expect(stage, rows[:-1])
