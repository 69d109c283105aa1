"""Dead letters out of rows that could not be written: what happened, to which record, and the record itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from retl.destinations.base import FOR_ITS_OWN_SAKE, Code, Outcome, Rejected, Unknown
from retl.engine.chunk import Chunk
from retl.engine.diff import DUPLICATE_KEY, DUPLICATE_TARGET
from retl.engine.mapping import NULL_KEY, Projection
from retl.engine.records import find, record_keys, without_values
from retl.engine.workspace import Workspace
from retl.runspec.spec import RunSpec
from retl.state.store import HASH_BYTES, NO_ROW, NewDeadLetter

MESSAGE_MAX = 500


class Letters:
    """Writes the dead letters of one run."""

    def __init__(self, spec: RunSpec, mapping: Projection, work: Workspace) -> None:
        self._keys = [m.destination for m in spec.mappings if m.key]
        self._sensitive = [m.destination for m in spec.mappings if m.sensitive]
        self._nested = mapping.nested
        self._primary_key = ", ".join(spec.primary_key)
        self._store_payload = spec.dead_letters.store_payload
        self._payload = mapping.payload
        self._work = work

    def completed(self, chunk: Chunk) -> Chunk:
        """The chunk with its payloads, which are not made of rows that travel as columns until one is refused."""
        if self._payload is None or "payload" in chunk.rows.schema.names:
            return chunk
        rows = chunk.rows.append_column("place", pa.array(range(chunk.size), pa.int32()))
        with self._work.database.cursor() as cursor:
            cursor.register("refused", pa.Table.from_batches([rows]))
            payloads = cursor.sql(f"SELECT {self._payload} FROM refused ORDER BY place").to_arrow_table()["payload"]
        return replace(chunk, rows=chunk.rows.append_column("payload", payloads.combine_chunks()))

    def of(
        self, chunk: Chunk, code: Code, message: str, attempts: int = 1, *, hold: bool | None = None
    ) -> list[NewDeadLetter]:
        """All rows of the chunk, for the same reason.

        Args:
            hold: whether the rows are left out until they change; by the code if not said.
        """
        held = code in FOR_ITS_OWN_SAKE if hold is None else hold
        return [
            self._letter(
                row if held else replace(row, row=NO_ROW),
                code,
                self._without_sensitive(message, [row.payload]),
                attempts,
                chunk.operation,
            )
            for row in _rows(chunk)
        ]

    def shared(self, chunk: Chunk, outcome: Outcome) -> Outcome:
        """The outcome of all rows of a chunk, whose message may repeat a sensitive value of any of them."""
        if not self._sensitive or not isinstance(outcome, Rejected | Unknown):
            return outcome
        return replace(outcome, message=self._without_sensitive(outcome.message, self.completed(chunk).payloads))

    def invalid(self, chunk: Chunk) -> list[NewDeadLetter]:
        """Rows that were never sent, each for its own reason."""
        bad, messages = chunk.rows.column("bad").to_pylist(), chunk.rows.column("message").to_pylist()
        reasons = map(self._reason, bad, messages)
        return [self._letter(row, *reason) for row, reason in zip(_rows(chunk), reasons, strict=True)]

    def _without_sensitive(self, message: str, payloads: Iterable[bytes]) -> str:
        """What the destination said, without the sensitive values of these records."""
        if not self._sensitive:
            return message
        found = (find(payload, name, nested=self._nested) for payload in payloads for name in self._sensitive)
        return without_values(message, (value for value in found if value), cut=len(message) >= MESSAGE_MAX)

    def _reason(self, bad: int, message: str | None) -> tuple[Code, str]:
        if bad == NULL_KEY:
            return "NULL_KEY", f"a column of the primary key ({self._primary_key}) or a key field is NULL"
        if bad == DUPLICATE_KEY:
            return "DUPLICATE_KEY", f"the query returns other rows with the same primary key ({self._primary_key})"
        if bad == DUPLICATE_TARGET:
            fields = ", ".join(self._keys)
            return "DUPLICATE_KEY", f"the query returns other rows with the same key at the destination ({fields})"
        return "CAST_FAILED", message or "a value could not be made"

    def _letter(self, row: "_Row", code: Code, message: str, attempts: int = 1, operation: str = "") -> NewDeadLetter:
        return NewDeadLetter(
            key=row.origin,
            row=row.row,
            code=code,
            message=message[:MESSAGE_MAX],
            record_keys=record_keys(row.payload, self._keys, self._sensitive, nested=self._nested),
            payload=row.payload if self._store_payload else None,
            attempts=attempts,
            record=row.key,
            operation=operation,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a chunk: three hashes, and the record."""

    origin: bytes
    key: bytes
    row: bytes
    payload: bytes


def _rows(chunk: Chunk) -> Iterator[_Row]:
    origins, keys, hashes = chunk.origins, chunk.keys, chunk.hashes
    for i, payload in enumerate(chunk.payloads):
        at = slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)
        yield _Row(origins[at], keys[at], hashes[at], payload)
