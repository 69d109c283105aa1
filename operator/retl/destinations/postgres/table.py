"""What a PostgreSQL table looks like, and whether a sync can write into it: asked once, before anything is sent."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from adbc_driver_postgresql import dbapi

from retl.destinations.base import FieldInfo, Target
from retl.errors import DestinationError
from retl.postgresql import quoted

OPERATIONS = {"mirror": ("upsert", "delete")}
"""Operations of a mode, where it is not one of its own name."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        type: what values are cast to. A domain is the type beneath it, and lengths are left out: an explicit cast to a
            length or to a domain cuts what is too long, while the assignment to the column refuses it.
        declared: the type as it was declared.
        filled: the database fills it and takes no value (generated, or identity always).
        required: it takes no NULL and has no default.
        insertable: the role may insert into it.
        updatable: the role may update it.
    """

    type: str
    declared: str
    filled: bool
    required: bool
    insertable: bool
    updatable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        unique: columns of each unique index that ON CONFLICT can go by.
        empty: it has no row.
    """

    name: str
    columns: Mapping[str, Column]
    unique: tuple[frozenset[str], ...]
    empty: bool

    def problem(self, target: Target) -> str:
        """Why the target's records cannot be written into it; empty if they can."""
        table = f"table {self.name!r}"
        if missing := [f for f in target.fields if f not in self.columns]:
            return f"{table} has no column {', '.join(missing)}; it has: {', '.join(self.columns)}"
        operations = OPERATIONS.get(target.mode, (target.mode,))
        if {"upsert", "insert"} & {*operations} and frozenset(target.key) not in self.unique:
            columns = ", ".join(target.key)
            return (
                f"{table} has no unique constraint on ({columns}), which the mappings mark as key; "
                f"add one: ALTER TABLE {self.name} ADD UNIQUE ({columns})"
            )
        for operation in operations:
            fields = _written(operation, target)
            if filled := [f for f in fields if self.columns[f].filled]:
                return f"{table} fills {', '.join(filled)} by itself; take it out of the mappings"
            if barred := [f for f in fields if not self._allows(operation, f, target)]:
                return f"the role may not write {', '.join(barred)} of {table}; GRANT it the right to {operation}"
        return ""

    def fields(self, target: Target) -> list[FieldInfo]:
        """The columns as fields of a destination."""
        operations = OPERATIONS.get(target.mode, (target.mode,))
        inserts = operations[0] in ("upsert", "insert", "append")
        return [
            FieldInfo(
                name,
                column.declared,
                read_only=column.filled or not all(self._allows(operation, name, target) for operation in operations),
                required=inserts and column.required,
            )
            for name, column in self.columns.items()
        ]

    def described(self) -> list[FieldInfo]:
        """The columns as fields, whatever a sync does with them."""
        return [
            FieldInfo(
                name,
                column.declared,
                read_only=column.filled or not (column.insertable or column.updatable),
                required=column.required,
            )
            for name, column in self.columns.items()
        ]

    def _allows(self, operation: str, field: str, target: Target) -> bool:
        """Whether the role may do to a column what the operation does."""
        column = self.columns[field]
        inserts = operation in ("upsert", "insert", "append")
        updates = operation in ("upsert", "update") and field not in target.key
        return (column.insertable or not inserts) and (column.updatable or not updates)


def _written(operation: str, target: Target) -> list[str]:
    if operation == "delete":
        return []
    return [f for f in target.fields if operation != "update" or f not in target.key]


def describe(cursor: dbapi.Cursor, name: str) -> Table:
    """Read a table's description (raises DestinationError if there is none of that name)."""
    regclass = "'" + quoted(name).replace("'", "''") + "'"
    cursor.execute(f"SELECT to_regclass({regclass})::oid::bigint")
    (oid,) = cursor.fetchall()[0]
    if oid is None:
        raise DestinationError(f"there is no table {name!r}; create it or correct object")
    cursor.execute(
        "WITH RECURSIVE typed (num, type) AS ("
        f"SELECT attnum, atttypid FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped "
        "UNION ALL SELECT num, typbasetype FROM typed JOIN pg_type ON oid = type WHERE typtype = 'd') "
        "SELECT attname::text, format_type(type, -1), format_type(atttypid, atttypmod), "
        "attgenerated <> '' OR attidentity = 'a', "
        "attnotnull AND NOT atthasdef AND attidentity = '', "
        "has_column_privilege(attrelid, attnum, 'INSERT'), has_column_privilege(attrelid, attnum, 'UPDATE') "
        f"FROM typed JOIN pg_type ON oid = type JOIN pg_attribute ON attrelid = {oid} AND attnum = num "
        "WHERE typtype <> 'd' ORDER BY num"
    )
    columns = {row[0]: Column(*row[1:]) for row in cursor.fetchall()}
    cursor.execute(
        "SELECT i.indexrelid::bigint, a.attname::text FROM pg_index i JOIN pg_attribute a "
        "ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) "
        f"WHERE i.indrelid = {oid} AND i.indisunique AND i.indimmediate AND i.indisvalid "
        "AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY 1"
    )
    pairs = itertools.groupby(cursor.fetchall(), lambda pair: pair[0])
    unique = tuple(frozenset(column for _, column in index) for _, index in pairs)
    return Table(name, columns, unique, _empty(cursor, name, oid))


def _empty(cursor: dbapi.Cursor, name: str, oid: int) -> bool:
    """Whether the table has no row; False if the role may not know."""
    cursor.execute(f"SELECT has_any_column_privilege({oid}::oid, 'SELECT')")
    if cursor.fetchall() != [(True,)]:
        return False
    cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {quoted(name)})")
    return bool(cursor.fetchall()[0][0])
