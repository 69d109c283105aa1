"""What a destination connector is: it writes one batch and says what became of each record.

The engine owns batching, concurrency, retry, dead letters and accounting; the connector only translates.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from retl.errors import DestinationError
from retl.runspec.capabilities import Capabilities as Capabilities
from retl.runspec.catalog import CatalogObject
from retl.runspec.codes import FOR_ITS_OWN_SAKE as FOR_ITS_OWN_SAKE
from retl.runspec.codes import Code as Code
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go: the same for every batch of a run.

    Attributes:
        object: object, table or resource of the destination.
        mode: the sync's mode.
        key: destination fields that identify a record, in mapping order.
        fields: all destination fields, in mapping order.
        timeout: longest wait for one call.
        skip_nulls: fields that a NULL leaves as they are. JSON records lack them then; columns hold the NULL.
        only_if_empty: fields that are written only where the destination has no value.
        began: when the run began (UTC), for a destination that drops what was written before; None without a run.
    """

    object: str
    mode: str
    key: tuple[str, ...]
    fields: tuple[str, ...]
    timeout: timedelta
    skip_nulls: frozenset[str] = frozenset()
    only_if_empty: frozenset[str] = frozenset()
    began: datetime | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that travel in one call. Exactly one of `payloads` and `table` is set, as `Capabilities.payload` says.

    Attributes:
        payloads: one JSON object a record, UTF-8, fields in mapping order.
        table: one row a record, one column a destination field, in Arrow types.
        operation: what is to be done with them: upsert, insert, update, delete, append or a mode that the connector
            declares. A mirror's deletes name the key fields only, in a table as text.
        ids: idempotency key of each record: the same for the same change, over retries and crashes.
    """

    size: int
    payloads: Sequence[bytes] | None = None
    table: "pa.Table | None" = None
    operation: str = "upsert"
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Batching:
    """How the records of one operation travel.

    Attributes:
        records: in one call, unless the sync asks for fewer.
        most: that the vendor takes in one call, whatever the sync asks for.
        bytes: most bytes of the records' JSON in one call; None for no limit. A longer record travels alone.
        asynchronous: a call is a job: `submit`, `poll` and `collect` carry it, not `write`.
    """

    records: int
    most: int
    bytes: int | None = None
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A job is under way.

    Attributes:
        ask_in: when to ask again; None lets the engine choose.
    """

    ask_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over, well or badly: `collect` says what became of its records."""


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A job never began, and never will: none of its records was written."""


JobStatus = Running | Ended | NotBegun


@dataclass(frozen=True, slots=True)
class JobResults:
    """What became of the records of a job.

    Attributes:
        outcomes: by mark, as `Destination.marks` gave them.
        rest: of all records that have none there.
    """

    outcomes: "Mapping[str, Outcome]"
    rest: "Outcome"


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field of the destination's object, as the destination describes it."""

    name: str
    type: str
    read_only: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """Which field of which records of another object; values are given and returned as JSON texts."""

    object: str
    match_field: str
    return_field: str


@dataclass(frozen=True, slots=True)
class RateSignal:
    """What a reply said about the account's rate, beside its content.

    Attributes:
        limit: calls in each window.
        remaining: calls left until the window ends.
        reset: time until then.
        window: length of the window, if the reply says so.
    """

    remaining: int | None = None
    limit: int | None = None
    reset: timedelta | None = None
    window: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The destination has the record."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The destination refused this record for its own sake. The message is the destination's, without row values."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The destination left things as they are: the record exists (insert) or does not (update)."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether the record was written."""

    message: str


Outcome = Acknowledged | Rejected | Skipped | Unknown
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
    """Some record that the destination does not name is at fault; the engine halves the batch to find it.

    Nothing was written, or what was written may be written again: an operation that is not in
    `Capabilities.repeatable` raises it only in the first case. The message is the destination's, without row values.
    """

    code: Code
    message: str

    def __str__(self) -> str:
        return self.message


class LoginRefused(DestinationError):
    """The destination refused the credentials; no batch can succeed.

    Args:
        said: the destination's own words. They may repeat a record's values, so they go into dead letters only.
    """

    reason = "DestinationAuth"

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class Destination(ABC):
    """A tool that records are written into. One instance serves one run; `write` is called concurrently."""

    name: ClassVar[str]
    capabilities: Capabilities
    """What it can do, configured as it is."""
    signal: Callable[[RateSignal], None] = staticmethod(lambda signal: None)
    """The engine sets it; called from the event loop with what replies say about the rate."""

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

    def batching(self, operation: str, rows: int) -> Batching:
        """How the records of an operation travel, after `open` and before the first of them.

        Args:
            rows: how many the run is about to send.
        """
        can = self.capabilities
        return Batching(can.default_batch, can.max_batch, can.max_bytes)

    @abstractmethod
    async def write(self, batch: Batch) -> Sequence[Outcome]:
        """Write one batch; one outcome a record, in order.

        Raises:
            TryLater: nothing was written, and trying again may help; with the code OUTCOME_UNKNOWN, something may have
                been written. Whether to write it again is the engine's decision, by `Capabilities.repeatable`.
            BatchRejected: nothing was written, and nobody says because of which record.
            LoginRefused: the credentials were refused.
        """

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        """Hand in a batch as a job; its handle: text by which another process can ask for it, without secrets.

        Args:
            keep: makes the handle durable. Call it as soon as the handle is known, if possible before the job can have
                an effect: a runner that dies later is followed by one that asks for the job instead of sending again.
        Raises:
            as `write`. When it is called again for the same batch, the job before counts no more.
        """
        raise NotImplementedError(f"connector {self.name!r} has no jobs")

    def marks(self, batch: Batch) -> Sequence[str]:
        """What the results of a job tell each record of the batch by, in order: its key, or its place from 0.

        Only salted hashes of them are kept.
        """
        return [str(place) for place in range(batch.size)]

    async def poll(self, handle: str) -> JobStatus:
        """How far a job is, perhaps one that another process submitted (raises as `write`)."""
        raise NotImplementedError(f"connector {self.name!r} has no jobs")

    async def collect(self, handle: str) -> JobResults:
        """What became of the records of a job that has ended (raises as `write`)."""
        raise NotImplementedError(f"connector {self.name!r} has no jobs")

    async def complete(self) -> None:  # noqa: B027 - only modes of its own have something to complete
        """Every row was sent and acknowledged, in a mode of `Capabilities.every_row`: drop what was not sent.

        Raises:
            TryLater, LoginRefused, DestinationError: as `write`.
        """

    async def fields(self) -> Sequence[FieldInfo] | None:
        """The fields of the target's object, after `open`; None if the destination cannot say."""
        return None

    async def server(self) -> str:
        """Log in, without a target; what the destination says of itself, if anything (raises as `open`)."""
        return ""

    async def objects(self) -> Sequence[CatalogObject] | None:
        """The objects that it has, each with its fields, after `server`; None if the destination cannot say."""
        return None

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        """The fields of one object for a sync in that mode, after `server`; None if the destination cannot say.

        Raises:
            DestinationError: there is no such object.
        """
        return None

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """What records hold in `return_field`, by their value of `match_field`; those that do not exist are left out.

        Args:
            values: distinct JSON texts. Of several records with one value, any may answer.
        Raises:
            TryLater, LoginRefused, DestinationError: as `write`.
        """
        raise DestinationError(f"connector {self.name!r} has no lookups; remove lookup from the mappings")

    @abstractmethod
    async def close(self) -> None:
        """Release connections; safe to call twice and after a failed `open`."""
