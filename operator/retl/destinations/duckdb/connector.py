"""Writes batches into a table of a DuckDB file: Arrow into a staging table, then statements that move it.

One process at a time can write a file, and one call at a time does.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import duckdb
import pyarrow as pa

from retl.destinations.base import BatchRejected, LookupRequest, Outcome, Rejected, TryLater
from retl.destinations.duckdb.column_types import type_of
from retl.destinations.duckdb.config import DuckDBDestinationConfig, duckdb_capabilities
from retl.destinations.duckdb.session import DuckDBSession, transient, words
from retl.destinations.duckdb.sql import ARRIVED, looked_up, staged, staging, steps
from retl.destinations.duckdb.table import TABLES, describe
from retl.destinations.tables.creation import create_table
from retl.destinations.tables.destination import TableDestination, texts_of
from retl.destinations.tables.search import refused
from retl.destinations.tables.steps import PLACE, Changed, Interrupted, Mover, Refused
from retl.destinations.tables.table import Table
from retl.errors import DestinationError
from retl.postgresql import identifier, quoted
from retl.runspec.catalog import CatalogObject, listed
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

R = TypeVar("R")


class DuckDBDestination(TableDestination[DuckDBSession]):
    """A table of a DuckDB file."""

    name = "duckdb"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, DuckDBDestinationConfig)
        self.capabilities = duckdb_capabilities(config)
        self._config = config
        self.where = f"DuckDB {config.path}"
        self.creates = config.create_table
        self._session: DuckDBSession | None = None

    def log_in(self, timeout: timedelta) -> None:
        self._timeout = timeout.total_seconds()
        self._turn = asyncio.Lock()

    async def carried_out(self, work: Callable[[DuckDBSession], R]) -> R:
        async with self._turn:
            under_way = asyncio.ensure_future(asyncio.to_thread(self._with_session, work))
            try:
                await asyncio.wait({under_way}, timeout=self._timeout)
            finally:
                while not under_way.done():
                    if self._session:
                        self._session.interrupt()  # it breaks off one statement, and the work may have more
                    await asyncio.wait({under_way}, timeout=0.1)
            return under_way.result()

    def read(self, session: DuckDBSession, name: str) -> Table | None:
        return describe(session, name)

    def move(self, session: DuckDBSession, table: Table, records: pa.Table, operation: str) -> list[Outcome]:
        wanted = self.target.key if operation == "delete" else self.target.fields
        records = records.select([name for name in records.schema.names if name in wanted])
        keys_as_text = operation == "delete" and self.target.mode == "mirror"
        key = () if operation == "append" else self.target.key
        missing = _stage(session, table, records, key, keys_as_text=keys_as_text)
        made = steps(operation, self.target, records.schema.names)
        return Mover(session, made, records.num_rows, missing, whole=False).run()

    def make(self, session: DuckDBSession, schema: pa.Schema) -> None:
        session.count(create_table(quoted(self.target.object), self.target, schema, identifier, type_of))

    def version(self, session: DuckDBSession) -> str:
        return f"DuckDB {duckdb.__version__}"

    def listing(self, session: DuckDBSession) -> list[CatalogObject]:
        return listed(session.rows(TABLES))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await asyncio.to_thread(session.close)

    def _with_session(self, work: Callable[[DuckDBSession], R]) -> R:
        """Do some work on the connection; after an error it is opened anew."""
        try:
            self._session = self._session or DuckDBSession(self._config)
            return work(self._session)
        except Interrupted as interrupted:
            raise self._broken(interrupted.cause, doubt=interrupted.doubt) from None
        except (Refused, duckdb.Error) as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception, *, doubt: bool = False) -> Exception:
        session, self._session = self._session, None
        if session:
            session.close()
        if isinstance(error, Refused):
            return BatchRejected(error.code, error.words)
        if not isinstance(error, duckdb.Error | Changed):
            return error
        said = f"{self.where}: {words(error)}"
        if isinstance(error, duckdb.OutOfMemoryException):
            return DestinationError(f"{said}; raise config.memoryLimit, or lower delivery.batchSize")
        if isinstance(error, Changed) or transient(error):
            return TryLater("OUTCOME_UNKNOWN" if doubt else "DESTINATION_UNAVAILABLE", said)
        return DestinationError(said)

    def find(
        self, session: DuckDBSession, table: Table, request: LookupRequest, values: Sequence[bytes]
    ) -> dict[bytes, bytes]:
        _stage(session, table, pa.table({request.match_field: texts_of(values)}), (), keys_as_text=True)
        found = session.rows(looked_up(table, request.match_field, request.return_field))
        return {values[at]: (value or "null").encode() for at, value in found}


def _stage(
    session: DuckDBSession, table: Table, records: pa.Table, key: Sequence[str], *, keys_as_text: bool
) -> dict[int, Rejected]:
    """Stage records; those that the table cannot have, by place."""
    session.count(staging(table, records.schema.names, key))
    insert = staged(table, records.schema, keys_as_text=keys_as_text)

    def attempt(first: int, end: int) -> Rejected | None:
        try:
            session.count(insert.over(first, end))
        except Refused as error:
            return Rejected(error.code, error.words)
        return None

    session.show(ARRIVED, records.append_column(PLACE, pa.array(range(records.num_rows), pa.int32())))
    try:
        return refused(records.num_rows, attempt)
    finally:
        session.hide(ARRIVED)
