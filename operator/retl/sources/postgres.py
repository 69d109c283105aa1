"""Reads from PostgreSQL over ADBC: binary COPY into Arrow batches, in one read-only transaction.

Types that the driver reads exactly arrive as Arrow types. `numeric` arrives as exact text under the Arrow extension
`arrow.opaque[numeric]`. Everything else (inet, ranges, intervals, enums, composite types …) would arrive as raw bytes;
such columns are selected as text.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import StatementOptions, dbapi

from retl.errors import SourceError, SourceUnavailable
from retl.postgresql import ServerError, connection_uri, identifier, quoted, server_error
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.spec import Query
from retl.sources.base import Source
from retl.sources.configs import PostgresConfig, PostgresCredentials
from retl.sources.window import windowed

BATCH_BYTES = 4 * 1024 * 1024
"""Size of a batch that reads fastest (measured)."""

POSTGRES_EPOCH_DAYS = 10_957
"""From 1970-01-01 to 2000-01-01, where the server counts from."""

SESSION = "-c default_transaction_read_only=on -c TimeZone=UTC -c IntervalStyle=iso_8601"

EXACT = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "name"}
    | {"date", "time", "timestamp", "timestamptz", "uuid", "json", "jsonb", "bytea"}
)
"""Server types that the driver turns into Arrow without loss, alone or in an array of one dimension."""

FLATTENED = "dimensions in the array "
"""What stands in the server's error over an array that the driver would flatten, before the column's name."""

TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<end>;)
    |[eE]'(?:[^'\\]|\\.|'')*'|'[^']*'|"[^"]*"|(?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag)
    |[^\W\d][\w$]*|.""",
    re.DOTALL | re.VERBOSE,
)
"""A piece of SQL; a semicolon within a comment or within quotes is none."""


class PostgresSource(Source):
    """A PostgreSQL warehouse."""

    name = "postgres"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, PostgresConfig)
        assert isinstance(credentials, PostgresCredentials)
        self._config = config
        self._uri = connection_uri(config, credentials, SESSION)
        self._running: dbapi.Cursor | None = None
        self._lock = threading.Lock()

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        with self._connect() as connection, connection.cursor() as cursor:
            with self._translated():
                statement = _readable(cursor, _statement(query))
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
                with self._lock:
                    self._running = cursor
                try:
                    cursor.execute(statement)
                    reader = cursor.fetch_record_batch()
                except BaseException:
                    self._forget()
                    raise
            try:
                yield pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))
            finally:
                self._forget()
                reader.close()

    def columns(self, query: Query) -> pa.Schema:
        with self._connect() as connection, connection.cursor() as cursor, self._translated():
            return cursor.adbc_execute_schema(_readable(cursor, _statement(query)))

    def cancel(self) -> None:
        with self._lock:
            if self._running is not None:
                self._running.adbc_cancel()

    def _forget(self) -> None:
        with self._lock:
            self._running = None

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._translated():
            for batch in reader:
                yield _with_infinities(batch)

    @contextmanager
    def _connect(self) -> Iterator[dbapi.Connection]:
        with self._translated():
            connection = dbapi.connect(self._uri)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            if flattened := re.search(f'"(\\d+) {FLATTENED}(.*)"', str(error)):
                raise SourceError(
                    f"column {flattened[2]!r} holds an array of {flattened[1]} dimensions, and only those of one can "
                    f"be read; select it as text ({flattened[2]}::text) or as JSON (to_jsonb({flattened[2]}))"
                ) from None
            raise self._error(server_error(str(error), getattr(error, "sqlstate", None))) from None

    def _error(self, error: ServerError) -> SourceError:
        where = f"PostgreSQL {self._config.host}:{self._config.port}"
        if error.login_refused:
            return SourceError(f"{where} refused the login: {error.words}; check username and password in the Secret")
        if error.missing_database:
            return SourceError(f"{where} has no database {self._config.database!r}; correct config.database")
        if error.transient:
            return SourceUnavailable(f"{where} cannot be read from: {error.words}")
        return SourceError(f"{where}, database {self._config.database!r}: {error.words}")


def _with_infinities(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, with infinite dates and timestamps as DuckDB writes them: the largest number, and its negative.

    The driver moves the server's numbers to another epoch without looking, so that the infinities wrap around.
    """
    for position, field in enumerate(batch.schema):
        times = batch.column(position)
        if (restored := _restored(field.name, times)) is not times:
            batch = batch.set_column(position, field, restored)
    return batch


def _restored(name: str, times: pa.Array) -> pa.Array:
    """Times, or lists of them, with their infinities (raises SourceError for a time beyond Arrow's range)."""
    if pa.types.is_list(times.type):
        values = times.values
        if (items := _restored(name, values)) is values:
            return times
        return pa.ListArray.from_arrays(times.offsets, items, type=times.type, mask=times.is_null())
    if pa.types.is_timestamp(times.type):
        integer, largest, moved = pa.int64(), 2**63 - 1, POSTGRES_EPOCH_DAYS * 86_400_000_000
    elif pa.types.is_date32(times.type):
        integer, largest, moved = pa.int32(), 2**31 - 1, POSTGRES_EPOCH_DAYS
    else:
        return times
    numbers = times.cast(integer)
    wrapped = -largest - 2 + moved  # infinity; minus infinity is the next number
    smallest = pc.min(numbers).as_py()
    if smallest is None or smallest > wrapped + 1:
        return times
    if smallest < wrapped:
        raise SourceError(f"column {name!r} holds a time after the year 294246; select it as text: {name}::text")
    numbers = pc.if_else(pc.equal(numbers, wrapped), pa.scalar(largest, integer), numbers)
    numbers = pc.if_else(pc.equal(numbers, wrapped + 1), pa.scalar(-largest, integer), numbers)
    return numbers.cast(times.type)


def _statement(query: Query) -> str:
    if query.table is not None:
        return windowed(f"SELECT * FROM {quoted(query.table)}", query.window)
    assert query.sql is not None
    return windowed(_open_ended(query.sql), query.window)


def _open_ended(sql: str) -> str:
    """The query fit to stand in parentheses: without semicolons at its end, and with a line break after it.

    What follows the last semicolon can only be blanks and comments; text of a second statement is left for the server
    to refuse. Without the line break, a comment in the last line would hide the closing parenthesis.
    """
    end = None
    for token in TOKEN.finditer(sql):
        if token.lastgroup == "end":
            end = token.start() if end is None else end
        elif token.lastgroup != "blank":
            end = None
    return f"{sql[:end].strip()}\n"


def _readable(cursor: dbapi.Cursor, statement: str) -> str:
    """The statement, with columns that the driver cannot read turned into text, and arrays looked at."""
    schema = cursor.adbc_execute_schema(statement)
    if all(_exact(field) and not _is_array(field) for field in schema):
        return statement
    columns = ", ".join(f"{_column(field, f'c{i}')} AS {identifier(field.name)}" for i, field in enumerate(schema))
    names = ", ".join(f"c{i}" for i in range(len(schema)))
    return f"SELECT {columns} FROM (\n{statement}\n) AS retl_query ({names})"


def _exact(field: pa.Field) -> bool:
    return _server_type(field).removeprefix("_") in EXACT


def _is_array(field: pa.Field) -> bool:
    return _server_type(field).startswith("_")


def _column(field: pa.Field, name: str) -> str:
    if not _exact(field):
        return f"{name}::{'numeric' if _server_type(field) == 'money' else 'text'}"
    if not _is_array(field):
        return name
    # The driver flattens arrays. Where that would lose something, a bound that is no number makes the query fail.
    fault = "' " + FLATTENED + field.name.replace("'", "''") + "'"
    return f"CASE WHEN array_ndims({name}) > 1 THEN {name}[1:(array_ndims({name}) || {fault})::int] ELSE {name} END"


def _server_type(field: pa.Field) -> str:
    return bytes((field.metadata or {}).get(b"POSTGRESQL:type", b"")).decode()
