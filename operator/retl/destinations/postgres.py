"""Upserts batches into a PostgreSQL table: bulk ingest into a temporary table, then INSERT … ON CONFLICT DO UPDATE.

Each statement is a transaction, so a batch is written wholly or not at all; only when the server refuses it for the
sake of some row is it written in halves of the ingested table, down to the rows that are at fault. A batch that breaks
off on the way may be sent again: an upsert twice is an upsert once.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Code,
    Destination,
    LoginRefused,
    Outcome,
    Rejected,
    Target,
    TryLater,
)
from retl.destinations.configs import (
    PostgresDestinationConfig,
    PostgresDestinationCredentials,
    postgres_capabilities,
)
from retl.errors import DestinationError, DestinationUnavailable
from retl.postgresql import ServerError, connection_uri, identifier, quoted, server_error
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

R = TypeVar("R")

SESSION = "-c TimeZone=UTC -c client_min_messages=error"
STAGE = "retl_batch"
PLACE = "retl_place"
"""Column of the ingested table that says which record of the batch a row is."""
JSON_TYPES = ("json", "jsonb")
BIT_TYPES = ('"bit"', "bit varying")


@dataclass(frozen=True, slots=True)
class Upsert:
    """The statement that moves a range of ingested records into the table."""

    head: str
    tail: str

    def sql(self, first: int, end: int) -> str:
        """For the records [first, end)."""
        return f"{self.head} WHERE {PLACE} >= {first} AND {PLACE} < {end} {self.tail}"


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
        self._open = True
        limit = int(target.timeout.total_seconds() * 1000)
        self._uri = connection_uri(
            self._config, self._credentials, f"{SESSION} -c statement_timeout={limit} -c lock_timeout={limit}"
        )
        try:
            self._types = await asyncio.to_thread(self._with_connection, self._check_table)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as error:
            raise DestinationError(str(error)) from None

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.table is not None
        table = _staged(batch.table).append_column(PLACE, pa.array(range(batch.size), pa.int32()))
        return await asyncio.to_thread(self._with_connection, lambda connection: self._upsert(connection, table))

    async def close(self) -> None:
        self._open = False
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    def _with_connection(self, work: Callable[[dbapi.Connection], R]) -> R:
        """Do some work on a connection; one that an error came over is not used again."""
        try:
            connection = self._idle.pop() if self._idle else dbapi.connect(self._uri, autocommit=True)
            try:
                result = work(connection)
            except BaseException:
                connection.close()
                raise
        except (adbc_driver_manager.Error, OSError) as error:
            raise self._error(_read(error)) from None
        if self._open:
            self._idle.append(connection)
        else:
            connection.close()
        return result

    def _error(self, error: ServerError) -> Exception:
        words = f"{self._where}: {error.words}"
        if error.login_refused:
            return LoginRefused(f"{words}; check username and password in the Secret")
        if error.missing_database:
            return DestinationError(f"{words}; correct config.database")
        if error.about_rows:
            return BatchRejected(_code(error), error.words)
        if error.transient:
            return TryLater("DESTINATION_UNAVAILABLE", words)
        return DestinationError(words)

    def _check_table(self, connection: dbapi.Connection) -> dict[str, str]:
        """Types of the table's columns (raises DestinationError for what is not there).

        A domain is the type beneath it, and lengths are left out: an explicit cast to a length or to a domain cuts
        what is too long, while the assignment to the column, which follows the cast, refuses it.
        """
        table, key, fields = self._target.object, self._target.key, self._target.fields
        regclass = "'" + quoted(table).replace("'", "''") + "'"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT to_regclass({regclass})::oid::bigint")
            (oid,) = cursor.fetchall()[0]
            if oid is None:
                raise DestinationError(f"{self._where}: there is no table {table!r}; create it or correct object")
            cursor.execute(
                "WITH RECURSIVE typed (num, name, type) AS ("
                "SELECT attnum, attname::text, atttypid FROM pg_attribute "
                f"WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped "
                "UNION ALL SELECT num, name, typbasetype FROM typed JOIN pg_type ON oid = type WHERE typtype = 'd') "
                "SELECT name, format_type(type, -1) FROM typed JOIN pg_type ON oid = type WHERE typtype <> 'd' "
                "ORDER BY num"
            )
            types = dict(cursor.fetchall())
            cursor.execute(
                "SELECT i.indexrelid::bigint, a.attname::text FROM pg_index i JOIN pg_attribute a "
                "ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) "
                f"WHERE i.indrelid = {oid} AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY 1"
            )
            pairs = cursor.fetchall()
        if missing := [f for f in fields if f not in types]:
            raise DestinationError(
                f"{self._where}: table {table!r} has no column {', '.join(missing)}; it has: {', '.join(types)}"
            )
        unique = [{name for _, name in index} for _, index in itertools.groupby(pairs, lambda pair: pair[0])]
        if set(key) not in unique:
            columns = ", ".join(key)
            raise DestinationError(
                f"{self._where}: table {table!r} has no unique constraint on ({columns}), which the mappings mark as "
                f"key; add one: ALTER TABLE {table} ADD UNIQUE ({columns})"
            )
        return types

    def _upsert(self, connection: dbapi.Connection, table: pa.Table) -> list[Outcome]:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{STAGE}")
            try:
                cursor.adbc_ingest(STAGE, table, mode="create", temporary=True)
            except adbc_driver_manager.Error as error:
                self._ingest_failed(cursor, _read(error))
                raise
            outcomes: list[Outcome] = [ACKNOWLEDGED] * table.num_rows
            self._write_range(cursor, self._upsert_of(table.schema), 0, table.num_rows, outcomes)
        return outcomes

    def _ingest_failed(self, cursor: dbapi.Cursor, error: ServerError) -> None:
        """Raises BatchRejected if it was the driver that refused a value: it says nothing, and the server still does.

        Such a refusal looks like a broken connection, but would come again however often the batch is tried.
        """
        if error.sqlstate:
            return
        try:
            cursor.execute("SELECT 1")
        except adbc_driver_manager.Error:
            return
        raise BatchRejected(
            "DESTINATION_VALIDATION", "a value cannot be written to PostgreSQL: out of its type's range"
        )

    def _write_range(self, cursor: dbapi.Cursor, upsert: Upsert, first: int, end: int, outcomes: list[Outcome]) -> None:
        """Write the records [first, end); where the server refuses some for their own sake, find out which."""
        try:
            cursor.execute(upsert.sql(first, end))
        except adbc_driver_manager.Error as raised:
            error = _read(raised)
            if not error.about_rows:
                raise
            if end - first == 1:
                outcomes[first] = Rejected(_code(error), error.words)
                return
            middle = (first + end) // 2
            self._write_range(cursor, upsert, first, middle, outcomes)
            self._write_range(cursor, upsert, middle, end, outcomes)

    def _upsert_of(self, schema: pa.Schema) -> Upsert:
        key, fields = self._target.key, self._target.fields
        columns = ", ".join(map(identifier, fields))
        values = ", ".join(_value(schema, name, self._types[name]) for name in fields)
        changed = [f"{identifier(name)} = EXCLUDED.{identifier(name)}" for name in fields if name not in key]
        action = f"UPDATE SET {', '.join(changed)}" if changed else "NOTHING"
        return Upsert(
            head=f"INSERT INTO {quoted(self._target.object)} ({columns}) SELECT {values} FROM pg_temp.{STAGE}",
            tail=f"ON CONFLICT ({', '.join(map(identifier, key))}) DO {action}",
        )


def _staged(table: pa.Table) -> pa.Table:
    """The records as the driver can write them: infinite dates and timestamps in columns of words beside their own.

    The driver moves numbers to the server's epoch, also those that DuckDB and Arrow write for the infinities: the
    largest number, and its negative.
    """
    for position, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            integer, largest = pa.int64(), 2**63 - 1
        elif pa.types.is_date32(field.type):
            integer, largest = pa.int32(), 2**31 - 1
        else:
            continue
        numbers = table.column(position).cast(integer)
        infinite = pc.is_in(numbers, pa.array([largest, -largest], integer))
        if not pc.any(infinite).as_py():
            continue
        words = pc.if_else(pc.greater(numbers, 0), "infinity", "-infinity")
        table = table.append_column(_infinite(field.name), pc.if_else(infinite, words, pa.scalar(None, pa.string())))
        finite = pc.if_else(infinite, pa.scalar(None, integer), numbers).cast(field.type)
        table = table.set_column(position, field, finite)
    return table


def _infinite(name: str) -> str:
    """The column of the ingested table that holds the infinities of another."""
    return f"retl_infinite {name}"


def _value(schema: pa.Schema, name: str, to: str) -> str:
    """An ingested column as the type of the table's column."""
    kind, value = schema.field(name).type, identifier(name)
    if (infinite := _infinite(name)) in schema.names:
        timestamp = "timestamptz" if pa.types.is_timestamp(kind) and kind.tz else "timestamp"
        time = "date" if pa.types.is_date32(kind) else timestamp
        value = f"coalesce({identifier(infinite)}::{time}, {value})"
    if to in JSON_TYPES and not pa.types.is_string(kind):
        return f"to_jsonb({value})::{to}"
    if to in BIT_TYPES and pa.types.is_integer(kind):
        return f"{value}::text::{to}"  # the cast of a number keeps only its last bits
    return f"{value}::{to}"


def _code(error: ServerError) -> Code:
    return "CONFLICT" if error.sqlstate in ("23505", "21000") else "DESTINATION_VALIDATION"


def _read(error: Exception) -> ServerError:
    return server_error(str(error), getattr(error, "sqlstate", None))
