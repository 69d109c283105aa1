"""The duckdb destination against a real file."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.destinations import Bench
from retl.testing import Conformance, Stage
from retl.testing.conformance import begin, expect
from tests.destinations.conformance.tables import TableCase
from tests.destinations.duckdb.file import File


class Tables(TableCase):
    """A table with a primary key and a check."""

    connector = "duckdb"
    creates = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        with TemporaryDirectory(prefix="retl-duckdb-") as directory:
            self.database = File(Path(directory) / "crm.duckdb")
            self.database.run("CREATE TABLE accounts (id VARCHAR PRIMARY KEY, name VARCHAR CHECK (name <> 'refused'))")
            yield

    def config(self) -> Mapping[str, Any]:
        return {**self.database.config, "createTable": self.creates}


BENCHES = [Bench("duckdb", Tables, rows=50_000)]


class TestTables(Conformance):
    """Tables."""

    case = Tables

    async def test_a_sync_makes_its_table(self, stage: Stage) -> None:
        """The table is not there; what is made takes every row, and then a change and a delete."""
        assert isinstance(stage.case, Tables)
        stage.case.database.run("DROP TABLE accounts")
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
