"""A database file, as a destination and as what a test itself looks into."""

from pathlib import Path
from typing import Any

import duckdb


class File:
    """One file."""

    connector = "duckdb"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.login: dict[str, str] = {}

    def run(self, *statements: str) -> None:
        """Execute each statement."""
        for statement in statements:
            self.rows(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with duckdb.connect(self.path) as connection:
            return connection.execute(query).fetchall()

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the duckdb connector."""
        return {"path": self.path}
