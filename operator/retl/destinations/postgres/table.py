"""What PostgreSQL says of a table: asked once, before anything is sent."""

import itertools

from adbc_driver_postgresql import dbapi

from retl.destinations.tables.table import Column, Table
from retl.postgresql import quoted


def describe(cursor: dbapi.Cursor, name: str) -> Table | None:
    """Read a table's description; None if there is none of that name."""
    regclass = "'" + quoted(name).replace("'", "''") + "'"
    cursor.execute(f"SELECT to_regclass({regclass})::oid::bigint")
    (oid,) = cursor.fetchall()[0]
    if oid is None:
        return None
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
