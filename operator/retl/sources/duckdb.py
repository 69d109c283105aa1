"""Reads a DuckDB database file, or Parquet, CSV and JSON files, in the runner's own process."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import duckdb
import pyarrow as pa

from retl.errors import SourceError
from retl.postgresql import identifier, quoted
from retl.runspec.catalog import MAX_COLUMNS, CatalogField, CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.spec import Query
from retl.sources.base import Source
from retl.sources.configs import DuckDBConfig
from retl.sources.window import windowed

BATCH_ROWS = 16_384
ABOUT_DATA = ("Conversion Error", "Invalid Input Error", "Out of Range Error", "Constraint Error")


class DuckDBSource(Source):
    """Local files as a warehouse."""

    name = "duckdb"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, DuckDBConfig)
        self._config = config
        self._running: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        with self._connect() as connection:
            with _translated():
                reader = connection.sql(_statement(query)).to_arrow_reader(BATCH_ROWS)
            yield pa.RecordBatchReader.from_batches(reader.schema, _batches(reader))

    def columns(self, query: Query) -> pa.Schema:
        with self._connect() as connection, _translated():
            return connection.sql(f"SELECT * FROM (\n{_statement(query)}\n) LIMIT 0").to_arrow_table().schema

    def server(self) -> str:
        with self._connect():
            return f"DuckDB {duckdb.__version__}"

    def objects(self) -> Sequence[CatalogObject]:
        with self._connect() as connection, _translated():
            rows = connection.execute(
                "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || table_name, column_name, "
                f"data_type FROM duckdb_columns() WHERE NOT internal ORDER BY 1, column_index LIMIT {MAX_COLUMNS}"
            ).fetchall()
        return [
            CatalogObject(name=name, fields=[CatalogField(name=column, type=kind) for _, column, kind in columns])
            for name, columns in groupby(rows, lambda row: row[0])
        ]

    def cancel(self) -> None:
        with self._lock:
            if self._running is not None:
                self._running.interrupt()

    @contextmanager
    def _connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _translated():
            connection = duckdb.connect(self._config.path or ":memory:", read_only=self._config.path is not None)
        try:
            with _translated():
                connection.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true")
                for name, pattern in self._config.files.items():
                    files = "'" + pattern.replace("'", "''") + "'"
                    connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS SELECT * FROM {files}")
            with self._lock:
                self._running = connection
            yield connection
        finally:
            with self._lock:
                self._running = None
            connection.close()


def _statement(query: Query) -> str:
    if query.table is not None:
        return windowed(f"SELECT * FROM {quoted(query.table)}", query.window)
    assert query.sql is not None
    return windowed(query.sql.strip().rstrip(";"), query.window)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with _translated():
        yield from reader


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise SourceError(f"DuckDB: {_words(str(error))}") from None


def _words(text: str) -> str:
    """DuckDB's message on one line; of an error about data only the first, with the values in it replaced."""
    if text.startswith(ABOUT_DATA):
        return re.sub(r"'.*'", "'…'", text.partition("\n")[0])[:500]
    return " ".join(text.partition("\n\nLINE")[0].split())[:500]
