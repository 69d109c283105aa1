"""A database of the test server, as source, as destination, and as what a test itself looks into."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, LiteralString, Self

from tests.postgres import Postgres


class Warehouse:
    """One database."""

    connector = "postgres"

    def __init__(self, server: Postgres, database: str) -> None:
        self.server = server
        self.database = database
        self._connection = server.connect(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def run(self, *statements: LiteralString) -> None:
        """Execute each statement."""
        for statement in statements:
            self._connection.execute(statement)

    def fill(self, table: LiteralString, rows: Sequence[tuple[Any, ...]]) -> None:
        """Put these rows in the place of all that a table has."""
        self._connection.execute(f"TRUNCATE {table}")
        with self._connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._connection.execute(query).fetchall()

    def wait_until(self, condition: LiteralString, seconds: float = 20) -> None:
        """Wait until a query yields true (raises TimeoutError)."""
        until = time.monotonic() + seconds
        while self.rows(condition) != [(True,)]:
            if time.monotonic() > until:
                raise TimeoutError(condition)
            time.sleep(0.02)

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the postgres connectors."""
        return {"host": self.server.host, "port": self.server.port, "database": self.database}

    @property
    def login(self) -> dict[str, str]:
        """Keys of the Secret."""
        return {"username": self.server.user, "password": self.server.password}
