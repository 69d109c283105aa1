"""SqlStateStore: the state in a database of one's own, SQLite or PostgreSQL.

The command line opens it locally, the API pod opens it for all runners. Each method is one transaction; what happens in
it stands in `claims`, `snapshots`, `dead_letters` and `runs`.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import Connection, text, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.errors import InvalidInput
from retl.resources.run import RunCounts
from retl.runspec.result import RunResult
from retl.state import claims, dead_letters, runs, snapshots
from retl.state.database import BUSY_TIMEOUT, Database
from retl.state.pairs import bounded, check_pairs
from retl.state.store import (
    Claim,
    ClaimRequest,
    Commit,
    DeadLetter,
    RunRecord,
    SnapshotPart,
    StateReader,
    StateStore,
    Waiting,
)
from retl.state.tables import commits, syncs

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers over all syncs."""

    claimed_syncs: int
    open_dead_letters: int


class SqlStateStore(StateStore, StateReader):
    """StateStore and StateReader over a database. Make one with `open`."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    async def open(cls, url: str, *, busy_timeout: timedelta = BUSY_TIMEOUT, clock: Clock = utc_now) -> Self:
        """Connect to `sqlite:///path` or `postgresql://…` and bring the schema up to date.

        Args:
            busy_timeout: how long an SQLite file may be locked by another process.
        Raises:
            InvalidInput: the URL is not one of a state database.
            NewerDatabase: a newer version wrote it.
            StateError: the database cannot be used; the text says why and never holds the password.
        """
        return cls(await Database.open(url, busy_timeout), clock)

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        """Raise StateError unless the database answers and takes writes."""
        await self._database.run(_ping)

    # StateStore

    async def claim(self, request: ClaimRequest, nonce: str | None = None) -> Claim:
        """Take the sync for this run.

        Args:
            nonce: names this request, so that sending it again after a lost answer yields the same claim.
        Raises:
            Busy: another run holds the sync.
            Fenced: a later attempt of this run has started.
            ForeignSync: the sync is known under another namespace.
        """
        return await self._database.run(claims.take, request, nonce, self._clock())

    async def snapshot(self, claim: Claim, after: int | None = None) -> AsyncIterator[SnapshotPart]:
        """The parts of the snapshot, oldest first (raises Fenced).

        Args:
            after: leave out the parts up to this sequence.
        """
        for first, last in await self._database.read(_snapshot_ranges, claim, after):
            for part in await self._database.read(_snapshot_read, claim, first, last):
                yield part

    async def waiting(self, claim: Claim) -> Waiting:
        return await self._database.read(_waiting, claim)

    async def commit(self, claim: Claim, commit: Commit) -> None:
        check_pairs(commit.keys, commit.rows)
        await self._database.run(_commit, claim, commit, self._clock())

    async def compact(self, claim: Claim, parts: Sequence[SnapshotPart], replaces: int) -> None:
        compaction = secrets.randbits(62) + 1
        count = 0
        for part in bounded(parts):
            await self.stage(claim, compaction, part)
            count = part.sequence
        await self.swap(claim, compaction, count, replaces)

    async def stage(self, claim: Claim, compaction: int, part: SnapshotPart) -> None:
        """Lay down one part of a compacted snapshot; `part.sequence` counts from 1 (raises Fenced)."""
        await self._database.run(_stage, claim, compaction, part)

    async def swap(self, claim: Claim, compaction: int, count: int, replaces: int) -> None:
        """Put the `count` staged parts in the place of all parts up to `replaces` (raises Fenced).

        Called again for the same compaction, it does nothing.
        """
        await self._database.run(_swap, claim, compaction, count, replaces)

    async def heartbeat(self, claim: Claim, counts: RunCounts) -> None:
        await self._database.run(claims.renew, claim, counts, self._clock())

    async def finish(self, claim: Claim, result: RunResult) -> RunResult:
        return await self._database.run(_finish, claim, result, self._clock())

    # StateReader

    async def runs(self, *, namespace: str, sync: str | None = None, limit: int = 50) -> list[RunRecord]:
        return await self._database.read(_runs, namespace, sync, limit, self._clock())

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
        return await self._database.read(dead_letters.newest, namespace, sync, resolved, limit)

    async def namespace_of(self, sync_uid: str) -> str | None:
        """The namespace of a sync; None if it never had a run."""
        return await self._database.read(claims.namespace_of, sync_uid)

    async def totals(self) -> Totals:
        """Numbers over all syncs, for monitoring."""
        return await self._database.read(_totals)


def _totals(connection: Connection) -> Totals:
    return Totals(claims.count(connection), dead_letters.count_open(connection))


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _snapshot_ranges(connection: Connection, claim: Claim, after: int | None) -> list[tuple[int, int]]:
    sync = claims.check(connection, claim)
    return snapshots.ranges(connection, sync.uid, after) if sync.baseline == sync.claim_baseline else []


def _snapshot_read(connection: Connection, claim: Claim, first: int, last: int) -> list[SnapshotPart]:
    claims.check(connection, claim)
    return snapshots.read(connection, claim.sync_uid, first, last)


def _waiting(connection: Connection, claim: Claim) -> Waiting:
    sync = claims.check(connection, claim)
    if sync.baseline != sync.claim_baseline:
        return Waiting(keys=b"", rows=b"")
    return dead_letters.waiting(connection, sync.uid)


def _commit(connection: Connection, claim: Claim, commit: Commit, now: datetime) -> None:
    sync = claims.hold(connection, claim)
    if not _first_time(connection, claim, commit.sequence):
        return
    if commit.keys or commit.dead_letters:
        if sync.claim_plan:
            raise InvalidInput(
                f"sync {sync.namespace}/{sync.name}: a plan writes nothing, so it has no records to commit"
            )
        if sync.baseline != sync.claim_baseline:
            _rebaseline(connection, sync.uid, sync.claim_baseline, now)
    if commit.keys:
        snapshots.append(connection, sync.uid, commit.keys, commit.rows)
        dead_letters.supersede(connection, sync.uid, commit.keys, now)
    if commit.dead_letters:
        run = runs.name_of(connection, sync.uid, claim.run_uid)
        dead_letters.put(connection, sync, run, commit.dead_letters, now)
    runs.progress(connection, claim, commit.counts)


def _rebaseline(connection: Connection, sync_uid: str, baseline: str, now: datetime) -> None:
    """Start over: what was recorded speaks of another destination, object or key."""
    snapshots.drop(connection, sync_uid)
    dead_letters.rebaseline(connection, sync_uid, now)
    connection.execute(update(syncs).where(syncs.c.uid == sync_uid).values(baseline=baseline))


def _first_time(connection: Connection, claim: Claim, sequence: int) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"sync_uid": claim.sync_uid, "fence": claim.fence, "sequence": sequence}
    inserted = dialect.insert(commits).values(values).on_conflict_do_nothing().returning(commits.c.sequence)
    return connection.execute(inserted).first() is not None


def _stage(connection: Connection, claim: Claim, compaction: int, part: SnapshotPart) -> None:
    claims.hold(connection, claim)
    snapshots.stage(connection, claim.sync_uid, compaction, part)


def _swap(connection: Connection, claim: Claim, compaction: int, count: int, replaces: int) -> None:
    sync = claims.hold(connection, claim)
    if not _first_time(connection, claim, -compaction):  # commits count upwards from 1, so the two never meet
        return
    if sync.claim_plan or sync.baseline != sync.claim_baseline:
        if count == 0:
            return
        raise InvalidInput(f"sync {sync.namespace}/{sync.name}: this run has no snapshot to compact")
    snapshots.swap(connection, sync.uid, compaction, count, replaces)


def _finish(connection: Connection, claim: Claim, result: RunResult, now: datetime) -> RunResult:
    if (recorded := runs.ended(connection, claim, result)) is not None:
        return recorded
    claims.hold(connection, claim)
    counted = result.model_copy(update={"dead_letters": dead_letters.count_open(connection, claim.sync_uid)})
    runs.end(connection, claim, counted, now)
    claims.free(connection, claim)
    return counted


def _runs(connection: Connection, namespace: str, sync: str | None, limit: int, now: datetime) -> list[RunRecord]:
    """Runs, newest first; one that only seems to run, because its runner vanished, is shown as Interrupted."""
    return [
        replace(record, state="Interrupted", finished_at=claim.heartbeat_at)
        if record.state == "Running" and claims.lapsed(claim.claim_owner, claim.lease_until, now)
        else record
        for record, claim in runs.newest(connection, namespace, sync, limit)
    ]
