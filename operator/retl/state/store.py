"""StateStore: what must outlast a run, and the promises about it.

Two implementations: `sql` opens the database (the API pod, or the command line with SQLite), `http` speaks to the state
service (runners in a cluster). The engine knows neither.

Promises that both keep:
- One run of a sync at a time: a claim is refused while another run holds one whose lease has not run out.
- Every claim gets a higher fence than all before; whatever an older fence sends is refused with Fenced.
- A commit is one transaction and idempotent by (fence, sequence): sent twice, it counts once.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from retl.resources.destination import RateLimit
from retl.resources.run import Replay, RunCounts, RunMode, RunProgress
from retl.resources.sync import DeadLetters
from retl.runspec.result import RunResult
from retl.runspec.spec import RunIdentity, SyncIdentity

LEASE = timedelta(seconds=45)
"""A claim without a heartbeat for this long is free for another run."""
HEARTBEAT = timedelta(seconds=10)

HASH_BYTES = 16
NO_ROW = bytes(HASH_BYTES)
"""A row hash that no row has, so every row differs from it: nobody knows what the destination holds."""
GONE = b"\xff" * HASH_BYTES
"""A row hash that says: this key is no longer in the snapshot."""
SENT = b"\x01" * HASH_BYTES
"""A row hash that says: a write that must not be repeated was begun, and nobody knows whether it was carried out."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a sync remembers beside its snapshot. A new baseline forgets all of it.

    Attributes:
        mapping: fingerprint of the mappings that rows were last sent with.
        columns: names and types of the columns that the query returned last.
        watermark: text of the cursor column's value from which the next run must read; None to read all.
        freshness: what schedule.freshness found at the last success, with its type; None if it was not asked.
    """

    mapping: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    watermark: str | None = None
    freshness: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Asks for the right to write for a sync.

    Attributes:
        baseline: JSON of destination, object, mode, primary key and key fields. A snapshot taken under another one
            reads as empty, and the first commit replaces it.
        owner: who asks, `host/pid/start` locally or the pod's name, for messages and for dead local owners.
        ledger: names a new ledger, where the snapshot only says what one run has sent (append): it starts empty; dead
            letters and notes stay. Empty to go on with whichever there is.
        letters: how many dead letters are kept, and for how long.
    """

    run: RunIdentity
    sync: SyncIdentity
    baseline: str
    owner: str
    ledger: str = ""
    letters: DeadLetters = field(default_factory=DeadLetters)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write for a sync.

    Attributes:
        salt: 16 bytes, constant for the sync; keys and rows are hashed with it, so a snapshot tells nothing by itself.
        snapshot_rows: upper bound of keys in the snapshot (deltas may repeat a key).
        previous: the baseline that the state was recorded under; None if there is none yet.
        notes: what the sync remembers under this baseline.
    """

    sync_uid: str
    run_uid: str
    fence: int
    salt: bytes
    snapshot_rows: int
    previous: str | None = None
    notes: Notes = Notes()


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Some (key hash, row hash) pairs; a later part wins over an earlier one.

    Attributes:
        sequence: order of the part within the sync's snapshot.
        keys: 16 bytes a row, one after the other.
        rows: 16 bytes a row, in the same order.
        records: only in mode mirror, which must name what it deletes: the key fields of each record as JSON (nothing
            where the row is GONE) and a line feed, in the same order. Encrypted at rest.
    """

    sequence: int
    keys: bytes
    rows: bytes
    records: bytes = b""


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """A record that could not be written.

    Attributes:
        key: 16-byte hash of the row's primary key (of the whole row when the key is null).
        row: 16-byte hash of its mapped values; NO_ROW if the next run shall send it whatever its code.
        record_keys: destination key fields and their values, for the person who looks.
        payload: the mapped record as JSON, or None when the sync does not store payloads.
        record: 16-byte hash of its key at the destination, as the snapshot knows it; empty if that is `key`.
        operation: what was to be done with it.
    """

    key: bytes
    row: bytes
    code: str
    message: str
    record_keys: dict[str, str | None]
    payload: bytes | None = None
    attempts: int = 1
    record: bytes = b""
    operation: str = "upsert"


@dataclass(frozen=True, slots=True)
class Commit:
    """One step forward, all or nothing.

    Attributes:
        sequence: 1, 2, 3 … within the claim.
        keys, rows: hashes of records and of what is now known of them, 16 bytes each, in the same order.
        records: as in SnapshotPart.
        resolved: primary key hashes of rows whose open dead letters are resolved as `superseded`; it also ends that a
            dismissed one is left out, so name the keys of both.
        dead_letters: rejected, invalid and unknown records; one open entry a key, the newest wins, `attempts` adds up.
            They count after `resolved`.
        counts: totals of the run so far.
        notes: what the sync remembers from now on, if that has changed.
        ended: ids of jobs that are forgotten.
    """

    sequence: int
    counts: RunCounts
    keys: bytes = b""
    rows: bytes = b""
    dead_letters: Sequence[NewDeadLetter] = ()
    records: bytes = b""
    resolved: bytes = b""
    notes: Notes | None = None
    ended: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A batch that the destination took as a job, and has not spoken of yet.

    Attributes:
        id: a UUID.
        handle: by which the connector asks for it.
        run_uid: the run that submitted it.
        keys, rows, marks: 16-byte hashes, concatenated, in the same order: of the records' keys, of what the snapshot
            says once they are written, and of what the job's results tell them by.
    """

    id: str
    handle: str
    run_uid: str
    operation: str
    submitted_at: datetime
    keys: bytes
    rows: bytes
    marks: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry of the dead letter queue.

    Attributes:
        id: a UUID; ids of later entries are greater.
        run: name of the run that saw it last.
        resolution: superseded (a later row was acknowledged), dismissed (by a person), or rebaselined.
        operation: what was to be done with the record.
        payload: the mapped record as JSON; only where one entry was asked for.
        run_uid: uid of that run; None of an entry older than this field.
        reason: what a person said who dismissed it, or had it sent again; None if nobody did.
    """

    id: str
    sync_uid: str
    sync: str
    namespace: str
    run: str
    code: str
    message: str
    record_keys: dict[str, str | None]
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None
    operation: str = "upsert"
    payload: bytes | None = None
    run_uid: str | None = None
    reason: str | None = None

    @property
    def cursor(self) -> str:
        """Where the next page begins, if this is the last entry of one."""
        moment = self.resolved_at or self.last_seen_at
        return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')}_{self.id}"


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers over the dead letters of a namespace or sync.

    Attributes:
        open: entries that wait.
        resolved: entries that are resolved and not forgotten yet.
        dropped: refused records of each sync's last run that no entry was kept of, because there were too many.
        by_code, by_sync: open entries; only those with any.
        oldest: when the oldest open entry was first seen.
    """

    open: int
    resolved: int
    dropped: int
    by_code: dict[str, int]
    by_sync: dict[str, int]
    oldest: datetime | None


RunState = Literal["Running", "Succeeded", "Failed", "Cancelled", "AwaitingApproval", "Interrupted"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the state store remembers it. Interrupted: its runner vanished without a last word."""

    uid: str
    name: str
    sync_uid: str
    sync: str
    namespace: str
    state: RunState
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    reason: str = ""
    message: str = ""
    counts: RunCounts = field(default_factory=RunCounts)
    dead_letters: int = 0
    mode: RunMode = "Sync"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that dead letters speak of: 16-byte primary key and row hashes, concatenated, same order.

    The row hash is that of the row which is not to be sent again; NO_ROW where the destination itself was in trouble.

    Attributes:
        keys, rows: open entries.
        dismissed_keys, dismissed_rows: entries that a person closed without a replay: to be left out until the row
            changes, but nobody waits for them any more.
    """

    keys: bytes
    rows: bytes
    dismissed_keys: bytes = b""
    dismissed_rows: bytes = b""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """An open dead letter as a replay needs it; the hashes and the operation as in NewDeadLetter.

    Attributes:
        payload: only for a replay of stored payloads; None where none was kept.
    """

    id: str
    key: bytes
    row: bytes
    record: bytes
    operation: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Calls that a runner may make, evenly spaced.

    Slots that were missed are lost: calling sooner than `interval` after another call could break the limit.

    Attributes:
        start: time from now until the first.
        interval: time between two.
        calls: how many.
    """

    start: timedelta
    interval: timedelta
    calls: int


class StateStore(ABC):
    """Durable state of syncs. All methods raise StateError when the store cannot be used."""

    @abstractmethod
    async def claim(self, request: ClaimRequest) -> Claim:
        """Take the sync for this run. A later attempt of the same run takes over from an earlier one.

        Raises:
            Busy: another run holds it.
            Fenced: a later attempt of this run has already started.
        """

    @abstractmethod
    def snapshot(self, claim: Claim) -> AsyncIterator[SnapshotPart]:
        """The parts of the snapshot, oldest first (raises Fenced)."""

    @abstractmethod
    async def waiting(self, claim: Claim) -> Waiting:
        """The open dead letters, and which rows wait until they change (raises Fenced)."""

    @abstractmethod
    def letters(self, claim: Claim, replay: Replay) -> AsyncIterator[KeptLetter]:
        """The open dead letters that a replay asks for, oldest first (raises Fenced)."""

    @abstractmethod
    async def reserve(self, claim: Claim, account: str, limit: RateLimit, calls: int) -> Reservation:
        """Take the next calls of a destination account's rate, shared by all its runners (raises Fenced).

        Args:
            account: uid of the destination.
            limit: what the destination's manifest allows; a slower pace that was learnt from it (`slow_down`) counts.
            calls: how many are wanted; fewer may be given, those of about 250 ms at most.
        """

    @abstractmethod
    async def slow_down(self, claim: Claim, account: str, pause: timedelta) -> None:
        """The account refused a call for its rate: nobody calls for `pause`, and then slower for a while."""

    @abstractmethod
    async def save_plan(self, claim: Claim, plan: bytes) -> None:
        """Keep the plan of this run, a JSON document, for people to look at (raises Fenced)."""

    @abstractmethod
    async def commit(self, claim: Claim, commit: Commit) -> None:
        """Make one step durable.

        Raises:
            Fenced.
            InvalidInput: records in a Plan, or of a mirror where the state database has no key for them.
        """

    @abstractmethod
    async def keep_job(self, claim: Claim, job: OpenJob) -> None:
        """Remember a job until a commit ends it; one of the same id is replaced (raises Fenced, InvalidInput)."""

    @abstractmethod
    async def jobs(self, claim: Claim) -> list[OpenJob]:
        """The jobs that no commit has ended, oldest first (raises Fenced)."""

    @abstractmethod
    async def compact(self, claim: Claim, parts: Sequence[SnapshotPart], replaces: int) -> None:
        """Replace all parts up to sequence `replaces` by these, in one transaction (raises Fenced)."""

    @abstractmethod
    async def heartbeat(self, claim: Claim, counts: RunCounts, progress: RunProgress | None = None) -> None:
        """Keep the lease and show how far the run is, as of now (raises Fenced)."""

    @abstractmethod
    async def finish(self, claim: Claim, result: RunResult) -> RunResult:
        """End the run and free the sync; returns the result with its dead letters counted (raises Fenced)."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections; safe to call twice."""


class StateReader(ABC):
    """What people look at. Served from the database only."""

    @abstractmethod
    async def runs(self, *, namespace: str, sync: str | None = None, limit: int = 50) -> list[RunRecord]:
        """Runs, newest first."""

    @abstractmethod
    async def plan(self, *, namespace: str, run: str) -> bytes | None:
        """The plan that a run saved, a JSON document; None if there is none.

        Args:
            run: its name or uid.
        """

    @abstractmethod
    async def dead_letters(
        self,
        *,
        namespace: str,
        sync: str | None = None,
        resolved: bool = False,
        code: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[DeadLetter]:
        """A page of open dead letters, last seen first, or of those that are resolved, last resolved first.

        Args:
            sync: name of the sync.
            since: leave out what was seen, or resolved, before.
            after: `cursor` of the last entry of the page before.
        Raises:
            InvalidInput: `after` is no cursor.
        """

    @abstractmethod
    async def dead_letter(self, *, namespace: str, id: str) -> DeadLetter | None:
        """One entry with its payload; None if there is none of that id."""

    @abstractmethod
    async def statistics(self, *, namespace: str, sync: str | None = None) -> Statistics:
        """Numbers over the dead letters."""

    @abstractmethod
    async def resolve(self, *, namespace: str, ids: Sequence[str]) -> int:
        """Dismiss open entries without a replay: their rows are left out until they change.

        Returns:
            How many there were; ids that are resolved or not known are passed over.
        """

    @abstractmethod
    async def erase(self, *, namespace: str, field: str, value: str, sync: str | None = None) -> int:
        """Forget what entries, open and resolved, hold of a person.

        Args:
            field: a destination field, `address.city` within a nested one, that entries show or keep in their payload.
            value: as text, exactly.
        Returns:
            How many entries held it.
        """
