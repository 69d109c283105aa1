"""A destination whose objects are tables: what is the same whatever server keeps them.

The server's own connector says how to speak to it, how it describes a table, and how a batch is moved into one.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

import orjson
import pyarrow as pa

from retl.destinations.base import (
    Batch,
    BatchRejected,
    Destination,
    FieldInfo,
    LookupRequest,
    Outcome,
    Target,
    TryLater,
)
from retl.destinations.tables.creation import creatable, without_table
from retl.destinations.tables.table import INSERTING, Table
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.catalog import CatalogObject

S = TypeVar("S")
R = TypeVar("R")

CHECK_TIMEOUT = timedelta(seconds=30)


class TableDestination(Destination, Generic[S]):
    """A table of some server; S is what statements go through.

    Attributes:
        where: the server and the database, for messages.
        creates: a table that is not there is made when the first record for it comes.
    """

    where: str
    creates: bool
    target: Target
    table: Table | None = None

    async def open(self, target: Target) -> None:
        self.target = target
        self._making = asyncio.Lock()
        self.log_in(target.timeout)
        self.table = await self.asked(lambda session: self.read(session, target.object))
        if self.table is None and not (self.creates and creatable(target)):
            raise DestinationError(f"{self.where}: {_missing(target.object)}")
        self._check()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.table is not None
        records = batch.table
        if self.table is None and batch.operation in INSERTING:
            await self._make(records.schema)
        if (table := self.table) is None:
            return [without_table(batch.operation)] * batch.size
        return await self.carried_out(lambda session: self.move(session, table, records, batch.operation))

    async def fields(self) -> Sequence[FieldInfo] | None:
        return self.table.fields(self.target) if self.table else None

    async def server(self) -> str:
        self.log_in(CHECK_TIMEOUT)
        return await self.asked(self.version)

    async def objects(self) -> Sequence[CatalogObject]:
        return await self.asked(self.listing)

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        table = await self.asked(lambda session: self.read(session, name))
        if table is None and not self.creates:
            raise DestinationError(f"{self.where}: {_missing(name)}")
        return table.described() if table else None

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return await self.carried_out(
            lambda session: self.find(session, self._looked_into(session, request), request, values)
        )

    async def asked(self, work: Callable[[S], R]) -> R:
        """What the server answers before anything is written (raises DestinationError)."""
        try:
            return await self.carried_out(work)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as error:
            raise DestinationError(f"{self.where}: {error}") from None

    @abstractmethod
    def log_in(self, timeout: timedelta) -> None:
        """From now on, statements may be carried out, each in this time."""

    @abstractmethod
    async def carried_out(self, work: Callable[[S], R]) -> R:
        """Do some work in a thread of its own (raises as `write`)."""

    @abstractmethod
    def read(self, session: S, name: str) -> Table | None:
        """A table's description; None if there is none of that name."""

    @abstractmethod
    def move(self, session: S, table: Table, records: pa.Table, operation: str) -> list[Outcome]:
        """Write a batch; one outcome a record, in order."""

    @abstractmethod
    def make(self, session: S, schema: pa.Schema) -> None:
        """Make the target's table for records of that schema, unless it is there."""

    @abstractmethod
    def version(self, session: S) -> str:
        """What the server says of itself."""

    @abstractmethod
    def listing(self, session: S) -> list[CatalogObject]:
        """The tables that the login may write."""

    @abstractmethod
    def find(self, session: S, table: Table, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """What a table that has both columns holds, as `lookup` returns it."""

    async def _make(self, schema: pa.Schema) -> None:
        async with self._making:
            if self.table is not None:
                return

            def made(session: S) -> Table | None:
                self.make(session, schema)
                return self.read(session, self.target.object)

            self.table = await self.carried_out(made)
            self._check()

    def _looked_into(self, session: S, request: LookupRequest) -> Table:
        """The table that records are looked up in (raises DestinationError if it is not there, or lacks a column)."""
        table = self.read(session, request.object)
        if table is None:
            raise DestinationError(f"{self.where}: there is no table {request.object!r}; create it or correct its name")
        for name in (request.match_field, request.return_field):
            if name not in table.columns:
                raise DestinationError(
                    f"{self.where}: table {table.name!r} has no column {name}; it has: {', '.join(table.columns)}"
                )
        return table

    def _check(self) -> None:
        if self.table and (problem := self.table.problem(self.target)):
            raise DestinationError(f"{self.where}: {problem}")


def texts_of(values: Sequence[bytes]) -> pa.Array:
    """Values that stand as JSON, as a column of texts."""
    asked = [value.decode() if type(loaded := orjson.loads(value)) is not str else loaded for value in values]
    return pa.array([None if value == "null" else value for value in asked], pa.string())


def _missing(name: str) -> str:
    return f"there is no table {name!r}; create it or correct object; with createTable, a sync that inserts makes it"
