"""Changed rows on their way to the destination: a slice of Arrow columns that becomes a Batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import pyarrow as pa

from retl.destinations.base import Batch
from retl.engine.snapshot import raw_hashes

HEAD = ("created", "k", "r", "bad", "payload")
"""Columns that stand before the mapped values."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some changed rows: the columns of HEAD, then one for each mapping if the destination takes columns."""

    rows: pa.RecordBatch

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.rows.num_rows)

    @property
    def created(self) -> int:
        """Number of rows whose key is not in the snapshot."""
        return int(self.rows.column("created").true_count)

    @property
    def keys(self) -> bytes:
        """Key hashes, concatenated."""
        return raw_hashes(self.rows.column("k"))

    @property
    def hashes(self) -> bytes:
        """Row hashes, concatenated."""
        return raw_hashes(self.rows.column("r"))

    def batch(self, payload: Literal["json", "arrow"], fields: Sequence[str]) -> Batch:
        """What the connector is given."""
        if payload == "json":
            return Batch(self.size, payloads=texts(self.rows.column("payload")))
        columns = self.rows.columns[len(HEAD) :]
        return Batch(self.size, table=pa.Table.from_arrays(columns, names=list(fields)))

    def slices(self, size: int) -> list[Self]:
        """Chunks of at most that many rows, without copying."""
        return [type(self)(self.rows.slice(at, size)) for at in range(0, self.size, size)]

    def row(self, index: int) -> Self:
        """One row."""
        return type(self)(self.rows.slice(index, 1))

    def take(self, indices: Sequence[int]) -> Self:
        """Some of the rows."""
        return type(self)(self.rows.take(pa.array(indices, pa.int64())))


def texts(array: pa.StringArray) -> list[bytes]:
    """UTF-8 of each string, cut from the array's buffer; much faster than as Python strings."""
    if not len(array):
        return []
    _, offsets, data = array.buffers()
    ends = memoryview(offsets).cast("i")[array.offset : array.offset + len(array) + 1]
    raw = data.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if data is not None else b""
    first = ends[0]
    return [raw[start - first : end - first] for start, end in pairwise(ends)]
