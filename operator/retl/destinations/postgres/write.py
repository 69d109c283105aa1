"""Carries out one operation on an ingested batch, and finds out what became of each record."""

from collections.abc import Callable

import adbc_driver_manager
from adbc_driver_postgresql import dbapi

from retl.destinations.base import ACKNOWLEDGED, Code, Outcome, Rejected
from retl.destinations.postgres.sql import SWALLOWED, Statements
from retl.destinations.tables.search import refused
from retl.destinations.tables.steps import Ranged
from retl.postgresql import ServerError, server_error

UNIQUE_VIOLATION = "23505"
CARDINALITY_VIOLATION = "21000"


class Interrupted(Exception):
    """The batch was broken off.

    Attributes:
        doubt: some of it may have been written.
    """

    def __init__(self, error: ServerError, *, doubt: bool) -> None:
        super().__init__(error.words)
        self.error = error
        self.doubt = doubt


class Writer:
    """Writes one ingested batch.

    Attributes:
        hopeful: the table may have none of the records yet; no more once it had one.
    """

    def __init__(self, cursor: dbapi.Cursor, operation: str, sql: Statements, size: int, *, hopeful: bool) -> None:
        self.hopeful = hopeful
        self._cursor = cursor
        self._sql = sql
        self._one_transaction = operation == "append"
        self._begun = False
        self._outcomes: list[Outcome] = [ACKNOWLEDGED] * size

    def run(self) -> list[Outcome]:
        """One outcome a record, in order (raises Interrupted)."""
        if self._one_transaction:
            self._cursor.execute("BEGIN")
        for place, reason in refused(len(self._outcomes), self._try).items():
            self._outcomes[place] = reason
        if self._one_transaction:
            self._execute("COMMIT")
        return self._outcomes

    def _try(self, first: int, end: int) -> Rejected | None:
        """Write [first, end), all or nothing; why the server refuses it, if it does for the sake of some record."""
        if self._one_transaction:
            self._cursor.execute("SAVEPOINT retl")
        try:
            reason = self._write(first, end)
        except Interrupted as interrupted:
            if not interrupted.error.about_rows:
                raise
            reason = Rejected(code_of(interrupted.error), interrupted.error.words)
        if reason and self._one_transaction:
            self._cursor.execute("ROLLBACK TO SAVEPOINT retl")
        return reason

    def _write(self, first: int, end: int) -> Rejected | None:
        sql = self._sql
        if sql.counted and (self._inserted(first, end) or self._count(sql.counted, first, end) == end - first):
            return None
        if not sql.written or not sql.present:
            return SWALLOWED
        missing = {*range(first, end)} - {*self._places(sql.written, first, end)}
        if missing:
            present = {*self._places(sql.present, first, end)}
            for place in missing:
                self._outcomes[place] = sql.if_present if place in present else sql.if_absent
        return None

    def _inserted(self, first: int, end: int) -> bool:
        """Whether the records could be written as if the table had none of them."""
        if not self._sql.plain or not self.hopeful:
            return False
        try:
            return self._count(self._sql.plain, first, end) == end - first
        except Interrupted as interrupted:
            self.hopeful = interrupted.error.sqlstate != UNIQUE_VIOLATION
            if self.hopeful:
                raise
            return False

    def _count(self, statement: Ranged, first: int, end: int) -> int:
        """How many records a statement wrote."""
        self._execute(statement.over(first, end))
        return int(self._cursor.rowcount)

    def _places(self, statement: Ranged, first: int, end: int) -> list[int]:
        """What a statement returns."""
        places: list[int] = []
        self._execute(
            statement.over(first, end), lambda: places.extend(self._cursor.fetch_arrow_table().column(0).to_pylist())
        )
        return places

    def _execute(self, statement: str, then: Callable[[], None] = lambda: None) -> None:
        """Execute a statement that writes, or ends what was written (raises Interrupted).

        Args:
            then: reads what it returns; the statement ends no sooner.
        """
        try:
            self._cursor.execute(statement)
            then()
        except adbc_driver_manager.Error as raised:
            error = read(raised)
            in_doubt = error.connection_lost and (statement == "COMMIT" or not self._one_transaction)
            raise Interrupted(error, doubt=in_doubt or self._begun) from None
        self._begun = self._begun or not self._one_transaction


def code_of(error: ServerError) -> Code:
    """What a refusal for a row's sake is called."""
    return "CONFLICT" if error.sqlstate in (UNIQUE_VIOLATION, CARDINALITY_VIOLATION) else "DESTINATION_VALIDATION"


def read(error: Exception) -> ServerError:
    """What the server said through the driver."""
    return server_error(str(error), getattr(error, "sqlstate", None))
