"""The SQL that moves ingested records into a PostgreSQL table.

Pure: an operation, the ingested columns and the table's types go in, statements come out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from retl.destinations.base import ACKNOWLEDGED, Outcome, Rejected, Target
from retl.destinations.tables.steps import ABSENT, EXISTS, PLACE, STAGE, Ranged, assigned
from retl.postgresql import identifier, quoted

JSON_TYPES = ("json", "jsonb")
BIT_TYPES = ('"bit"', "bit varying")


SWALLOWED = Rejected("DESTINATION_VALIDATION", "a trigger or rule of the table kept the record from being written")


@dataclass(frozen=True, slots=True)
class Statements:
    """How one operation is carried out.

    Attributes:
        plain: writes as `counted` does, in two thirds of the time, as long as no record is in the table.
        counted: writes, and its row count is the number of records written; the fast way where there is one.
        written: writes, and returns the places of the records that were written. It may follow `counted`.
        present: returns the places of the records that the table has.
        if_present: outcome of a record that was not written, and is in the table.
        if_absent: outcome of a record that was not written, and is not.
    """

    counted: Ranged | None
    written: Ranged | None = None
    present: Ranged | None = None
    if_present: Outcome = SWALLOWED
    if_absent: Outcome = SWALLOWED
    plain: Ranged | None = None


def statements(operation: str, target: Target, schema: pa.Schema, types: Mapping[str, str]) -> Statements:
    """The statements of an operation.

    Args:
        schema: of the ingested table, as `staged` made it.
        types: what a value is cast to, by column of the table.
    """
    value: Callable[[str], str] = lambda name: _value(schema, name, types[name], operation)  # noqa: E731
    table = quoted(target.object)
    stage = f"pg_temp.{STAGE} s"
    fields = [name for name in schema.names if name in types and name in target.fields]
    insert = (
        f"INSERT INTO {table} AS t ({', '.join(map(identifier, fields))}) "
        f"SELECT {', '.join(map(value, fields))} FROM {stage} WHERE"
    )
    if operation == "append":
        return Statements(Ranged(insert))
    same = " AND ".join(f"t.{identifier(name)} = {value(name)}" for name in target.key)
    present = Ranged(f"SELECT s.{PLACE} FROM {stage} WHERE EXISTS (SELECT FROM {table} t WHERE {same}) AND")
    if operation == "delete":
        delete = Ranged(f"DELETE FROM {table} t USING {stage} WHERE {same} AND", f"RETURNING s.{PLACE}")
        return Statements(None, delete, present, if_absent=ACKNOWLEDGED)
    changes = _changes(target, [name for name in fields if name not in target.key], value, operation)
    if operation == "update":
        changes = changes or [f"{identifier(name)} = t.{identifier(name)}" for name in target.key]
        update = f"UPDATE {table} t SET {', '.join(changes)} FROM {stage} WHERE {same} AND"
        written = Ranged(update, f"RETURNING s.{PLACE}")
        return Statements(None, written, present, if_absent=ABSENT)
    updates = operation == "upsert" and changes
    action = f"UPDATE SET {', '.join(changes)}" if updates else "NOTHING"
    conflict = f"ON CONFLICT ({', '.join(map(identifier, target.key))}) DO {action}"
    keys = ", ".join(f"t.{identifier(name)} AS k{i}" for i, name in enumerate(target.key))
    found = " AND ".join(f"w.k{i} = {value(name)}" for i, name in enumerate(target.key))
    written = Ranged(
        f"WITH p AS MATERIALIZED (SELECT * FROM {stage} WHERE",
        f"), w AS ({insert.removesuffix(f'{stage} WHERE')}p s {conflict} RETURNING {keys}) "
        f"SELECT s.{PLACE} FROM p s WHERE EXISTS (SELECT FROM w WHERE {found})",
    )
    if updates:
        return Statements(Ranged(insert, conflict), written, present, plain=Ranged(insert))
    untouched = EXISTS if operation == "insert" else ACKNOWLEDGED
    return Statements(None, written, present, if_present=untouched)


def _changes(target: Target, fields: list[str], value: Callable[[str], str], operation: str) -> list[str]:
    """The assignments to a record that is there."""
    changes = []
    for name in fields:
        column = identifier(name)
        new, old = f"EXCLUDED.{column}" if operation == "upsert" else value(name), f"t.{column}"
        changes.append(f"{column} = {assigned(target, name, new=new, old=old, text=f'{old}::text')}")
    return changes


def staged(table: pa.Table) -> pa.Table:
    """The records as the driver can write them, each with its place.

    The driver moves numbers to the server's epoch, also those that DuckDB and Arrow write for infinite times: the
    largest number and its negative. So those go as words: into columns beside their own, or, of arrays, all as texts.
    """
    table = table.append_column(PLACE, pa.array(range(table.num_rows), pa.int32()))
    for position, field in enumerate(table.schema):
        times = table.column(position)
        if pa.types.is_list(field.type) and pa.types.is_date32(field.type.value_type):
            table = table.set_column(position, field.name, _texts(times.combine_chunks()))
        elif (words := _words(times)) is not None:
            table = table.append_column(_infinite(field.name), words)
            finite = pc.if_else(words.is_valid(), pa.scalar(None, field.type), times)
            table = table.set_column(position, field, finite)
    return table


def _words(times: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """What infinite dates and timestamps are called; NULL for all others. None if there is no infinite one."""
    if pa.types.is_timestamp(times.type):
        integer, largest = pa.int64(), 2**63 - 1
    elif pa.types.is_date32(times.type):
        integer, largest = pa.int32(), 2**31 - 1
    else:
        return None
    numbers = times.cast(integer)
    infinite = pc.is_in(numbers, pa.array([largest, -largest], integer))
    if not pc.any(infinite).as_py():
        return None
    words = pc.if_else(pc.greater(numbers, 0), "infinity", "-infinity")
    return pc.if_else(infinite, words, pa.scalar(None, pa.string()))


def _texts(dates: pa.ListArray) -> pa.ListArray:
    """Arrays of dates as arrays of texts if any date is infinite."""
    words = _words(pa.chunked_array([dates.values]))
    if words is None:
        return dates
    texts = pc.coalesce(words, dates.values.cast(pa.string())).combine_chunks()
    return pa.ListArray.from_arrays(dates.offsets, texts, mask=dates.is_null())


def _infinite(name: str) -> str:
    """The column of the ingested table that holds the infinities of another."""
    return f"retl_infinite {name}"


def _value(schema: pa.Schema, name: str, to: str, operation: str) -> str:
    """An ingested column as the type of the table's column."""
    kind, value = schema.field(name).type, f"s.{identifier(name)}"
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if (infinite := _infinite(name)) in schema.names:
        timestamp = "timestamptz" if pa.types.is_timestamp(kind) and kind.tz else "timestamp"
        time = "date" if pa.types.is_date32(kind) else timestamp
        value = f"coalesce(s.{identifier(infinite)}::{time}, {value})"
    if to in JSON_TYPES and not text:
        return f"to_jsonb({value})::{to}"
    if to in BIT_TYPES and pa.types.is_integer(kind):
        return f"{value}::text::{to}"  # the cast of a number keeps only its last bits
    if to.endswith("[]") and text:
        return _array(value, to)
    if to == "bytea" and text and operation == "delete":  # keys of a mirror's deletes are text, and bytes base64
        return rf"CASE WHEN {value} LIKE '\\x%' THEN {value}::bytea ELSE decode({value}, 'base64') END"
    return f"{value}::{to}"


def _array(value: str, to: str) -> str:
    """A text as an array: it may be written as PostgreSQL does, or in JSON, whose null is then a NULL."""
    item = to.removesuffix("[]")
    text = "decode(x, 'base64')" if item == "bytea" else "x"  # as bytes are written in JSON
    items = f"SELECT {text} FROM json_array_elements_text({value}::json) x"
    if item in JSON_TYPES:
        items = (
            f"SELECT CASE WHEN json_typeof(x) <> 'null' THEN x::{item} END FROM json_array_elements({value}::json) x"
        )
    is_json = rf"{value} ~ '^\s*\[' AND {value} !~ '^\s*\[[-+0-9]+:'"
    return f"CASE WHEN {is_json} THEN ARRAY({items})::{to} ELSE {value}::{to} END"
