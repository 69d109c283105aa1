"""A connection to a DuckDB file, and what its errors mean."""

import re
from typing import Any

import duckdb

from retl.destinations.base import Code
from retl.destinations.duckdb.config import DuckDBDestinationConfig
from retl.destinations.tables.steps import Refused

_OF_ROWS = (
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
    duckdb.TypeMismatchException,
)
_PASSING = (duckdb.InterruptException, duckdb.TransactionException)
_DECLARED = re.compile("Constraint Error: (CHECK|NOT NULL) constraint failed")
_VALUES = (
    (re.compile(r"\n\nLINE \d+: [^\n]*\n *\^+\s*$"), ""),  # part of the statement
    (re.compile(r"'.*'", re.DOTALL), "'…'"),
    (re.compile(r'".*"', re.DOTALL), '"…"'),
    (re.compile(r"(value) [^…'\"]+? (can't|is out of range|to [A-Z])"), r"\1 … \2"),
    (re.compile(r"(but got \w+): .*", re.DOTALL), r"\1: …"),
)
"""Where messages quote values of rows, which may have line breaks and quotes of their own in them."""
_PASSING_WORDS = re.compile("lock on file|No space left|being used by another process")


class DuckDBSession:
    """A connection. Statements commit by themselves unless BEGIN was said."""

    def __init__(self, config: DuckDBDestinationConfig) -> None:
        self._connection = duckdb.connect(config.path)
        self._connection.execute(f"SET memory_limit = '{config.memory_limit}'; SET TimeZone = 'UTC'")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query returns (raises Refused)."""
        try:
            return self._connection.execute(sql).fetchall()
        except _OF_ROWS as error:
            raise Refused(_code(error), words(error)) from None

    def count(self, sql: str) -> int:
        """How many rows a statement wrote (raises Refused)."""
        counted = self.rows(sql)
        return int(counted[0][0]) if counted else 0

    def show(self, name: str, table: Any) -> None:
        """Let statements read an Arrow table."""
        self._connection.register(name, table)

    def hide(self, name: str) -> None:
        """Forget it."""
        self._connection.unregister(name)

    def interrupt(self) -> None:
        """Break the running statement off; may be called from any thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection; with the last one, the file."""
        self._connection.close()


def transient(error: Exception) -> bool:
    """Whether trying again later may help."""
    return isinstance(error, _PASSING) or bool(_PASSING_WORDS.search(str(error)))


def words(error: Exception) -> str:
    """The message on one line; of an error about rows with the values in it replaced."""
    text = str(error)
    if not isinstance(error, _OF_ROWS):
        return " ".join(text.partition("\n\nLINE")[0].split())[:500]
    if _DECLARED.match(text):  # constraints are shown as they are declared
        return text.partition("\n")[0][:500]
    for pattern, shown in _VALUES:
        text = pattern.sub(shown, text)
    return " ".join(text.split())[:500]


def _code(error: Exception) -> Code:
    return "CONFLICT" if "Duplicate key" in str(error) else "DESTINATION_VALIDATION"
