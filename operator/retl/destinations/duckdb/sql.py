"""The SQL that stages records and moves them into a table of DuckDB.

Pure. The staging table has the column types of the table itself, so that staging tells which values do not fit.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
from pyarrow import types as at

from retl.destinations.base import Target
from retl.destinations.tables.steps import ABSENT, EXISTS, PLACE, STAGE, Ranged, Steps, assigned
from retl.destinations.tables.table import Table
from retl.postgresql import identifier, quoted

ARRIVED = "retl_arrived"
"""The batch in Arrow, as DuckDB sees it."""
S, T = "retl_s", "retl_t"
"""The staged records and the table, in statements: as no column is called, because `s.id` may be of a struct s."""


def staging(table: Table, fields: Sequence[str], key: Sequence[str]) -> str:
    """The statement that makes the staging table, empty.

    Args:
        key: a second record of the same key cannot be staged, as the table could not have both; empty for no key.
    """
    columns = [f"{PLACE} INTEGER", *(f"{identifier(name)} {table.columns[name].type}" for name in fields)]
    if key and frozenset(key) in table.unique:
        columns.append(f"UNIQUE ({', '.join(map(identifier, key))})")
    return f"CREATE OR REPLACE TEMP TABLE {STAGE} ({', '.join(columns)})"


def staged(table: Table, schema: pa.Schema, *, keys_as_text: bool = False) -> Ranged:
    """The statement that stages a range of the records that arrived.

    Args:
        schema: of the records, without their places.
        keys_as_text: values are texts as a mirror keeps its keys: bytes in base64.
    """
    value: Callable[[str], str] = lambda name: _value(schema, name, table.columns[name].type, keys_as_text)  # noqa: E731
    columns = ", ".join([PLACE, *map(identifier, schema.names)])
    values = ", ".join([f"{S}.{PLACE}", *map(value, schema.names)])
    return Ranged(f"INSERT INTO {STAGE} ({columns}) SELECT {values} FROM {ARRIVED} {S} WHERE")


def steps(operation: str, target: Target, fields: Sequence[str]) -> Steps:
    """The steps of an operation.

    Args:
        fields: of the staged records.
    """
    table, columns = quoted(target.object), ", ".join(map(identifier, fields))
    values = ", ".join(f"{S}.{identifier(name)}" for name in fields)
    insert = f"INSERT INTO {table} ({columns}) SELECT {values} FROM {STAGE} {S} WHERE"
    if operation == "append":
        return Steps(insert=Ranged(insert))
    same = " AND ".join(f"{T}.{identifier(name)} = {S}.{identifier(name)}" for name in target.key)
    if operation == "delete":
        return Steps(change=Ranged(f"DELETE FROM {table} {T} USING {STAGE} {S} WHERE {same} AND"))
    there = f"EXISTS (SELECT 1 FROM {table} {T} WHERE {same})"
    present = Ranged(f"SELECT {S}.{PLACE} FROM {STAGE} {S} WHERE {there} AND")
    lacking = Ranged(f"{insert} NOT {there} AND")
    if operation == "insert":
        return Steps(present, insert=lacking, if_present=EXISTS)
    changes = _changes(target, [name for name in fields if name not in target.key])
    update = f"UPDATE {table} AS {T} SET {', '.join(changes)} FROM {STAGE} {S} WHERE {same} AND"
    change = Ranged(update) if changes else None
    if operation == "update":
        return Steps(present, change, if_absent=ABSENT)
    return Steps(present, change, lacking)


def looked_up(table: Table, match: str, wanted: str) -> str:
    """The query that finds what records hold, as JSON, by the places of the staged values."""
    held = f"{T}.{identifier(wanted)}"
    if table.columns[wanted].type.startswith("DECIMAL"):  # to_json makes a floating number of it
        text = rf"regexp_replace(CAST({held} AS VARCHAR), '^(-?)\.', '\10.')"
    else:
        text = f"CAST(to_json({held}) AS VARCHAR)"
    return (
        f"SELECT {S}.{PLACE}, {text} FROM {STAGE} {S} JOIN {quoted(table.name)} {T} "
        f"ON {T}.{identifier(match)} = {S}.{identifier(match)}"
    )


def _changes(target: Target, fields: Sequence[str]) -> list[str]:
    """The assignments to a record that is there."""
    changes = []
    for name in fields:
        column = identifier(name)
        new, old = f"{S}.{column}", f"{T}.{column}"
        changes.append(f"{column} = {assigned(target, name, new=new, old=old, text=f'CAST({old} AS VARCHAR)')}")
    return changes


def _value(schema: pa.Schema, name: str, to: str, keys_as_text: bool) -> str:
    """An arrived column as the type of the table's column."""
    kind, value = schema.field(name).type, f"{S}.{identifier(name)}"
    text = at.is_string(kind) or at.is_large_string(kind)
    if to == "BLOB" and text:
        return f"{'from_base64' if keys_as_text else 'encode'}({value})"
    if to == "JSON" and not text:
        return f"to_json({value})"
    if to == "BIT" and at.is_integer(kind):
        return f"CAST(CAST({value} AS VARCHAR) AS BIT)"
    if text and (to.endswith("]") or to.startswith(("STRUCT", "MAP"))):
        from_json = f"CAST(CAST({value} AS JSON) AS {to})"
        return f"CASE WHEN json_valid({value}) THEN {from_json} ELSE CAST({value} AS {to}) END"
    return f"CAST({value} AS {to})"
