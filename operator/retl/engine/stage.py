"""Mapped rows on local disk: one Parquet file that diff and deliver read in columns, each as often as it needs.

The query runs once, and the source's connection is closed before the first record is sent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from retl.engine import cursor as cursors
from retl.engine.extract import Extract
from retl.engine.mapping import Projection
from retl.engine.tasks import in_thread
from retl.engine.values import literal
from retl.engine.workspace import Workspace
from retl.errors import SourceError
from retl.runspec.spec import RunSpec
from retl.sources.base import UNREADABLE, Source

GROUP_ROWS = 16_384
"""Rows of a Parquet row group; a reader holds some of them in memory, and rows may be wide."""
GROUP_BYTES = 16 * 1024**2
"""Uncompressed bytes of a row group, where rows are so wide that GROUP_ROWS of them would be more."""
LAYOUT = f"FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {GROUP_ROWS}, ROW_GROUP_SIZE_BYTES {GROUP_BYTES}"


@dataclass(frozen=True, slots=True)
class Staged:
    """The mapped rows.

    Attributes:
        path: Parquet file with the columns of `mapping`.
        rows: number of rows.
        schema: names and types that the query returned.
        complete: whether they are all rows of the query.
    """

    path: Path
    rows: int
    schema: pa.Schema
    mapping: Projection
    complete: bool = True

    @property
    def own_keys(self) -> bool:
        """Whether the primary key is the record's key, so that there is no column p beside k."""
        return self.mapping.own_keys

    @property
    def row_bytes(self) -> int:
        """Bytes of a row on average, uncompressed."""
        found = pq.ParquetFile(self.path).metadata
        size = sum(found.row_group(i).total_byte_size for i in range(found.num_row_groups))
        return int(size // max(1, found.num_rows))

    @property
    def key_mappings(self) -> tuple[int, ...]:
        """Numbers of the mappings that make the record's key."""
        return self.mapping.key_mappings


async def stage(
    spec: RunSpec,
    source: Source,
    compile_mapping: Callable[[pa.Schema], Projection],
    work: Workspace,
    *,
    stop: asyncio.Event,
    read: Callable[[int], None],
) -> Staged:
    """Read the source to its end and stage what the mappings make of it.

    Args:
        compile_mapping: of the columns that the query returns.
        read: is told the number of rows read so far.
    Raises:
        SourceError: the source could not be read.
        InvalidInput: the mappings name columns that the query does not return.
        Stopped: `stop` was set before the end.
    """
    extracts: list[Extract] = []
    loop = asyncio.get_running_loop()

    def report(rows: int) -> None:
        loop.call_soon_threadsafe(read, rows)

    def copy() -> Staged:
        path = work.file("stage.parquet")
        with source.read(spec.query) as reader:
            cursors.check(spec.change_detection, reader.schema)
            mapping = compile_mapping(reader.schema)
            extract = Extract(reader, mapping.columns, report)
            extracts.append(extract)
            with work.database.cursor() as cursor:
                cursor.register("source", extract.stream())
                cursor.execute(f"COPY ({mapping.sql}) TO {literal(str(path))} ({LAYOUT})")
        columns = pa.schema([field for field in reader.schema if not field.name.startswith(UNREADABLE)])
        return Staged(path, extract.rows, columns, mapping, complete=spec.query.window is None)

    def interrupt() -> None:
        source.cancel()
        work.database.interrupt()

    try:
        return await in_thread(copy, stop=stop, interrupt=interrupt)
    except duckdb.Error:
        error = extracts[0].take_error() if extracts else None
        try:
            if isinstance(error, SourceError):
                raise error from None
            raise
        finally:
            del error  # see in_thread
