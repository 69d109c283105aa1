"""The part of a row set that a cursor asks for, in SQL that PostgreSQL and DuckDB share."""

from retl.postgresql import identifier
from retl.runspec.spec import Window


def windowed(statement: str, window: Window | None) -> str:
    """The statement, with only the rows of the window; the server turns the literal into the column's type."""
    if window is None:
        return statement
    column = identifier(window.column)
    since = "'" + window.since.replace("'", "''") + "'"
    return f"SELECT * FROM (\n{statement}\n) AS retl_window WHERE {column} >= {since} OR {column} IS NULL"
