"""Field mappings compiled into one DuckDB projection.

Pure: the columns that the query returns and the mappings go in, SQL comes out, in two pieces. The first runs over every
row and stages what is needed to tell what has changed:

=========== ===========================================================================================================
p           hash of the primary key: which row it is; no such column if `own_keys`: it is k then
k           hash of the destination's key fields: which record it is. It is r for a row without a key, and p for one
            whose key could not be made
r           row hash: over `bad`, all values but those of the run itself, and how they are mapped
bad         NULL for a valid row, NULL_KEY, or the number of the mapping whose value could not be made
message     of a row with such a value, what is wrong with it; else NULL
refused     of an invalid row, the record as JSON, a value that could not be made standing in it as it was; else NULL
v0, v1 …    the mapped values; none for constants and what the run says of itself
cursor      value of the cursor column, NULL also for an infinite time; only with strategy Cursor
=========== ===========================================================================================================

The second runs over the staged rows that are sent, kept or shown, and makes of them (`Projection.row`, or without the
payload `Projection.sent`):

=========== ===========================================================================================================
payload     the record as JSON, fields in mapping order
v0, v1 …    one column for each destination field; only for destinations that take columns
key_record  the record with its key fields alone, as JSON; NULL if none is mapped
l0, l1 …    for each of `Projection.lookups`, the value to look up as JSON; NULL for none
message     as staged
cursor      as staged
=========== ===========================================================================================================
"""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
from pyarrow import types as at

from retl.engine import selection
from retl.engine.fields import Field, Formula, Origins, facts
from retl.engine.records import Member, record
from retl.engine.selection import Wanted
from retl.engine.values import Value, column, injective, is_json, json_text, key_text, literal, plain_text, staged
from retl.errors import InvalidInput
from retl.resources.sync import Mapping
from retl.runspec.spec import RunSpec
from retl.sources.base import UNREADABLE

if TYPE_CHECKING:
    from retl.engine.expressions import Parsed

NULL_KEY = -1
"""Value of `bad` for a row without a key."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What to read of the query's result, and the SQL that maps it.

    Attributes:
        columns: positions of the query's columns that are used; they are handed on as c0, c1 … in this order.
        sql: SELECT over a relation `source` with those columns; what is staged.
        row: list of expressions over the staged columns (names are not qualified), for a SELECT of rows that are shown.
        sent: the same for rows that are sent, without what only a refused row needs.
        payload: the payload over the columns of `sent`, for the refused; None if it stands there.
        own_keys: whether the primary key is the record's key, so that there is no column p.
        nested: whether destination fields are paths in the payload, and not names.
        mappings: all mappings, those of allColumns written out.
        key_mappings: numbers of those that make the record's key.
        lookups: numbers of those that are looked up. In a payload, LOOKUP stands where the result of l0 goes, with its
            number; in columns, the value to look up stands there.
    """

    columns: tuple[int, ...]
    sql: str
    row: str
    sent: str
    payload: str | None
    own_keys: bool
    nested: bool
    mappings: tuple[Mapping, ...]
    key_mappings: tuple[int, ...]
    lookups: tuple[int, ...]


LOOKUP = "\x01{}\x01"
"""Where the result of a lookup goes in a payload: no JSON text holds such bytes. A NULL is not looked up."""


def compile_mapping(
    spec: RunSpec, schema: pa.Schema, salt: bytes, payload: Literal["json", "arrow"], began: datetime
) -> Projection:
    """Compile the mappings of a run.

    Args:
        schema: names and types that the query returns.
        salt: the sync's salt.
        payload: what the destination takes.
        began: when the run began.
    Raises:
        InvalidInput: what is wrong with the mappings, seen in the light of the query's columns.
    """
    names = [name for name in schema.names if not name.startswith(UNREADABLE)]
    mappings = selection.expand(spec, names, payload)
    formulas = _parsed(mappings, names)
    found = selection.positions(list(_wanted(spec, mappings, formulas)), names)
    judged = {name: schema.names.index(UNREADABLE + name) for name in found if UNREADABLE + name in schema.names}
    for name, position in found.items():
        if (schema.field(position).metadata or {}).get(b"ARROW:extension:name") == b"arrow.parquet.variant":
            raise InvalidInput(f'column "{name}" is a VARIANT, which has no one form; cast it in the query')
    columns = {name: Value(schema.field(at).type, f"c{i}") for i, (name, at) in enumerate(found.items())}
    hidden = frozenset(m.source for m in mappings if m.sensitive and m.source is not None)
    unreadable = {name: f"coalesce(c{i}, false)" for i, name in enumerate(judged, len(found))}
    origins = Origins(columns, _typed(formulas, columns), facts(spec, began), hidden, unreadable)
    fields = [origins.field(i, mapping) for i, mapping in enumerate(mappings)]
    own_keys = _own_keys(spec, mappings)
    shape = _Shape(spec, fields, payload, salt, [columns[name] for name in sorted(spec.primary_key)], own_keys)
    cursor = columns.get(spec.change_detection.column or "")
    late = payload == "arrow" and not any(mapping.lookup for mapping in mappings)
    return Projection(
        columns=(*found.values(), *judged.values()),
        sql=shape.staged(cursor),
        row=", ".join([shape.payload(), *shape.row(with_cursor=cursor is not None)]),
        sent=", ".join([*([] if late else [shape.payload()]), *shape.row(with_cursor=cursor is not None)]),
        payload=shape.late_payload() if late else None,
        own_keys=own_keys,
        nested=payload == "json",
        mappings=mappings,
        key_mappings=tuple(f.number for f in fields if f.mapping.key),
        lookups=tuple(f.number for f in fields if f.mapping.lookup),
    )


class _Shape:
    """The SQL of one compilation."""

    def __init__(
        self,
        spec: RunSpec,
        fields: Sequence[Field],
        payload: Literal["json", "arrow"],
        salt: bytes,
        primary_key: Sequence[Value],
        own_keys: bool,
    ) -> None:
        self._fields = fields
        self._payload = payload
        self._salt = salt.hex()
        self._primary_key = primary_key
        self._own_keys = own_keys
        form = column if payload == "arrow" else staged
        forms = {f.number: form(f.value) for f in fields}
        self._forms = {number: each.sql for number, each in forms.items()}
        self._values = [forms[f.number] if f.fixed else Value(forms[f.number].type, f"v{f.number}") for f in fields]
        """Each field's value over the staged columns."""
        self._keys = sorted((f for f in fields if f.mapping.key), key=lambda f: f.mapping.destination)

    def staged(self, cursor: Value | None) -> str:
        """What runs over every row; each level of SELECT adds columns that the next one uses."""
        levels = (
            [f"{f.computed} AS e{f.number}" for f in self._fields if f.computed],
            [f"{f.converted} AS m{f.number}" for f in self._fields if f.converted],
            [f"{self._forms[f.number]} AS v{f.number}" for f in self._fields if not f.fixed],
            [f"CAST({self._defect()} AS SMALLINT) AS bad"],
            [f"CASE WHEN bad IS NOT NULL THEN {self._refused()} END AS refused", f"{self._message()} AS message"],
            [f"{self._row_hash()} AS r"],
            [f"CASE WHEN bad = {NULL_KEY} THEN r ELSE {self._origin_hash()} END AS p"],
        )
        sql = "source"
        for added in levels:
            if added:
                sql = f"(SELECT *, {', '.join(added)} FROM {sql})"
        values = [f"v{f.number}" for f in self._fields if not f.fixed]
        names = ["p AS k"] if self._own_keys else ["p", f"{self._key_hash()} AS k"]
        ends = [f"{_finite(cursor)} AS cursor"] if cursor else []
        return f"SELECT {', '.join([*names, 'r', 'bad', 'message', 'refused', *values, *ends])} FROM {sql}"

    def payload(self) -> str:
        """The record of a staged row as JSON."""
        return f"coalesce(refused, {self._record([self._member(f) for f in self._fields])}) AS payload"

    def late_payload(self) -> str:
        """The same of a valid row, over its columns."""
        return f"{self._record([self._member(f) for f in self._fields])} AS payload"

    def row(self, *, with_cursor: bool) -> Iterator[str]:
        """What runs over the staged rows that are sent, kept or shown, after the payload."""
        keys = [self._member(f) for f in self._fields if f.mapping.key]
        lookups = [f for f in self._fields if f.mapping.lookup]
        if self._payload == "arrow":
            yield from (f"{value.sql} AS v{i}" for i, value in enumerate(self._values))
        yield f"{self._record(keys) if keys else 'CAST(NULL AS VARCHAR)'} AS key_record"
        yield from (f"{json_text(self._values[f.number])} AS l{i}" for i, f in enumerate(lookups))
        yield "message"
        if with_cursor:
            yield "cursor"

    def _record(self, members: Sequence[Member]) -> str:
        return record(members, nested=self._payload == "json")

    def _member(self, field: Field) -> Member:
        text = json_text(self._values[field.number])
        if field.mapping.lookup:
            number = sum(1 for f in self._fields[: field.number] if f.mapping.lookup)
            text = f"CASE WHEN {self._values[field.number].sql} IS NOT NULL THEN {literal(LOOKUP.format(number))} END"
        return Member(field.mapping.destination, text, field.mapping.skip_nulls)

    def _refused(self) -> str:
        """SQL of the record of an invalid row: a value that could not be made stands in it as it was."""
        members = []
        for field in self._fields:
            text = json_text(self._values[field.number])
            if field.converted:
                text = f"coalesce({text}, CAST(to_json({plain_text(field.origin)}) AS VARCHAR))"
            members.append(Member(field.mapping.destination, text, field.mapping.skip_nulls))
        return self._record(members)

    def _message(self) -> str:
        told = " ".join(f"WHEN {f.number} THEN {f.told}" for f in self._fields if f.told)
        return f"CASE bad {told} END" if told else "CAST(NULL AS VARCHAR)"

    def _defect(self) -> str:
        missing = [f"{key.sql} IS NULL" for key in self._primary_key]
        for field in self._keys:
            excuse = f" AND NOT ({field.failed})" if field.failed else ""
            missing += [f"({self._values[field.number].sql} IS NULL{excuse})"]
        failed = (f"WHEN {f.failed} THEN {f.number}" for f in self._fields if f.failed)
        return f"CASE WHEN {' OR '.join(dict.fromkeys(missing))} THEN {NULL_KEY} {' '.join(failed)} END"

    def _row_hash(self) -> str:
        values = [self._values[f.number] for f in self._fields if not f.fixed]
        origins = [each for f in self._fields if f.failed for each in f.inputs]
        made = f", {injective(values)}" if values else ""
        kept = f", CASE WHEN bad IS NOT NULL THEN concat({injective(origins)}) END" if origins else ""
        return _hash(self._prefix(), f"bad, ','{made}{kept}")

    def _prefix(self) -> str:
        """Salt of the row hashes: with another mapping, all rows have changed."""
        plan = [
            (
                *(m.destination, m.value, m.metadata, f.fixed and m.cast, m.skip_nulls, m.only_if_empty),
                m.lookup and m.lookup.model_dump_json(),
                is_json(self._values[f.number].type),  # 1 and "1" are one text
            )
            for f, m in ((f, f.mapping) for f in self._fields)
        ]
        return sha256(f"{self._salt}{plan!r}".encode()).hexdigest()[:32]

    def _origin_hash(self) -> str:
        """SQL of the hash of the primary key; over the key fields in their place if they are the same."""
        keys = [self._values[f.number] for f in self._keys] if self._own_keys and self._keys else self._primary_key
        own = self._own_keys and self._keys
        return _hash(self._salt + ("k" if own else "p"), injective(map(key_text, keys)))

    def _key_hash(self) -> str:
        keys = [self._values[f.number] for f in self._keys]
        missing = " OR ".join(f"{key.sql} IS NULL" for key in keys)
        made = _hash(f"{self._salt}k", injective(map(key_text, keys)))
        return f"CASE WHEN bad = {NULL_KEY} THEN r WHEN {missing} THEN p ELSE {made} END"


def _hash(salt: str, arguments: str) -> str:
    return f"CAST(md5_number(concat({literal(salt)}, {arguments})) AS UUID)"  # half the cost of reading md5()


def _finite(cursor: Value) -> str:
    """SQL of a cursor's value; of an infinite time nothing, because no watermark may ever reach it."""
    if not (at.is_date(cursor.type) or at.is_timestamp(cursor.type)):
        return cursor.sql
    value = column(cursor).sql
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _own_keys(spec: RunSpec, mappings: Sequence[Mapping]) -> bool:
    """Whether the key fields are the primary key's columns as they are, or there are none."""
    keys = [m for m in mappings if m.key]
    plain = all(m.source is not None and m.cast is None and m.hash is None and m.lookup is None for m in keys)
    return not keys or (plain and sorted(str(m.source) for m in keys) == sorted(spec.primary_key))


def _parsed(mappings: Sequence[Mapping], names: Sequence[str]) -> "dict[int, Parsed]":
    if all(mapping.expression is None for mapping in mappings):
        return {}
    from retl.engine import expressions  # its parser takes 0.1 s and 10 MB, and most syncs need none

    return expressions.parse_all(mappings, names)


def _typed(formulas: "Dict[int, Parsed]", columns: Dict[str, Value]) -> dict[int, Formula]:
    if not formulas:
        return {}
    from retl.engine import expressions

    return expressions.typed(formulas, columns)


def _wanted(spec: RunSpec, mappings: Sequence[Mapping], formulas: "Dict[int, Parsed]") -> Iterator[Wanted]:
    """Columns that the mappings read, each with the field that names it."""
    for i, name in enumerate(spec.primary_key):
        yield Wanted(name, f"primaryKey[{i}]")
    for i, mapping in enumerate(mappings):
        if mapping.source is not None:
            yield Wanted(mapping.source, f"mappings[{i}].source")
        for name in formulas[i].reads if i in formulas else ():
            yield Wanted(name, f"mappings[{i}].expression")
    if spec.change_detection.column is not None:
        yield Wanted(spec.change_detection.column, "changeDetection.column")
