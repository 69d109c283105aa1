"""What DuckDB says of a table: asked once, before anything is sent."""

from retl.destinations.duckdb.session import DuckDBSession
from retl.destinations.tables.table import Column, Table
from retl.runspec.catalog import MAX_COLUMNS

_REQUIRED = "NOT is_nullable AND column_default IS NULL"
TABLES = (
    "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || table_name AS name, column_name, "
    f"data_type, {_REQUIRED}, is_generated FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, database_name, "
    f"schema_name, table_name, internal) WHERE NOT internal AND database_name = current_database() "
    f"ORDER BY name, column_index LIMIT {MAX_COLUMNS}"
)
"""Table, column, type, required, read-only."""


def describe(session: DuckDBSession, name: str) -> Table | None:
    """Read a table's description; None if there is none of that name."""
    schema, _, table = name.rpartition(".")
    where = (
        f"WHERE database_name = current_database() AND schema_name = {_text(schema or 'main')} "
        f"AND table_name = {_text(table)}"
    )
    if not session.rows(f"SELECT 1 FROM duckdb_tables() {where}"):
        return None
    columns = session.rows(
        f"SELECT column_name, data_type, data_type, is_generated, {_REQUIRED} FROM duckdb_columns() {where} "
        "ORDER BY column_index"
    )
    constraints = session.rows(
        "SELECT constraint_column_names FROM duckdb_constraints() "
        f"{where} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')"
    )
    indexes = session.rows(f"SELECT expressions FROM duckdb_indexes() {where} AND is_unique")
    known = {column: Column(*rest) for column, *rest in columns}
    unique = [frozenset(names) for (names,) in constraints]
    unique += [frozenset(part.strip("'\" ") for part in text.strip("[]").split(",")) for (text,) in indexes]
    return Table(name, known, tuple(names for names in unique if names <= known.keys()))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
