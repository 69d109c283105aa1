"""What the author of a connector says of it, so that the kit can test it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar


class NotPossible(Exception):
    """The receiver has no such thing; the test is skipped and says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the source, and what the receiver should hold of it."""

    key: str
    name: str


class ConnectorCase(ABC):
    """One connector, one receiver. A case is made anew for each test.

    Attributes:
        connector: its name, as in manifests.
        object: that the rows are written to.
        key_field, name_field: destination fields of a row's key and name; name_field is None where a record is its key
            alone, as the member of an audience is.
        rows: how many a run sends, at least 12.
        batch_size: delivery.batchSize.
        more: further parts of the sync's spec, such as mappings.
    """

    connector: ClassVar[str]
    object: ClassVar[str] = "accounts"
    key_field: ClassVar[str] = "id"
    name_field: ClassVar[str | None] = "name"
    rows: ClassVar[int] = 25
    batch_size: ClassVar[int] = 10
    more: Mapping[str, Any] = {}

    @abstractmethod
    def serving(self) -> AbstractAsyncContextManager[None]:
        """The receiver, empty, for as long as the context lasts."""

    @abstractmethod
    def config(self) -> Mapping[str, Any]:
        """`spec.config` of its SyncDestination, while it is served."""

    def login(self) -> Mapping[str, str]:
        """The Secret's keys and values."""
        return {}

    @abstractmethod
    async def records(self) -> Mapping[str, str]:
        """What the receiver holds: the name by the key; the key twice where there are no names."""

    async def events(self) -> Sequence[str]:
        """The keys of what was appended, in any order."""
        raise NotPossible("the receiver takes no events")

    async def seed(self, rows: Sequence[Row]) -> None:
        """Put records there that the sync did not write."""
        raise NotPossible("the receiver cannot be given records beforehand")

    def row(self, number: int, version: int = 0) -> Row:
        """The row of that number; its name differs from version to version."""
        return Row(f"k{number:05}", f"name {number}" if not version else f"name {number} v{version}")

    def refused(self, number: int) -> Row:
        """A row that the receiver refuses for its own sake."""
        raise NotPossible("the receiver refuses no record for its own sake")

    def wrong_login(self) -> Mapping[str, str]:
        """A login that the receiver refuses."""
        raise NotPossible("the receiver has no login")

    async def refuse_for_rate(self, calls: int) -> None:
        """The next calls are refused for the rate."""
        raise NotPossible("the receiver has no rate limit")

    async def fail(self, calls: int) -> None:
        """The next calls fail for the receiver's sake: an outage, 503."""
        raise NotPossible("the receiver's outage cannot be provoked")

    async def drop_reply(self) -> None:
        """The next call is carried out, and its connection breaks before the reply."""
        raise NotPossible("a reply cannot be lost")

    async def expire_login(self) -> None:
        """Tokens that were given out until now are refused from now on."""
        raise NotPossible("the login does not expire")
