"""Tests of a sync's mappings: given rows, expected records. Nothing is connected to, nothing is remembered.

Rows go through the very SQL that a run uses. What the run says of itself is always the same: RunId, RunName and Sync
are the sync's name, RunTime and Tick the moment AT.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import duckdb
import pyarrow as pa

from retl.engine import expressions
from retl.engine.mapping import LOOKUP, NULL_KEY, Projection, compile_mapping
from retl.errors import InvalidInput
from retl.runspec.spec import RunSpec

AT = datetime(2026, 1, 1, tzinfo=UTC)
"""RunTime and Tick in every test."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected invalid row: its code, and words of its message."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes:
        given: rows as the query would return them; a column that a row lacks is NULL.
        types: DuckDB types of columns, where the values do not say it, such as `due: DATE`.
        expect: records of the valid rows, in order.
        invalid: the other rows, in order.
    """

    name: str
    given: Sequence[Mapping[str, Any]]
    expect: Sequence[Any] = ()
    invalid: Sequence[Refusal] = ()
    types: Mapping[str, str] = field(default_factory=dict)


def differences(spec: RunSpec, payload: Literal["json", "arrow"], case: Case) -> list[str]:
    """What a test expects and the mappings do not do; empty if it passes.

    Args:
        payload: what the destination takes.
    Raises:
        InvalidInput: the rows cannot be made a table, or the mappings are wrong.
    """
    run = spec.run.model_copy(update={"uid": spec.sync.name, "name": spec.sync.name, "tick": AT})
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true").fetchall()
        rows = _table(database, case)
        mapping = compile_mapping(spec.model_copy(update={"run": run}), rows.schema, b"", payload, AT)
        used = pa.table([rows.column(at) for at in mapping.columns], [f"c{i}" for i in range(len(mapping.columns))])
        database.register("source", used)
        k = "k" if mapping.own_keys else "p, k"
        found = database.sql(f"SELECT {k}, bad, {mapping.row} FROM ({mapping.sql})").to_arrow_table().to_pylist()
    refusals = _refusals(found, mapping)
    records = [_record(row, mapping) for row, refusal in zip(found, refusals, strict=True) if refusal is None]
    refused = [refusal for refusal in refusals if refusal is not None]
    return [*_compared(case.expect, records), *_compared_refusals(case.invalid, refused)]


def _table(database: duckdb.DuckDBPyConnection, case: Case) -> pa.Table:
    names = list(dict.fromkeys([name for row in case.given for name in row] + list(case.types)))
    columns = []
    for name in names:
        values = [row.get(name) for row in case.given]
        try:
            columns.append(pa.array(values, pa.string() if all(value is None for value in values) else None))
        except (pa.ArrowException, OverflowError, ValueError):
            raise InvalidInput(f"given: column {name!r} holds several types; quote its values, and set types") from None
    if not names:
        raise InvalidInput("given: write at least one row")
    casts = []
    for i, name in enumerate(names):
        cast = f"CAST(c AS {case.types[name]})" if name in case.types else "c"
        try:
            casts.append(expressions.parse(cast, ["c"]).sql({"c": f"c{i}"}))
        except expressions.Refused as reason:
            raise InvalidInput(f"types.{name}: {reason}") from None
    database.register("given", pa.table(columns, [f"c{i}" for i in range(len(names))]))
    try:
        made = database.sql(f"SELECT {', '.join(casts)} FROM given").to_arrow_table()
    except duckdb.Error as error:
        raise InvalidInput(f"given: {str(error).partition(chr(10))[0]}") from None
    return pa.Table.from_arrays(made.columns, schema=pa.schema(zip(names, made.schema.types, strict=True)))


def _refusals(rows: Sequence[Mapping[str, Any]], mapping: Projection) -> list[Refusal | None]:
    keys = ["k"] if mapping.own_keys else ["k", "p"]
    counts = {key: Counter(row[key] for row in rows) for key in keys}

    def refusal(row: Mapping[str, Any]) -> Refusal | None:
        if row["bad"] == NULL_KEY:
            return Refusal("NULL_KEY", "a column of the primary key or a key field is NULL")
        if any(counts[key][row[key]] > 1 for key in keys):
            return Refusal("DUPLICATE_KEY", "other rows have the same key")
        return None if row["bad"] is None else Refusal("CAST_FAILED", row["message"])

    return [refusal(row) for row in rows]


def _record(row: Mapping[str, Any], mapping: Projection) -> Any:
    """The record; a field that is looked up holds the value to look up."""
    text = row["payload"]
    for i in range(len(mapping.lookups)):
        text = text.replace(LOOKUP.format(i), row[f"l{i}"] or "")
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _compared(expected: Sequence[Any], found: Sequence[Any]) -> Iterator[str]:
    for i in range(max(len(expected), len(found))):
        if i >= len(found):
            yield f"expect[{i}]: there is no such record; {len(found)} rows are valid"
        elif i >= len(expected):
            yield f"expect: {len(expected)} records are listed, but record {i} is made too: {_shown(found[i])}"
        else:
            yield from _difference(f"expect[{i}]", expected[i], found[i])


def _difference(where: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            at = f"{where}.{name}"
            if name not in found:
                yield f"{at}: expected {_shown(expected[name])}, but the record has no such field"
            elif name not in expected:
                yield f"{at}: the record has {_shown(found[name])}, which is not expected"
            else:
                yield from _difference(at, expected[name], found[name])
    elif not _same(expected, found):
        yield f"{where}: expected {_shown(expected)}, but it is {_shown(found)}"


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(
            not [*_difference("", *pair)] for pair in zip(expected, found, strict=True)
        )
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, Decimal):
        return Decimal(str(expected)) == found
    return type(expected) is type(found) and bool(expected == found)


def _compared_refusals(expected: Sequence[Refusal], found: Sequence[Refusal]) -> Iterator[str]:
    for i in range(max(len(expected), len(found))):
        if i >= len(found):
            yield f"invalid[{i}]: expected {expected[i].code}, but no further row is invalid"
        elif i >= len(expected):
            yield f"invalid: a row is invalid that should not be: {found[i].code}: {found[i].message}"
        elif expected[i].code != found[i].code:
            yield f"invalid[{i}].code: expected {expected[i].code}, but it is {found[i].code}: {found[i].message}"
        elif expected[i].message not in found[i].message:
            yield f"invalid[{i}].message: {expected[i].message!r} is not in {found[i].message!r}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_shown(each)}" for name, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
