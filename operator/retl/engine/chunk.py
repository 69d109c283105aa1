"""Changed rows on their way to the destination: a slice of Arrow columns that becomes a Batch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from retl.destinations.base import Batch
from retl.engine.snapshot import lines, raw_hashes
from retl.state.store import GONE


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some changed rows.

    Attributes:
        rows: columns created, p, k, r, bad, then those of `Projection.row`.
        operation: what is to be done with them, as in Batch.
        gone: the rows are records that the source no longer has; their payload is their key fields.
    """

    rows: pa.RecordBatch
    operation: str = "upsert"
    gone: bool = False

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
        """Hashes of the records' keys, concatenated: the snapshot knows them by these."""
        return raw_hashes(self.rows.column("k"))

    @property
    def origins(self) -> bytes:
        """Hashes of the rows' primary keys, concatenated: dead letters hang on these."""
        return raw_hashes(self.rows.column("p"))

    @property
    def hashes(self) -> bytes:
        """What the snapshot says of the rows once they are written: their hashes, or that they are gone."""
        return GONE * self.size if self.gone else raw_hashes(self.rows.column("r"))

    @property
    def records(self) -> bytes:
        """Key fields of the records as a snapshot part holds them; empty where the snapshot does not keep them."""
        name = "payload" if self.gone else "key_record"
        return lines(self.rows.column(name)) if name in self.rows.schema.names else b""

    @property
    def payloads(self) -> list[bytes]:
        """The records as JSON."""
        return texts(self.rows.column("payload"))

    def batch(self, payload: Literal["json", "arrow"], fields: Sequence[str], ids: Sequence[str] = ()) -> Batch:
        """What the connector is given.

        Args:
            fields: all destination fields.
            ids: idempotency key of each record.
        """
        if payload == "json":
            return Batch(self.size, payloads=self.payloads, operation=self.operation, ids=ids)
        table = self._keys() if self.gone else self._values(fields)
        return Batch(self.size, table=table, operation=self.operation, ids=ids)

    def slices(self, size: int) -> list[Self]:
        """Chunks of at most that many rows, without copying."""
        return [replace(self, rows=self.rows.slice(at, size)) for at in range(0, self.size, size)]

    def within(self, most: int | None) -> list[Self]:
        """Chunks whose JSON records together have at most so many bytes; a longer record stands alone."""
        if most is None or "payload" not in self.rows.schema.names:
            return [self]
        found, first, held = [], 0, 0
        for at, size in enumerate(pc.binary_length(self.rows.column("payload")).to_pylist()):
            size += 1  # the comma after it
            if held and held + size > most:
                found.append(replace(self, rows=self.rows.slice(first, at - first)))
                first, held = at, 0
            held += size
        return [*found, replace(self, rows=self.rows.slice(first))]

    def row(self, index: int) -> Self:
        """One row."""
        return replace(self, rows=self.rows.slice(index, 1))

    def take(self, indices: Sequence[int]) -> Self:
        """Some of the rows."""
        return replace(self, rows=self.rows.take(pa.array(indices, pa.int64())))

    def _values(self, fields: Sequence[str]) -> pa.Table:
        columns = [self.rows.column(f"v{i}") for i in range(len(fields))]
        return pa.Table.from_arrays(columns, names=list(fields))

    def _keys(self) -> pa.Table:
        """The key fields as text."""
        records = [json.loads(record, parse_int=str, parse_float=str) for record in self.payloads]
        fields = list(records[0]) if records else []
        return pa.table({f: pa.array([_text(record[f]) for record in records], pa.string()) for f in fields})


def texts(array: pa.StringArray) -> list[bytes]:
    """UTF-8 of each string, cut from the array's buffer; much faster than as Python strings."""
    if not len(array):
        return []
    _, offsets, data = array.buffers()
    ends = memoryview(offsets).cast("i")[array.offset : array.offset + len(array) + 1]
    raw = data.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if data is not None else b""
    first = ends[0]
    return [raw[start - first : end - first] for start, end in pairwise(ends)]


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
