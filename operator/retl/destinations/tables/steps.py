"""How a staged batch is moved into a table, and what becomes of each of its records.

A server that keeps no word on single records is asked beforehand which of them it has; what it then changes and what it
inserts are two statements of one transaction. PostgreSQL, which returns what it wrote, has a way of its own.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from retl.destinations.base import ACKNOWLEDGED, Code, Outcome, Rejected, Skipped, Target
from retl.destinations.tables.search import refused

STAGE = "retl_batch"
"""Temporary table that a batch is staged in."""
PLACE = "retl_place"
"""Its column that says which record of the batch a row is."""
EXISTS = Skipped("the record exists")
ABSENT = Skipped("there is no such record")


@dataclass(frozen=True, slots=True)
class Ranged:
    """A statement over a range of the staged records."""

    head: str
    tail: str = ""

    def over(self, first: int, end: int) -> str:
        """For the records [first, end)."""
        return f"{self.head} {PLACE} >= {first} AND {PLACE} < {end} {self.tail}"


@dataclass(frozen=True, slots=True)
class Steps:
    """How one operation is carried out.

    Attributes:
        present: returns the places of the records that the table has; None where that does not matter.
        change: changes or deletes the records that the table has.
        insert: inserts those that it has not, or all without `present`.
        if_present: outcome of a record that the table had.
        if_absent: outcome of a record that it had not.
    """

    present: Ranged | None = None
    change: Ranged | None = None
    insert: Ranged | None = None
    if_present: Outcome = ACKNOWLEDGED
    if_absent: Outcome = ACKNOWLEDGED


def assigned(target: Target, name: str, *, new: str, old: str, text: str) -> str:
    """What a field of a record that is there is set to.

    Args:
        new: what was staged, in SQL.
        old: what the record holds; `text` is the same as a text.
    """
    if name in target.skip_nulls:
        new = f"coalesce({new}, {old})"
    if name in target.only_if_empty:
        new = f"CASE WHEN {old} IS NULL OR {text} = '' THEN {new} ELSE {old} END"
    return new


@dataclass
class Refused(Exception):
    """The server refused a statement for the sake of some row. The words are its own, without row values."""

    code: Code
    words: str


@dataclass
class Interrupted(Exception):
    """A batch was broken off.

    Attributes:
        doubt: some of it may have been written.
    """

    cause: Exception
    doubt: bool


class Session(Protocol):
    """What statements go through. It raises Refused; every other exception breaks the batch off."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query returns."""

    def count(self, sql: str) -> int:
        """How many rows a statement wrote."""


class Changed(Exception):
    """Somebody else wrote the same records at the same time."""


class Mover:
    """Moves one staged batch.

    Args:
        size: records of the batch.
        missing: those that could not be staged, and why.
        whole: the batch is one transaction, so that one that breaks leaves nothing; else each range is.
    """

    def __init__(
        self, session: Session, steps: Steps, size: int, missing: Mapping[int, Rejected], *, whole: bool
    ) -> None:
        self._session = session
        self._steps = steps
        self._missing = missing
        self._whole = whole
        self._committed = False
        self._outcomes: list[Outcome] = [missing.get(place, ACKNOWLEDGED) for place in range(size)]

    def run(self) -> list[Outcome]:
        """One outcome a record, in order (raises Interrupted)."""
        try:
            if self._whole:
                self._session.count("BEGIN")
            for place, reason in refused(len(self._outcomes), self._try).items():
                self._outcomes[place] = reason
            if self._whole:
                self._commit()
        except Refused as error:  # a constraint that is only looked at in the end
            raise Interrupted(error, doubt=self._committed) from None
        except Interrupted:
            raise
        except Exception as error:
            raise Interrupted(error, doubt=self._committed) from None
        return self._outcomes

    def _try(self, first: int, end: int) -> Rejected | None:
        """Write [first, end), all or nothing; why the server refuses it, if it does for the sake of some record."""
        places = [place for place in range(first, end) if place not in self._missing]
        if not places:
            return None
        if not self._whole:
            self._session.count("BEGIN")
        try:
            there = self._write(first, end, len(places))
        except Refused as error:
            if not self._whole:
                self._session.count("ROLLBACK")
            return Rejected(error.code, error.words)
        if not self._whole:
            self._commit()
        for place in places:
            self._outcomes[place] = self._steps.if_present if place in there else self._steps.if_absent
        return None

    def _write(self, first: int, end: int, number: int) -> Collection[int]:
        """Carry the steps out; the places of the records that were there."""
        steps, there = self._steps, set[int]()
        if steps.present:
            there = {int(place) for (place,) in self._session.rows(steps.present.over(first, end))}
        if steps.change and (there or not steps.present):
            self._session.count(steps.change.over(first, end))
        if steps.insert and len(there) < number:
            written = self._session.count(steps.insert.over(first, end))
            if written != number - len(there):
                raise Changed("another writer changed the same records at the same time")
        return there

    def _commit(self) -> None:
        try:
            self._session.count("COMMIT")
        except Refused:
            raise
        except Exception as error:
            raise Interrupted(error, doubt=True) from None
        self._committed = True
