"""The snapshot on its way between the state store and local disk.

In the state store it is a sequence of parts, in which a later pair wins over an earlier one. On disk it is a Parquet
file with the columns k and r in that order, and in mode mirror the key fields of each record; key and row hashes are
UUIDs there, DuckDB's name for 16 bytes.
"""

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import pyarrow as pa
import pyarrow.parquet as pq

from retl.engine.values import literal
from retl.engine.workspace import Workspace
from retl.state.store import GONE, HASH_BYTES, SnapshotPart

PART_ROWS = 245_760
"""Rows of a part after compaction: 8 MB. A multiple of the 2,048 rows that DuckDB writes at once, and below PART_PAIRS,
so that the state store does not cut a small part off each."""

_PAIRS = pa.schema([("k", pa.uuid()), ("r", pa.uuid())])
_RECORDS = _PAIRS.append(pa.field("record", pa.large_binary()))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts, on disk.

    Attributes:
        path: Parquet file of all pairs, oldest part first.
        parts: how many there are.
        last: sequence of the newest, 0 if there is none.
        records: whether the file has a column `record`.
        repeats: whether a key may stand in the file more than once.
    """

    path: Path
    parts: int
    last: int
    records: bool
    repeats: bool

    @property
    def current(self) -> str:
        """SQL of a relation (k, r) with one row a key: that of the newest part, unless the key is gone."""
        file = f"read_parquet({literal(str(self.path))}, file_row_number = true)"
        if not self.repeats:
            return f"(SELECT k, r{self._record} FROM {file} WHERE r <> {hash_literal(GONE)})"
        newest = ", ".join(f"arg_max({c}, file_row_number) AS {c}" for c in ("r", *(["record"] * self.records)))
        return f"(SELECT * FROM (SELECT k, {newest} FROM {file} GROUP BY k) WHERE r <> {hash_literal(GONE)})"

    @property
    def _record(self) -> str:
        return ", record" if self.records else ""


def hash_literal(value: bytes) -> str:
    """A 16-byte hash as DuckDB writes it."""
    return f"UUID '{uuid.UUID(bytes=value)}'"


def hashes(raw: bytes) -> pa.Array:
    """Concatenated 16-byte hashes as an Arrow array of UUIDs, without copying."""
    storage = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(HASH_BYTES), len(raw) // HASH_BYTES, [None, pa.py_buffer(raw)]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def raw_hashes(array: pa.BinaryArray | pa.ChunkedArray) -> bytes:
    """Hashes that DuckDB gave as BLOBs, concatenated."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return b"".join(_raw(chunk) for chunk in chunks)


async def fetch(parts: AsyncIterator[SnapshotPart], path: Path, *, records: bool) -> Snapshot:
    """Write the parts to disk as they arrive.

    Args:
        records: whether they hold the key fields of their records.
    """
    count = last = 0
    with pq.ParquetWriter(path, _RECORDS if records else _PAIRS, compression="none", use_dictionary=False) as writer:
        async for part in parts:
            count, last = count + 1, part.sequence
            columns = [hashes(part.keys), hashes(part.rows)]
            if records:
                columns.append(pa.array(part.records.split(b"\n")[:-1], pa.large_binary()))
            writer.write_table(pa.table(columns, schema=writer.schema))
    return Snapshot(path, count, last, records, repeats=count > 1)


def merge(snapshot: Snapshot, work: Workspace) -> "MergedParts":
    """One row a key, in large parts."""
    path = work.file("compacted.parquet")
    with work.database.cursor() as cursor:
        layout = f"FORMAT parquet, ROW_GROUP_SIZE {PART_ROWS}, COMPRESSION uncompressed"
        cursor.execute(
            f"COPY (SELECT * REPLACE (CAST(k AS BLOB) AS k, CAST(r AS BLOB) AS r) FROM {snapshot.current}) "
            f"TO {literal(str(path))} ({layout})"
        )
    return MergedParts(path)


class MergedParts(Sequence[SnapshotPart]):
    """The parts of a compacted snapshot, each read from disk when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)

    def __len__(self) -> int:
        return int(self._file.num_row_groups) if self._file.metadata.num_rows else 0

    @overload
    def __getitem__(self, index: int) -> SnapshotPart: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SnapshotPart]: ...
    def __getitem__(self, index: int | slice) -> SnapshotPart | Sequence[SnapshotPart]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        table = self._file.read_row_group(index)
        records = lines(table["record"]) if "record" in table.schema.names else b""
        return SnapshotPart(index + 1, raw_hashes(table["k"]), raw_hashes(table["r"]), records)

    def __iter__(self) -> Iterator[SnapshotPart]:
        return (self[i] for i in range(len(self)))


def lines(records: pa.Array | pa.ChunkedArray) -> bytes:
    """Key fields as a snapshot part holds them: a line a record, an empty one for NULL."""
    return b"".join((value or b"") + b"\n" for value in records.cast(pa.large_binary()).to_pylist())


def _raw(array: pa.BinaryArray) -> bytes:
    """The array's bytes as they lie in its buffer: values follow one another without gaps."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    ends = memoryview(offsets).cast("i")
    first, last = ends[array.offset], ends[array.offset + len(array)]
    return bytes(data.slice(first, last - first).to_pybytes())
