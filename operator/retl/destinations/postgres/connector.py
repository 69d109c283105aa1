"""Writes batches into a PostgreSQL table: bulk ingest into a temporary table, then one statement that moves it.

What may be repeated is written a statement a transaction; what may not (append), in one transaction a batch, so that a
connection that breaks leaves all or nothing, and only one that breaks in the commit leaves doubt. When the server
refuses a batch for the sake of some row, the ingested table is written in halves, down to the rows that are at fault.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from retl.destinations.base import BatchRejected, LoginRefused, LookupRequest, Outcome, TryLater
from retl.destinations.postgres.column_types import type_of
from retl.destinations.postgres.config import (
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    postgres_capabilities,
)
from retl.destinations.postgres.sql import staged, statements
from retl.destinations.postgres.table import describe
from retl.destinations.postgres.write import Interrupted, Writer, code_of, read
from retl.destinations.tables.creation import create_table
from retl.destinations.tables.destination import TableDestination
from retl.destinations.tables.steps import STAGE
from retl.destinations.tables.table import Table
from retl.errors import DestinationError
from retl.postgresql import ServerError, connection_uri, identifier, quoted
from retl.postgresql_tables import SERVER_VERSION, tables_of
from retl.runspec.catalog import CatalogObject, listed
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

R = TypeVar("R")

SESSION = "-c TimeZone=UTC -c client_min_messages=error"


class PostgresDestination(TableDestination[dbapi.Cursor]):
    """A PostgreSQL table."""

    name = "postgres"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, PostgresDestinationConfig)
        assert isinstance(credentials, PostgresDestinationCredentials)
        self.capabilities = postgres_capabilities(config)
        self._config = config
        self._credentials = credentials
        self.where = f"PostgreSQL {config.host}:{config.port}, database {config.database!r}"
        self.creates = config.create_table
        self._crowded = False  # the table had a record that was to be written
        self._idle: list[dbapi.Connection] = []
        self._open = False

    def read(self, session: dbapi.Cursor, name: str) -> Table | None:
        return describe(session, name)

    def move(self, session: dbapi.Cursor, table: Table, records: pa.Table, operation: str) -> list[Outcome]:
        ingested = staged(records)
        types = {name: column.type for name, column in table.columns.items()}
        sql = statements(operation, self.target, ingested.schema, types)
        self._ingest(session, ingested)
        hopeful = table.empty and not self._crowded
        writer = Writer(session, operation, sql, records.num_rows, hopeful=hopeful)
        outcomes = writer.run()
        self._crowded = self._crowded or not writer.hopeful
        return outcomes

    def make(self, session: dbapi.Cursor, schema: pa.Schema) -> None:
        session.execute(create_table(quoted(self.target.object), self.target, schema, identifier, type_of))

    def version(self, session: dbapi.Cursor) -> str:
        return str(_rows(session, SERVER_VERSION)[0][0])

    def listing(self, session: dbapi.Cursor) -> list[CatalogObject]:
        return listed(_rows(session, tables_of(("INSERT", "UPDATE", "DELETE"))))

    async def close(self) -> None:
        self._open = False
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    def log_in(self, timeout: timedelta) -> None:
        limit = int(timeout.total_seconds() * 1000)
        self._uri = connection_uri(
            self._config, self._credentials, f"{SESSION} -c statement_timeout={limit} -c lock_timeout={limit}"
        )
        self._open = True

    async def carried_out(self, work: Callable[[dbapi.Cursor], R]) -> R:
        return await asyncio.to_thread(self._with_cursor, work)

    def _with_cursor(self, work: Callable[[dbapi.Cursor], R]) -> R:
        """Do some work on a connection; one that an error came over is not used again."""
        try:
            connection = self._idle.pop() if self._idle else dbapi.connect(self._uri, autocommit=True)
            try:
                with connection.cursor() as cursor:
                    result = work(cursor)
            except BaseException:
                connection.close()
                raise
        except Interrupted as interrupted:
            raise self._error(interrupted.error, doubt=interrupted.doubt) from None
        except (adbc_driver_manager.Error, OSError) as error:
            raise self._error(read(error)) from None
        if self._open:
            self._idle.append(connection)
        else:
            connection.close()
        return result

    def _error(self, error: ServerError, *, doubt: bool = False) -> Exception:
        words = f"{self.where}: {error.words}"
        if error.login_refused:
            return LoginRefused(f"{words}; check username and password in the Secret")
        if error.missing_database:
            return DestinationError(f"{words}; correct config.database")
        if error.about_rows:
            return BatchRejected(code_of(error), error.words)
        if error.transient:
            return TryLater("OUTCOME_UNKNOWN" if doubt else "DESTINATION_UNAVAILABLE", words)
        return DestinationError(words)

    def _ingest(self, cursor: dbapi.Cursor, table: pa.Table) -> None:
        """Fill the temporary table with a batch.

        Raises:
            BatchRejected: the driver refused a value; it says nothing, and the server still does. That looks like a
                broken connection, but would come again however often the batch is tried.
        """
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{STAGE}")
        try:
            cursor.adbc_ingest(STAGE, table, mode="create", temporary=True)
        except adbc_driver_manager.Error as raised:
            if read(raised).sqlstate:
                raise
            try:
                cursor.execute("SELECT 1")
            except adbc_driver_manager.Error:
                raise raised from None
            raise BatchRejected(
                "DESTINATION_VALIDATION", "a value cannot be written to PostgreSQL: out of its type's range"
            ) from None

    def find(
        self, session: dbapi.Cursor, table: Table, request: LookupRequest, values: Sequence[bytes]
    ) -> dict[bytes, bytes]:
        match, wanted = identifier(request.match_field), identifier(request.return_field)
        select = (
            f"SELECT DISTINCT ON (v.n) v.n::int - 1, to_jsonb(t.{wanted})::text FROM {quoted(request.object)} t "
            f"JOIN ROWS FROM (json_array_elements_text(%s)) WITH ORDINALITY v (value, n) "
            f"ON t.{match} = v.value::{table.columns[request.match_field].type}"
        )
        return {values[at]: found.encode() for at, found in _found(session, select, values, 0)}


def _rows(cursor: dbapi.Cursor, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def _found(cursor: dbapi.Cursor, select: str, values: Sequence[bytes], offset: int) -> Iterator[tuple[int, str]]:
    """Places and finds of values; one that its column's type does not have is no record's, and is left out."""
    if not values:
        return
    texts = b"[" + b",".join(values) + b"]"
    literal = "'" + texts.decode().replace("'", "''") + "'"
    try:
        cursor.execute(select.replace("%s", literal, 1))
        rows = cursor.fetchall()
    except adbc_driver_manager.Error as error:
        if not read(error).about_rows:
            raise
        if len(values) > 1:
            middle = len(values) // 2
            yield from _found(cursor, select, values[:middle], offset)
            yield from _found(cursor, select, values[middle:], offset + middle)
        return
    for place, found in rows:
        yield offset + place, found if found is not None else "null"
