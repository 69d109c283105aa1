"""Writes batches into a PostgreSQL table: bulk ingest into a temporary table, then one statement that moves it.

What may be repeated is written a statement a transaction; what may not (append), in one transaction a batch, so that a
connection that breaks leaves all or nothing, and only one that breaks in the commit leaves doubt. When the server
refuses a batch for the sake of some row, the ingested table is written in halves, down to the rows that are at fault.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from retl.destinations.base import (
    Batch,
    BatchRejected,
    Destination,
    FieldInfo,
    LoginRefused,
    LookupRequest,
    Outcome,
    Target,
    TryLater,
)
from retl.destinations.postgres.config import (
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    postgres_capabilities,
)
from retl.destinations.postgres.sql import STAGE, staged, statements
from retl.destinations.postgres.table import Table, describe
from retl.destinations.postgres.write import Interrupted, Writer, code_of, read
from retl.errors import DestinationError, DestinationUnavailable
from retl.postgresql import ServerError, connection_uri, identifier, quoted
from retl.postgresql_tables import SERVER_VERSION, listed, tables_of
from retl.runspec.catalog import CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

R = TypeVar("R")

SESSION = "-c TimeZone=UTC -c client_min_messages=error"
CHECK_TIMEOUT = timedelta(seconds=30)


class PostgresDestination(Destination):
    """A PostgreSQL table."""

    name = "postgres"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, PostgresDestinationConfig)
        assert isinstance(credentials, PostgresDestinationCredentials)
        self.capabilities = postgres_capabilities(config)
        self._config = config
        self._credentials = credentials
        self._where = f"PostgreSQL {config.host}:{config.port}, database {config.database!r}"
        self._idle: list[dbapi.Connection] = []
        self._open = False

    async def open(self, target: Target) -> None:
        self._target = target
        self._log_in_as(target.timeout)
        self._table = await self._asked(lambda cursor: self._described(cursor, target.object))
        if problem := self._table.problem(target):
            raise DestinationError(f"{self._where}: {problem}")
        self._hopeful = self._table.empty
        self._types = {name: column.type for name, column in self._table.columns.items()}

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.table is not None
        table = staged(batch.table)
        sql = statements(batch.operation, self._target, table.schema, self._types)

        def work(cursor: dbapi.Cursor) -> list[Outcome]:
            self._ingest(cursor, table)
            writer = Writer(cursor, batch.operation, sql, batch.size, hopeful=self._hopeful)
            outcomes = writer.run()
            self._hopeful = self._hopeful and writer.hopeful
            return outcomes

        return await asyncio.to_thread(self._with_cursor, work)

    async def fields(self) -> Sequence[FieldInfo]:
        return self._table.fields(self._target)

    async def server(self) -> str:
        self._log_in_as(CHECK_TIMEOUT)
        return await self._asked(lambda cursor: str(_rows(cursor, SERVER_VERSION)[0][0]))

    async def objects(self) -> Sequence[CatalogObject]:
        return await self._asked(lambda cursor: listed(_rows(cursor, tables_of(("INSERT", "UPDATE", "DELETE")))))

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo]:
        table = await self._asked(lambda cursor: self._described(cursor, name))
        return table.described()

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return await asyncio.to_thread(self._with_cursor, lambda cursor: self._look_up(cursor, request, values))

    async def close(self) -> None:
        self._open = False
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    def _log_in_as(self, timeout: timedelta) -> None:
        """From now on, connections wait so long for a statement."""
        limit = int(timeout.total_seconds() * 1000)
        self._uri = connection_uri(
            self._config, self._credentials, f"{SESSION} -c statement_timeout={limit} -c lock_timeout={limit}"
        )
        self._open = True

    async def _asked(self, work: Callable[[dbapi.Cursor], R]) -> R:
        """What the server answers before anything is written (raises DestinationError)."""
        try:
            return await asyncio.to_thread(self._with_cursor, work)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as error:
            raise DestinationError(f"{self._where}: {error}") from None

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
        words = f"{self._where}: {error.words}"
        if error.login_refused:
            return LoginRefused(f"{words}; check username and password in the Secret")
        if error.missing_database:
            return DestinationError(f"{words}; correct config.database")
        if error.about_rows:
            return BatchRejected(code_of(error), error.words)
        if error.transient:
            return TryLater("OUTCOME_UNKNOWN" if doubt else "DESTINATION_UNAVAILABLE", words)
        return DestinationError(words)

    def _described(self, cursor: dbapi.Cursor, name: str) -> Table:
        try:
            return describe(cursor, name)
        except DestinationError as error:
            raise DestinationError(f"{self._where}: {error}") from None

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

    def _look_up(self, cursor: dbapi.Cursor, request: LookupRequest, values: Sequence[bytes]) -> dict[bytes, bytes]:
        table = self._described(cursor, request.object)
        for name in (request.match_field, request.return_field):
            if name not in table.columns:
                raise DestinationError(
                    f"{self._where}: table {table.name!r} has no column {name}; it has: {', '.join(table.columns)}"
                )
        match, wanted = identifier(request.match_field), identifier(request.return_field)
        select = (
            f"SELECT DISTINCT ON (v.n) v.n::int - 1, to_jsonb(t.{wanted})::text FROM {quoted(request.object)} t "
            f"JOIN ROWS FROM (json_array_elements_text(%s)) WITH ORDINALITY v (value, n) "
            f"ON t.{match} = v.value::{table.columns[request.match_field].type}"
        )
        return {values[at]: found.encode() for at, found in _found(cursor, select, values, 0)}


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
