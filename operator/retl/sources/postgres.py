"""Reads from PostgreSQL over ADBC: binary COPY into Arrow batches, in one read-only transaction.

Types that the driver reads exactly arrive as Arrow types. `numeric` arrives as exact text under the Arrow extension
`arrow.opaque[numeric]`. Everything else (inet, ranges, intervals, enums, composite types …) would arrive as raw bytes;
such columns are selected as text.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import StatementOptions, dbapi

from retl.errors import SourceError, SourceUnavailable
from retl.postgresql import ServerError, connection_uri, identifier, quoted, server_error
from retl.postgresql_tables import SERVER_VERSION, tables_of
from retl.runspec.catalog import CatalogObject, listed
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.spec import Query
from retl.sources.base import UNREADABLE, Source
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

FLATTENED = "retl flattened "
"""Name of a column that says which values of another are arrays of several dimensions, before the other's number."""

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
                columns = _Columns.of(reader.schema)
                yield pa.RecordBatchReader.from_batches(columns.schema, self._batches(reader, columns))
            finally:
                self._forget()
                reader.close()

    def columns(self, query: Query) -> pa.Schema:
        with self._connect() as connection, connection.cursor() as cursor, self._translated():
            schema = cursor.adbc_execute_schema(_readable(cursor, _statement(query)))
            return pa.schema([field for field in schema if not field.name.startswith(FLATTENED)])

    def server(self) -> str:
        return str(self._rows(SERVER_VERSION)[0][0])

    def objects(self) -> Sequence[CatalogObject]:
        return listed(self._rows(tables_of(("SELECT",))))

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connect() as connection, connection.cursor() as cursor, self._translated():
            cursor.execute(sql)
            return list(cursor.fetchall())

    def cancel(self) -> None:
        with self._lock:
            if self._running is not None:
                self._running.adbc_cancel()

    def _forget(self) -> None:
        with self._lock:
            self._running = None

    def _batches(self, reader: pa.RecordBatchReader, columns: "_Columns") -> Iterator[pa.RecordBatch]:
        with self._translated():
            for batch in reader:
                yield columns.exact(batch)

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


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is made of the columns that the driver returns.

    Attributes:
        schema: the query's columns, and behind them one for each that may hold what cannot be read.
        flattened: for columns of arrays, the position of the one that says which would be flattened.
        times: positions of columns that hold times, alone or in arrays.
    """

    schema: pa.Schema
    flattened: dict[int, int]
    times: tuple[int, ...]

    @classmethod
    def of(cls, read: pa.Schema) -> Self:
        own = [field for field in read if not field.name.startswith(FLATTENED)]
        flattened = {int(name.removeprefix(FLATTENED)): at for at, name in enumerate(read.names) if at >= len(own)}
        times = tuple(at for at, field in enumerate(own) if pa.types.is_timestamp(_item(field.type)))
        odd = [pa.field(f"{UNREADABLE}{own[at].name}", pa.bool_()) for at in sorted({*flattened, *times})]
        return cls(pa.schema([*own, *odd]), flattened, times)

    def exact(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch with infinite times as DuckDB writes them: the largest number, and its negative.

        The driver moves the server's numbers to another epoch without looking, so that they wrap around.
        """
        columns, odd = [], []
        for at, values in enumerate(batch.columns[: len(batch.columns) - len(self.flattened)]):
            values, late = _restored(values)
            columns.append(values)
            if at in self.flattened:
                flat = batch.column(self.flattened[at])
                late = flat if late is None else pc.or_kleene(flat, late)
            if at in self.flattened or at in self.times:
                odd.append(pa.nulls(len(values), pa.bool_()) if late is None else late)
        return pa.RecordBatch.from_arrays([*columns, *odd], schema=self.schema)


def _item(kind: pa.DataType) -> pa.DataType:
    """The type of an array's items, or the type itself."""
    return kind.value_type if pa.types.is_list(kind) else kind


def _restored(times: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Times, or lists of them, with their infinities; and which are NULL now because they are beyond Arrow's range."""
    if pa.types.is_list(times.type):
        items, late = _restored(times.values)
        if items is times.values:
            return times, None
        lists = pa.ListArray.from_arrays(times.offsets, items, type=times.type, mask=times.is_null())
        if late is None:
            return lists, None
        parents = pc.list_parent_indices(times)
        bad = pc.unique(pc.filter(parents, pc.fill_null(late.slice(times.offsets[0].as_py(), len(parents)), False)))
        late = pc.is_in(pa.array(range(len(times)), parents.type), bad)
        return pc.if_else(late, pa.scalar(None, times.type), lists), late
    if pa.types.is_timestamp(times.type):
        integer, largest, moved = pa.int64(), 2**63 - 1, POSTGRES_EPOCH_DAYS * 86_400_000_000
    elif pa.types.is_date32(times.type):
        integer, largest, moved = pa.int32(), 2**31 - 1, POSTGRES_EPOCH_DAYS
    else:
        return times, None
    numbers = times.cast(integer)
    wrapped = -largest - 2 + moved  # infinity; minus infinity is the next number
    smallest = pc.min(numbers).as_py()
    if smallest is None or smallest > wrapped + 1:
        return times, None
    late = pc.less(numbers, wrapped) if smallest < wrapped else None
    if late is not None:
        numbers = pc.if_else(late, pa.scalar(None, integer), numbers)
    numbers = pc.if_else(pc.equal(numbers, wrapped), pa.scalar(largest, integer), numbers)
    numbers = pc.if_else(pc.equal(numbers, wrapped + 1), pa.scalar(-largest, integer), numbers)
    return numbers.cast(times.type), late


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
    """The statement, with columns that the driver cannot read turned into text, and arrays looked at.

    The driver flattens arrays. One of more dimensions is NULL; a further column FLATTENED, with the number of the
    array's, says where.
    """
    schema = cursor.adbc_execute_schema(statement)
    if all(_exact(field) and not _is_array(field) for field in schema):
        return statement
    columns = [f"{_column(field, f'c{i}')} AS {identifier(field.name)}" for i, field in enumerate(schema)]
    for i, field in enumerate(schema):
        if _exact(field) and _is_array(field):
            columns.append(f"array_ndims(c{i}) > 1 AS {identifier(f'{FLATTENED}{i}')}")
    names = ", ".join(f"c{i}" for i in range(len(schema)))
    return f"SELECT {', '.join(columns)} FROM (\n{statement}\n) AS retl_query ({names})"


def _exact(field: pa.Field) -> bool:
    return _server_type(field).removeprefix("_") in EXACT


def _is_array(field: pa.Field) -> bool:
    return _server_type(field).startswith("_")


def _column(field: pa.Field, name: str) -> str:
    if not _exact(field):
        return f"{name}::{'numeric' if _server_type(field) == 'money' else 'text'}"
    if not _is_array(field):
        return name
    return f"CASE WHEN array_ndims({name}) > 1 THEN NULL ELSE {name} END"


def _server_type(field: pa.Field) -> str:
    return bytes((field.metadata or {}).get(b"POSTGRESQL:type", b"")).decode()
