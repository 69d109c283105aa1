"""Which tables a role finds in a PostgreSQL database: the question, whose answer `runspec.catalog.listed` reads.

What the PostgreSQL source and the PostgreSQL destination share; no driver is imported here.
"""

from collections.abc import Sequence

from retl.runspec.catalog import MAX_COLUMNS, MAX_OBJECTS

SERVER_VERSION = "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)"


def tables_of(rights: Sequence[str]) -> str:
    """SQL: table, column, type, required, read-only; of tables and views on which the role has one of these rights.

    A table is called as a query may call it: with its schema only where the search path does not have it.
    """
    allowed = " OR ".join(
        f"has_table_privilege(c.oid, '{right}')" if right == "DELETE" else f"has_any_column_privilege(c.oid, '{right}')"
        for right in rights
    )
    written = "false"
    if "INSERT" in rights:
        written = "has_column_privilege(t.oid, attnum, 'INSERT') OR has_column_privilege(t.oid, attnum, 'UPDATE')"
        written = f"attgenerated <> '' OR attidentity = 'a' OR NOT ({written})"
    return (
        "WITH tables AS (SELECT c.oid, "  # noqa: S608
        "CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END AS name "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition "
        "AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' "
        f"AND has_schema_privilege(n.oid, 'USAGE') AND ({allowed}) "
        f"ORDER BY n.nspname, c.relname LIMIT {MAX_OBJECTS + 1}) "
        "SELECT t.name::text, attname::text, format_type(atttypid, atttypmod), "
        f"attnotnull AND NOT atthasdef AND attidentity = '', {written} "
        "FROM tables t JOIN pg_attribute ON attrelid = t.oid AND attnum > 0 AND NOT attisdropped "
        f'ORDER BY t.name COLLATE "C", attnum LIMIT {MAX_COLUMNS}'
    )
