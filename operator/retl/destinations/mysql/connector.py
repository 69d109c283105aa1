"""Writes batches into a table of MySQL or MariaDB: rows into a staging table, then statements that move them.

ON DUPLICATE KEY UPDATE is not used: it would change a record of another key that shares some other unique value.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import pyarrow as pa
import pymysql

from retl.destinations.base import BatchRejected, Code, LoginRefused, LookupRequest, Outcome, TryLater
from retl.destinations.mysql.column_types import type_of
from retl.destinations.mysql.config import MysqlConfig, MysqlCredentials, mysql_capabilities
from retl.destinations.mysql.errors import server_error
from retl.destinations.mysql.literals import json_text
from retl.destinations.mysql.session import MysqlSession
from retl.destinations.mysql.sql import identifier, looked_up, quoted, steps
from retl.destinations.mysql.stage import stage
from retl.destinations.mysql.table import TABLES, describe, kinds
from retl.destinations.tables.creation import create_table
from retl.destinations.tables.destination import TableDestination, texts_of
from retl.destinations.tables.steps import Changed, Interrupted, Mover, Refused
from retl.destinations.tables.table import Table
from retl.errors import DestinationError
from retl.runspec.catalog import CatalogObject, listed
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

R = TypeVar("R")


class Mysql(TableDestination[MysqlSession]):
    """A table of MySQL or MariaDB."""

    name = "mysql"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, MysqlConfig)
        assert isinstance(credentials, MysqlCredentials)
        self.capabilities = mysql_capabilities(config)
        self._config = config
        self._credentials = credentials
        self.where = f"MySQL {config.host}:{config.port}, database {config.database!r}"
        self.creates = config.create_table
        self._idle: list[MysqlSession] = []
        self._open = False

    def log_in(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self._open = True

    async def carried_out(self, work: Callable[[MysqlSession], R]) -> R:
        return await asyncio.to_thread(self._with_session, work)

    def read(self, session: MysqlSession, name: str) -> Table | None:
        try:
            return describe(session, name, self._config.database)
        except DestinationError as error:
            raise DestinationError(f"{self.where}: {error}") from None

    def move(self, session: MysqlSession, table: Table, records: pa.Table, operation: str) -> list[Outcome]:
        wanted = self.target.key if operation == "delete" else self.target.fields
        fields = [name for name in records.schema.names if name in wanted]
        keys_as_text = operation == "delete" and self.target.mode == "mirror"
        key = () if operation == "append" else self.target.key
        missing = stage(session, table, records.select(fields), key, keys_as_text=keys_as_text)
        made = steps(operation, self.target, fields)
        return Mover(session, made, records.num_rows, missing, whole=operation == "append").run()

    def make(self, session: MysqlSession, schema: pa.Schema) -> None:
        session.count(create_table(quoted(self.target.object), self.target, schema, identifier, type_of))

    def version(self, session: MysqlSession) -> str:
        [(version,)] = session.rows("SELECT VERSION()")
        number, _, maker = str(version).partition("-")
        return f"{'MariaDB' if 'MariaDB' in maker else 'MySQL'} {number}"

    def listing(self, session: MysqlSession) -> list[CatalogObject]:
        return listed(session.rows(TABLES))

    async def close(self) -> None:
        self._open = False
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    def _with_session(self, work: Callable[[MysqlSession], R]) -> R:
        """Do some work on a connection; one that an error came over is not used again."""
        try:
            session = self._idle.pop() if self._idle else MysqlSession(self._config, self._credentials, self._timeout)
            try:
                result = work(session)
            except BaseException:
                session.close()
                raise
        except Interrupted as interrupted:
            raise self._error(interrupted.cause, doubt=interrupted.doubt) from None
        except (Refused, pymysql.err.Error, OSError) as error:
            raise self._error(error) from None
        if self._open:
            self._idle.append(session)
        else:
            session.close()
        return result

    def _error(self, raised: Exception, *, doubt: bool = False) -> Exception:
        if isinstance(raised, Refused):
            return BatchRejected(raised.code, raised.words)
        code: Code = "OUTCOME_UNKNOWN" if doubt else "DESTINATION_UNAVAILABLE"
        if isinstance(raised, Changed):
            return TryLater(code, f"{self.where}: {raised}")
        if not isinstance(raised, pymysql.err.Error | OSError):
            return raised
        error = server_error(raised)
        words = f"{self.where}: {error.words}"
        if error.login_refused:
            return LoginRefused(f"{words}; check username and password in the Secret")
        if error.missing_database:
            return DestinationError(f"{words}; correct config.database")
        return TryLater(code, words) if error.transient else DestinationError(words)

    def find(
        self, session: MysqlSession, table: Table, request: LookupRequest, values: Sequence[bytes]
    ) -> dict[bytes, bytes]:
        stage(session, table, pa.table({request.match_field: texts_of(values)}), keys_as_text=True)
        found = session.rows(looked_up(request.object, request.match_field, request.return_field))
        is_json = kinds(table)[request.return_field] == "json"
        return {values[at]: (value if is_json and value else json_text(value)).encode() for at, value in found}
