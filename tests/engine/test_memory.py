"""A run of more data than its memory holds comes to its end, because the rows are on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import duckdb
import pytest

from retl.destinations.base import ACKNOWLEDGED, Batch, Capabilities, Destination, Outcome, Target
from retl.engine import pipeline
from retl.engine.workspace import MIN_MEMORY
from retl.resources.run import RunCounts
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.pod import ENV_MEMORY_LIMIT
from retl.runspec.spec import RunSpec
from retl.sources.configs import DuckDBConfig
from retl.sources.duckdb import DuckDBSource
from retl.state.sql import SqlStateStore

ROWS = 400_000


class Weighing(Destination):
    """Takes everything and adds up how much it was."""

    name = "weighing"

    def __init__(self, config: ConnectorConfig | None, credentials: ConnectorCredentials | None) -> None:
        self.rows = self.bytes = 0

    async def open(self, target: Target) -> None:
        self.rows = self.bytes = 0

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        self.rows += batch.size
        self.bytes += sum(map(len, batch.payloads)) if batch.payloads is not None else batch.table.nbytes  # type: ignore[union-attr]
        return [ACKNOWLEDGED] * batch.size

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("payload", ["json", "arrow"])
async def test_more_rows_than_memory_holds(
    tmp_path: Path, state: SqlStateStore, monkeypatch: pytest.MonkeyPatch, payload: Literal["json", "arrow"]
) -> None:
    monkeypatch.setenv(ENV_MEMORY_LIMIT, str(MIN_MEMORY))  # DuckDB gets the least it ever gets
    capabilities = Capabilities(frozenset({"upsert"}), default_batch=10_000, max_batch=10_000, payload=payload)
    monkeypatch.setattr(Weighing, "capabilities", capabilities, raising=False)
    with duckdb.connect(str(tmp_path / "w.duckdb")) as database:
        database.execute(
            f"CREATE TABLE t AS SELECT range AS id, md5(range::VARCHAR) || repeat('x', 500) AS text FROM range({ROWS})"
        )
    spec = RunSpec.model_validate(
        {
            "run": {"name": "r", "uid": "r"},
            "sync": {"namespace": "tests", "name": "big", "uid": "big"},
            "source": {"name": "w", "uid": "w", "connector": "duckdb"},
            "query": {"table": "t"},
            "destination": {"name": "d", "uid": "d", "connector": "http", "config": {"url": "http://127.0.0.1/"}},
            "object": "t",
            "mode": "upsert",
            "primaryKey": ["id"],
            "mappings": [
                {"source": "id", "destination": "id", "key": True},
                {"source": "text", "destination": "text"},
            ],
        }
    )
    destination = Weighing(None, None)
    source = DuckDBSource(DuckDBConfig(path=str(tmp_path / "w.duckdb")), None)
    result = await pipeline.run(spec, source, destination, state, staging=tmp_path / "staging", owner="test")
    assert (result.message, result.counts) == ("", RunCounts(read=ROWS, created=ROWS))
    assert destination.rows == ROWS
    assert destination.bytes > 1.5 * MIN_MEMORY
