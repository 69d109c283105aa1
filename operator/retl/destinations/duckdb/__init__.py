"""Tables of a DuckDB database file."""
