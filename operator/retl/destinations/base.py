"""What a destination connector is: it writes one batch and says what became of each record.

The engine owns batching, concurrency, retry, dead letters and accounting; the connector only translates.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from retl.errors import DestinationError
from retl.runspec.codes import FOR_ITS_OWN_SAKE as FOR_ITS_OWN_SAKE
from retl.runspec.codes import Code as Code
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine may ask of a connector.

    Attributes:
        modes: sync modes it can carry out.
        default_batch: records in one call unless the sync says otherwise.
        max_batch: most records that the vendor takes in one call.
        payload: `json` if it sends each record as JSON text, `arrow` if it wants columns.
        idempotent: writing a record twice has the effect of writing it once, so a time-out may be retried.
    """

    modes: frozenset[str]
    default_batch: int
    max_batch: int
    payload: Literal["json", "arrow"]
    idempotent: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go: the same for every batch of a run.

    Attributes:
        object: object, table or resource of the destination.
        mode: how records are written.
        key: destination fields that identify a record, in mapping order.
        fields: all destination fields, in mapping order.
        timeout: longest wait for one call.
    """

    object: str
    mode: str
    key: tuple[str, ...]
    fields: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that travel in one call. Exactly one of `payloads` and `table` is set, as `Capabilities.payload` says.

    Attributes:
        payloads: one JSON object a record, UTF-8, fields in mapping order.
        table: one row a record, one column a destination field, in Arrow types.
    """

    size: int
    payloads: Sequence[bytes] | None = None
    table: "pa.Table | None" = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The destination has the record."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The destination refused this record for its own sake. The message is the destination's, without row values."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether the record was written."""

    message: str


Outcome = Acknowledged | Rejected | Unknown
ACKNOWLEDGED = Acknowledged()


@dataclass
class TryLater(Exception):
    """The whole call failed for the destination's sake; the same batch may succeed later.

    Attributes:
        code: RATE_LIMIT, DESTINATION_UNAVAILABLE or OUTCOME_UNKNOWN.
        retry_after: what the destination asked for; None lets the engine back off.
        said: the destination's own words. They may repeat a record's values, so they go into dead letters only.
    """

    code: Code
    message: str
    retry_after: timedelta | None = field(default=None)
    said: str = ""

    def __str__(self) -> str:
        return self.message


@dataclass
class BatchRejected(Exception):
    """Nothing was written, for the sake of some record that the destination does not name; the engine looks for it.

    The message is the destination's, without row values.
    """

    code: Code
    message: str

    def __str__(self) -> str:
        return self.message


class LoginRefused(DestinationError):
    """The destination refused the credentials; no batch can succeed."""

    reason = "DestinationAuth"


class Destination(ABC):
    """A tool that records are written into. One instance serves one run; `write` is called concurrently."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    @abstractmethod
    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        """Keep the settings; do not connect yet."""

    @abstractmethod
    async def open(self, target: Target) -> None:
        """Connect and check what can be checked without writing.

        Raises:
            DestinationUnavailable: unreachable.
            DestinationError: the object or a field is not there.
            LoginRefused: the credentials were refused.
        """

    @abstractmethod
    async def write(self, batch: Batch) -> Sequence[Outcome]:
        """Write one batch; one outcome a record, in order.

        Raises:
            TryLater: nothing was written, and trying again may help; with the code OUTCOME_UNKNOWN, something may have
                been written, and writing it again does no harm.
            BatchRejected: nothing was written, and nobody says because of which record.
            LoginRefused: the credentials were refused.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release connections; safe to call twice and after a failed `open`."""
