"""Values that are looked up among the destination's own records, such as the id of an account by its number.

Only rows that are about to be sent are looked up, and each value once: what was found is kept for the run, what was not
found is asked for again, because a record of this very run may be it.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from retl.destinations.base import BatchRejected, Destination, LookupRequest
from retl.engine.calls import Calls, Unanswered
from retl.engine.chunk import Chunk, texts
from retl.engine.mapping import LOOKUP, Projection
from retl.engine.pauses import Over
from retl.engine.settle import Settlement
from retl.errors import DestinationError

VALUES_PER_CALL = 500
MAX_FOUND = 100_000
"""Values of one lookup that are kept; then they are asked for again."""

NULL = b"null"
_NAME = rb'"(?:\\.|[^"\\])*":'


@dataclass(frozen=True, slots=True)
class _Lookup:
    """One mapping with a lookup.

    Attributes:
        mark: what stands in a record where the result goes.
        column: where the value to look up is; `value` is the column that it is written from.
        found: results by value, as JSON texts.
    """

    request: LookupRequest
    on_miss: Literal["Skip", "Fail", "Null"]
    skip_nulls: bool
    destination: str
    mark: bytes
    column: str
    value: str
    found: dict[bytes, bytes] = field(default_factory=dict)


class Lookups:
    """The lookups of one run."""

    def __init__(self, mapping: Projection, destination: Destination, calls: Calls, settlement: Settlement) -> None:
        self._destination = destination
        self._calls = calls
        self._settlement = settlement
        self._lookups: list[_Lookup] = []
        for position, number in enumerate(mapping.lookups):
            mapped = mapping.mappings[number]
            assert mapped.lookup is not None
            self._lookups.append(
                _Lookup(
                    LookupRequest(mapped.lookup.object, mapped.lookup.match_field, mapped.lookup.return_field),
                    mapped.lookup.on_miss,
                    mapped.skip_nulls,
                    mapped.destination,
                    LOOKUP.format(position).encode(),
                    f"l{position}",
                    f"v{number}",
                )
            )

    async def resolve(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks with what was found; rows that are not to be sent for want of it are settled (raises Over)."""
        if not self._lookups or "l0" not in chunks[0].rows.schema.names:  # deletes, and records as they were kept
            return chunks
        for lookup in self._lookups:
            await self._ask(lookup, chunks)
        return [resolved for chunk in chunks if (resolved := await self._fill(chunk)).size]

    async def _ask(self, lookup: _Lookup, chunks: list[Chunk]) -> None:
        """Find what is not known yet."""
        column = pa.chunked_array([chunk.rows.column(lookup.column) for chunk in chunks])
        values = texts(pc.unique(column.drop_null()))
        if len(lookup.found) > MAX_FOUND:
            lookup.found.clear()
        missing = [value for value in values if value not in lookup.found]
        groups = [missing[at : at + VALUES_PER_CALL] for at in range(0, len(missing), VALUES_PER_CALL)]
        for found in await asyncio.gather(*(self._call(lookup, group) for group in groups), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            lookup.found.update(found)

    async def _call(self, lookup: _Lookup, values: list[bytes]) -> Mapping[bytes, bytes]:
        try:
            found, _ = await self._calls.make(lambda: self._destination.lookup(lookup.request, values))
        except Unanswered:  # the run is over: either it was stopped, or the destination takes nothing any more
            raise Over from None
        except BatchRejected as refused:
            where = f"lookup of {lookup.destination} in {lookup.request.object}"
            self._calls.end(DestinationError(f"{where}: {refused}; correct the mapping's lookup"))
            raise Over from None
        return found

    async def _fill(self, chunk: Chunk) -> Chunk:
        """Put in what was found, and settle the rows that miss something they need."""
        wanted = [chunk.rows.column(lookup.column).to_pylist() for lookup in self._lookups]
        failed: dict[int, list[int]] = {}
        kept: list[int] = []
        skipped: list[int] = []
        for row, values in enumerate(zip(*wanted, strict=True)):
            missed = self._missed(values)
            if missed is None:
                kept.append(row)
            elif self._lookups[missed].on_miss == "Skip":
                skipped.append(row)
            else:
                failed.setdefault(missed, []).append(row)
        if skipped:
            await self._settlement.leave_out(chunk.take(skipped))
        for number, rows in failed.items():
            lookup = self._lookups[number]
            message = (
                f"{lookup.destination}: no record of {lookup.request.object} has this value in "
                f"{lookup.request.match_field}"
            )
            await self._settlement.refuse(self._filled(chunk.take(rows), asked=True), "NOT_FOUND", message)
        return self._filled(chunk if len(kept) == chunk.size else chunk.take(kept), asked=False)

    def _missed(self, values: tuple[str | None, ...]) -> int | None:
        """The first lookup without which the row cannot be sent."""
        for number, (lookup, value) in enumerate(zip(self._lookups, values, strict=True)):
            if value is not None and lookup.on_miss != "Null" and value.encode() not in lookup.found:
                return number
        return None

    def _filled(self, chunk: Chunk, *, asked: bool) -> Chunk:
        """The rows with the results, or with the values that were asked for, so that a person sees what is missing."""
        rows = chunk.rows
        records = {name: texts(rows.column(name)) for name in ("payload", "key_record") if _holds(rows, name)}
        for lookup in self._lookups:
            values = texts(rows.column(lookup.column).fill_null(""))
            results = values if asked else [lookup.found.get(value, NULL) for value in values]
            for name, each in records.items():
                records[name] = [
                    fill(record, lookup.mark, result, skip_null=lookup.skip_nulls)
                    for record, result in zip(each, results, strict=True)
                ]
            if lookup.value in rows.schema.names:
                rows = _with(rows, lookup.value, [_plain(result) for result in results])
        for name, each in records.items():
            rows = _with(rows, name, [record.decode() for record in each])
        return replace(chunk, rows=rows)


def fill(record: bytes, mark: bytes, result: bytes, *, skip_null: bool) -> bytes:
    """A record with a result in place of its mark; without the field if the result is null and nulls are skipped."""
    if result == NULL and skip_null:
        member = rb",?" + _NAME + re.escape(mark) + b",?"
        return re.sub(member, lambda at: b"," if at[0][:1] == at[0][-1:] == b"," else b"", record, flags=re.DOTALL)
    return record.replace(mark, result)


def _holds(rows: pa.RecordBatch, name: str) -> bool:
    return name in rows.schema.names and not rows.column(name).null_count


def _with(rows: pa.RecordBatch, name: str, values: list[str | None]) -> pa.RecordBatch:
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.string()))


def _plain(value: bytes) -> str | None:
    """A JSON text as the text of a column; NULL for null."""
    if value in (NULL, b""):
        return None
    return str(json.loads(value)) if value.startswith(b'"') else value.decode()
