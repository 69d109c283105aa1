"""Rows through a compiled mapping, without a source, a destination or a run."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb
import pyarrow as pa

from retl.engine.mapping import Projection, compile_mapping
from retl.runspec.spec import RunSpec

AT = datetime(2026, 1, 1, tzinfo=UTC)
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def spec(mappings: list[dict[str, Any]], **more: Any) -> RunSpec:
    """A run with these mappings."""
    return RunSpec.model_validate(
        {
            "run": {"name": "sync-202603011200", "uid": "run-uid", "tick": BEGAN, **more.pop("run", {})},
            "sync": {"namespace": "tests", "name": "sync", "uid": "sync-uid"},
            "source": {"name": "w", "uid": "source-uid", "connector": "duckdb"},
            "query": {"table": "t"},
            "destination": {"name": "d", "uid": "destination-uid", "connector": "http"},
            "object": "o",
            "mode": "upsert",
            "primaryKey": ["id"],
            "mappings": mappings,
            **more,
        }
    )


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of the rows: as they are staged, and as they are sent."""

    projection: Projection
    stage: pa.Table
    rows: pa.Table

    @property
    def staged(self) -> list[dict[str, Any]]:
        """The rows as they are staged."""
        return list(self.stage.to_pylist())

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The rows as they are sent."""
        return list(self.rows.to_pylist())

    @property
    def payloads(self) -> list[str]:
        """The records as JSON."""
        return list(self.rows["payload"].to_pylist())

    def of(self, column: str) -> list[Any]:
        """A staged column."""
        return list(self.stage[column].to_pylist())


def mapped(
    rows: pa.Table | str,
    run: RunSpec,
    payload: Literal["json", "arrow"] = "json",
    *,
    salt: bytes = b"salt",
    began: datetime = BEGAN,
) -> Mapped:
    """Map rows, given as a table or as SQL, by way of a Parquet file as a run does it."""
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true").fetchall()
        table = database.sql(rows).to_arrow_table() if isinstance(rows, str) else rows
        projection = compile_mapping(run, table.schema, salt, payload, began)
        used = pa.Table.from_arrays(
            [table.column(at) for at in projection.columns], names=[f"c{i}" for i in range(len(projection.columns))]
        )
        database.register("source", used)
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/stage.parquet"
            database.execute(f"COPY ({projection.sql}) TO '{path}' (FORMAT parquet)").fetchall()
            staged = database.sql(f"FROM '{path}'").to_arrow_table()
            sent = database.sql(f"SELECT {projection.row} FROM '{path}'").to_arrow_table()
    return Mapped(projection, staged, sent)
