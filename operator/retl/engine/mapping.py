"""Field mappings compiled into one DuckDB projection.

Pure: the columns that the query returns and the mappings go in, SQL comes out. What the projection yields for a row:

======== ====================================================================================================
k        key hash: md5 over the sync's salt and the primary key's columns (of the whole row when one is NULL)
r        row hash: md5 over salt, `bad` and the record's JSON, so a changed mapping is a changed row
d        hash of the mapped key fields; NULL if one of them is, or if rows with different k cannot share them
bad      NULL for a valid row, NULL_KEY, or the number of the mapping whose value could not be cast
payload  the record as JSON, fields in mapping order; a value that could not be cast stands in it as it was
v0, v1 … the mapped values as columns, for destinations that take columns
======== ====================================================================================================
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import duckdb
import pyarrow as pa

from retl.engine.values import Value, cast, column, json_text, literal, plain_text, quoted
from retl.errors import InvalidInput
from retl.resources.sync import Mapping
from retl.runspec.spec import RunSpec

NULL_KEY = -1
"""Value of `bad` for a row without a key."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What to read of the query's result, and the SELECT that maps it.

    Attributes:
        columns: positions of the query's columns that are used; they are handed on as c0, c1 … in this order.
        sql: SELECT over a relation `source` with those columns.
        problems: for each mapping, the message of a row whose value could not be cast.
        maps_key: whether the mapping may give rows with different primary keys the same key fields; else `d` is NULL.
    """

    columns: tuple[int, ...]
    sql: str
    problems: tuple[str, ...]
    maps_key: bool


def compile_mapping(spec: RunSpec, schema: pa.Schema, salt: bytes, payload: Literal["json", "arrow"]) -> Projection:
    """Compile the mappings of a run.

    Args:
        schema: names and types that the query returns.
        salt: the sync's salt.
        payload: what the destination takes; only with `arrow` are there columns besides the JSON.
    Raises:
        InvalidInput: a column that the query does not return, or returns twice; a constant that cannot be cast.
    """
    names = _positions(spec, schema.names)
    if problems := list(constant_problems(spec.mappings)):
        raise InvalidInput("; ".join(problems)[:1500])
    columns = {name: Value(schema.field(at).type, f"c{i}") for i, (name, at) in enumerate(names.items())}
    fields = [_Field.of(m.source, m.value, m.cast, columns) for m in spec.mappings]
    keys = [columns[name] for name in spec.primary_key]
    null_keys = [c.sql for c in keys] + [f.origin.sql for f, m in zip(fields, spec.mappings, strict=True) if m.key]
    record = _record([m.destination for m in spec.mappings], fields)
    values = [f"{column(Value(f.mapped.type, f'm{i}'))} AS v{i}" for i, f in enumerate(fields)]
    mapped_keys = [Value(f.mapped.type, f"m{i}") for i, f in enumerate(fields) if spec.mappings[i].key]
    maps_key = bool(mapped_keys) and not {m.source for m in spec.mappings if m.key and not m.cast} >= {
        *spec.primary_key
    }
    text = literal(salt.hex())
    return Projection(
        columns=tuple(names.values()),
        sql=f"""
        SELECT CASE WHEN bad = {NULL_KEY} THEN r ELSE CAST(md5({text} || k) AS UUID) END AS k,
               r, {_shared_key(mapped_keys, text) if maps_key else "CAST(NULL AS UUID)"} AS d,
               bad, {", ".join(["payload", *(values if payload == "arrow" else [])])}
        FROM (
            SELECT *, CAST(md5(concat({text}, bad, payload)) AS UUID) AS r
            FROM (
                SELECT *, {record} AS payload,
                       CAST({_defect(null_keys, fields)} AS SMALLINT) AS bad,
                       CAST(json_array({", ".join(plain_text(c) for c in keys)}) AS VARCHAR) AS k
                FROM (SELECT *, {", ".join(f"{f.mapped.sql} AS m{i}" for i, f in enumerate(fields))} FROM source)
            )
        )""",
        problems=tuple(
            f"{m.destination}: {f'column {m.source!r}' if m.source else 'the constant'} cannot be cast to {m.cast}"
            for m in spec.mappings
        ),
        maps_key=maps_key,
    )


def constant_problems(mappings: Sequence[Mapping]) -> Iterator[str]:
    """Constants that cannot be cast: every row would be invalid for their sake."""
    with duckdb.connect() as database:
        for i, mapping in enumerate(mappings):
            if mapping.value is None or mapping.cast is None:
                continue
            mapped = _Field.of(None, mapping.value, mapping.cast, {}).mapped
            if database.execute(f"SELECT ({mapped.sql}) IS NULL").fetchone() == (True,):
                yield f"mappings[{i}].value: {mapping.value!r} cannot be cast to {mapping.cast}"


@dataclass(frozen=True, slots=True)
class _Field:
    """One mapping: the value as it comes, and as it goes."""

    origin: Value
    mapped: Value
    casts: bool

    @classmethod
    def of(cls, source: str | None, constant: str | None, to: str | None, columns: dict[str, Value]) -> "_Field":
        origin = columns[source] if source is not None else Value(pa.string(), literal(constant or ""))
        return cls(origin, cast(origin, to) if to else origin, to is not None)  # type: ignore[arg-type]


def _record(names: Sequence[str], fields: Sequence[_Field]) -> str:
    parts = []
    for i, (name, field) in enumerate(zip(names, fields, strict=True)):
        values = [json_text(Value(field.mapped.type, f"m{i}"))]
        if field.casts:
            values.append(f"CAST(to_json({plain_text(field.origin)}) AS VARCHAR)")
        parts.append(f"{literal(('{' if i == 0 else ',') + quoted(name) + ':')}, coalesce({', '.join(values)}, 'null')")
    return f"concat({', '.join(parts)}, '}}')"


def _shared_key(keys: Sequence[Value], salt: str) -> str:
    """SQL of the hash of the key fields as the destination is given them."""
    missing = " OR ".join(f"{key.sql} IS NULL" for key in keys)
    text = f"CAST(json_array({', '.join(plain_text(key) for key in keys)}) AS VARCHAR)"
    return (
        f"CASE WHEN NOT (bad IS NOT DISTINCT FROM {NULL_KEY} OR {missing}) THEN CAST(md5({salt} || {text}) AS UUID) END"
    )


def _defect(keys: Sequence[str], fields: Sequence[_Field]) -> str:
    missing = " OR ".join(f"{key} IS NULL" for key in dict.fromkeys(keys))
    failed = (f"WHEN m{i} IS NULL AND {f.origin.sql} IS NOT NULL THEN {i}" for i, f in enumerate(fields) if f.casts)
    return f"CASE WHEN {missing} THEN {NULL_KEY} {' '.join(failed)} END"


def _positions(spec: RunSpec, names: Sequence[str]) -> dict[str, int]:
    """Position in the query's result of each column that is used."""
    wanted = {name: f"primaryKey[{i}]" for i, name in reversed(list(enumerate(spec.primary_key)))}
    wanted |= {m.source: f"mappings[{i}].source" for i, m in reversed(list(enumerate(spec.mappings))) if m.source}
    problems = []
    counts = Counter(names)
    for name, where in wanted.items():
        if counts[name] == 0:
            guess = get_close_matches(name, names, 1)
            hint = f"did you mean {guess[0]!r}? " if guess else ""
            problems.append(f"{where}: unknown column {name!r}; {hint}the query returns: {', '.join(names)}")
        elif counts[name] > 1:
            problems.append(f"{where}: the query returns {counts[name]} columns named {name!r}; give them other names")
    if problems:
        raise InvalidInput("; ".join(reversed(problems))[:1500])
    return {name: names.index(name) for name in wanted}
