"""What a source connector is: it opens a query and yields Arrow batches, nothing else.

Staging, casting, diffing and accounting belong to the engine.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar

from retl.runspec.catalog import CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.spec import Query

if TYPE_CHECKING:
    import pyarrow as pa

UNREADABLE = "\0unreadable "
"""Before a column's name: a column of booleans, behind those of the query, that is true where that column's value
cannot be given as it is. The value is NULL there, and a row whose mappings read it is invalid."""


class Source(ABC):
    """A warehouse. Methods block; the engine calls them from a worker thread."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        """Keep the settings; do not connect yet."""

    @abstractmethod
    def read(self, query: Query) -> "AbstractContextManager[pa.RecordBatchReader]":
        """Run the query and stream its rows in Arrow batches of a few thousand rows; never the whole set in memory.

        Behind the query's columns there may be some whose names begin with UNREADABLE.

        The context closes the connection. Raises SourceError (unreachable, login refused, SQL refused) with the
        server's own words and no secret.
        """

    @abstractmethod
    def columns(self, query: Query) -> "pa.Schema":
        """Names and types that the query returns, without reading rows (raises SourceError)."""

    def server(self) -> str:
        """Log in; what the warehouse says of itself, empty if it says nothing (raises SourceError)."""
        return ""

    def objects(self) -> Sequence[CatalogObject] | None:
        """The tables and views that can be read, each with its columns; None if the warehouse cannot say."""
        return None

    def cancel(self) -> None:  # noqa: B027 - a connector that cannot interrupt a read need not say so
        """Break off a read that another thread is waiting in; that read then raises SourceError."""
