"""SqlStateStore: the state in a database of one's own, SQLite or PostgreSQL.

The command line opens it locally, the API pod opens it for all runners. Each method is one transaction; what happens in
it stands in `claims`, `snapshots`, `dead_letters` and `runs`.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Self

from sqlalchemy import Connection, Row, text, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.errors import InvalidInput
from retl.resources.destination import RateLimit
from retl.resources.run import Replay, RunCounts, RunProgress
from retl.runspec.catalog import Catalog
from retl.runspec.result import RunResult
from retl.state import (
    catalogs,
    claims,
    dead_letters,
    erasure,
    jobs,
    letter_counts,
    letter_pages,
    notes,
    rates,
    runs,
    snapshots,
)
from retl.state.blobs import URL_VARIABLE, Blobs
from retl.state.database import BUSY_TIMEOUT, Database
from retl.state.history import History
from retl.state.letter_rows import LetterSealer, SeenBy
from retl.state.pairs import bounded
from retl.state.parts import Parts
from retl.state.sealing import Sealer
from retl.state.store import (
    Claim,
    ClaimRequest,
    Commit,
    DeadLetter,
    KeptLetter,
    OpenJob,
    Reservation,
    RunRecord,
    SnapshotPart,
    StateReader,
    StateStore,
    Statistics,
    Waiting,
)
from retl.state.tables import commits, syncs

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers over all syncs.

    Attributes:
        letters: those that wait, by sync and code.
    """

    claimed_syncs: int
    letters: list[letter_counts.OpenLetters]


class SqlStateStore(StateStore, StateReader, History):
    """StateStore and StateReader over a database. Make one with `open`."""

    def __init__(
        self, database: Database, key: bytes | None = None, blobs: Blobs | None = None, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._sealer = Sealer(key)
        self._parts = Parts(database, self._sealer, blobs)
        self._clock = clock
        self._made: datetime | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        key: bytes | None = None,
        blobs: Blobs | None = None,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        clock: Clock = utc_now,
    ) -> Self:
        """Connect to `sqlite:///path` or `postgresql://…` and bring the schema up to date.

        Args:
            key: 32 bytes that seal what the database holds of people's records; None to keep it as it is.
            blobs: where large parts of snapshots go; None to keep them in the database.
            busy_timeout: how long an SQLite file may be locked by another process.
        Raises:
            InvalidInput: the URL is not one of a state database, or parts of its snapshots lie elsewhere.
            NewerDatabase: a newer version wrote it.
            StateError: the database cannot be used; the text says why and never holds the password.
        """
        database = await Database.open(url, busy_timeout)
        if blobs is None and await database.read(snapshots.outside):
            await database.close()
            raise InvalidInput(
                f"state database: parts of its snapshots are on an object store; set {URL_VARIABLE} to its URL"
            )
        return cls(database, key, blobs, clock)

    async def close(self) -> None:
        await self._parts.close()
        await self._database.close()

    def since(self, made: datetime | None) -> Self:
        """This store to read for people of a namespace that was made then: one that had its name before is nobody's.

        Runs and dead letters are kept under the namespace's name, and stay when it is deleted.
        """
        seen = copy(self)
        seen._made = made
        return seen

    @property
    def seals(self) -> bool:
        """Whether there is a key, so that what the database holds of people's records is encrypted."""
        return self._sealer.seals

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
        claim = await self._database.run(claims.take, request, nonce, self._clock(), self._sealer)
        self._parts.collect(claim.sync_uid, self._clock())
        return claim

    async def snapshot(self, claim: Claim, after: int | None = None) -> AsyncIterator[SnapshotPart]:
        """The parts of the snapshot, oldest first (raises Fenced).

        Args:
            after: leave out the parts up to this sequence.
        """
        for first, last in await self._database.read(_snapshot_ranges, claim, after):
            for part in await self._parts.read(claim, first, last):
                yield part

    async def waiting(self, claim: Claim) -> Waiting:
        return await self._database.read(_waiting, claim)

    async def letters(self, claim: Claim, replay: Replay, after: str = "") -> AsyncIterator[KeptLetter]:
        """The open dead letters that a replay asks for, oldest first (raises Fenced).

        Args:
            after: leave out the entries up to this id.
        """
        while some := await self._database.read(_letters, claim, replay, after, self._sealer):
            for letter in some:
                yield letter
            after = some[-1].id

    async def reserve(self, claim: Claim, account: str, limit: RateLimit, calls: int) -> Reservation:
        reservation, at = await self._database.run(_reserve, claim, account, limit, calls)
        # Counted from now, when it is of use, not from when the slots were given out.
        return replace(reservation, start=max(timedelta(0), reservation.start - timedelta(seconds=monotonic() - at)))

    async def slow_down(self, claim: Claim, account: str, pause: timedelta) -> None:
        await self._database.run(_slow_down, claim, account, pause)

    async def save_plan(self, claim: Claim, plan: bytes) -> None:
        await self._database.run(_save_plan, claim, plan, self._sealer)

    async def commit(self, claim: Claim, commit: Commit) -> None:
        part = await self._parts.keep(claim, SnapshotPart(0, commit.keys, commit.rows, commit.records), self._clock())
        await self._database.run(_commit, claim, commit, part, self._clock(), self._sealer)

    async def keep_job(self, claim: Claim, job: OpenJob) -> None:
        await self._database.run(_keep_job, claim, job, self._clock(), self._sealer)

    async def jobs(self, claim: Claim) -> list[OpenJob]:
        return await self._database.read(_jobs, claim, self._sealer)

    async def compact(self, claim: Claim, parts: Sequence[SnapshotPart], replaces: int) -> None:
        compaction = secrets.randbits(62) + 1
        count = 0
        for part in bounded(parts):
            await self.stage(claim, compaction, part)
            count = part.sequence
        await self.swap(claim, compaction, count, replaces)

    async def stage(self, claim: Claim, compaction: int, part: SnapshotPart) -> None:
        """Lay down one part of a compacted snapshot; `part.sequence` counts from 1 (raises Fenced)."""
        kept = await self._parts.keep(claim, part, self._clock())
        await self._database.run(_stage, claim, compaction, part.sequence, kept)

    async def swap(self, claim: Claim, compaction: int, count: int, replaces: int) -> None:
        """Put the `count` staged parts in the place of all parts up to `replaces` (raises Fenced).

        Called again for the same compaction, it does nothing.
        """
        await self._database.run(_swap, claim, compaction, count, replaces)

    async def heartbeat(self, claim: Claim, counts: RunCounts, progress: RunProgress | None = None) -> None:
        await self._database.run(claims.renew, claim, counts, progress, self._clock())

    async def finish(self, claim: Claim, result: RunResult) -> RunResult:
        return await self._database.run(_finish, claim, result, self._clock())

    # StateReader

    async def runs(self, *, namespace: str, sync: str | None = None, limit: int = 50) -> list[RunRecord]:
        return await self._database.read(_runs, namespace, sync, limit, self._made, self._clock())

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
        return await self.letter_page(letter_pages.Asked(namespace, sync, resolved, code, since, limit, after))

    async def dead_letter(self, *, namespace: str, id: str) -> DeadLetter | None:
        return await self._database.read(letter_pages.one, namespace, id, self._made, self._sealer)

    async def statistics(self, *, namespace: str, sync: str | None = None) -> Statistics:
        return await self._database.read(letter_pages.statistics, namespace, sync, self._made)

    async def resolve(self, *, namespace: str, ids: Sequence[str]) -> int:
        named = (await self.open_by_sync(namespace, ids)).items()
        return sum([await self._database.run(dead_letters.dismiss, uid, some, self._clock()) for uid, some in named])

    async def erase(self, *, namespace: str, field: str, value: str, sync: str | None = None) -> int:
        uids = await self._database.read(claims.of_namespace, namespace, sync)
        count, after = 0, ""
        while True:
            read = await self._database.read(erasure.scan, uids, field, value, after, self._sealer)
            for uid, ids in read.found.items():
                await self._database.run(erasure.remove, uid, ids)
                count += len(ids)
            if read.last is None:
                return count
            after = read.last

    async def plan(self, *, namespace: str, run: str) -> bytes | None:
        return await self._database.read(runs.plan, namespace, run, self._made, self._sealer)

    async def namespace_of(self, sync_uid: str) -> str | None:
        """The namespace of a sync; None if it never had a run."""
        return await self._database.read(claims.namespace_of, sync_uid)

    async def put_catalog(self, connection: catalogs.Whose, catalog: Catalog) -> list[str]:
        """Keep what a check found in the place of what the check before it found.

        Returns:
            What differs between the two, a few words each; nothing if there was none before.
        """
        return await self._database.run(catalogs.put, connection, catalog, self._clock())

    async def catalog(self, namespace: str, uid: str) -> str | None:
        """What the last check of a connection found, a Catalog as JSON; None if there is none."""
        return await self._database.read(catalogs.one, namespace, uid)

    async def progress(self, uids: Sequence[str], namespace: str | None = None) -> dict[str, RunProgress]:
        """How far runs are, by uid: those under way that have said so.

        Args:
            namespace: only runs of this one; None for all.
        """
        return await self._database.read(runs.progress, uids, namespace)

    async def totals(self, limit: int = 5_000) -> Totals:
        """Numbers for monitoring.

        Args:
            limit: so many syncs and codes are told apart.
        """
        return await self._database.read(_totals, limit)


def _totals(connection: Connection, limit: int) -> Totals:
    return Totals(claims.count(connection), letter_counts.waiting(connection, limit))


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _snapshot_ranges(connection: Connection, claim: Claim, after: int | None) -> list[tuple[int, int]]:
    sync = claims.check(connection, claim)
    return snapshots.ranges(connection, sync.uid, after) if _has_snapshot(sync) else []


def _has_snapshot(sync: Row[Any]) -> bool:
    """Whether the snapshot is the claim's own, and not of another destination, object, mode or key, or another run."""
    return bool(sync.baseline == sync.claim_baseline and sync.claim_ledger in ("", sync.ledger))


def _waiting(connection: Connection, claim: Claim) -> Waiting:
    sync = claims.check(connection, claim)
    if sync.baseline != sync.claim_baseline:
        return Waiting(keys=b"", rows=b"")
    return dead_letters.waiting(connection, sync.uid)


def _letters(connection: Connection, claim: Claim, replay: Replay, after: str, sealer: Sealer) -> list[KeptLetter]:
    sync = claims.check(connection, claim)
    if sync.baseline != sync.claim_baseline:
        return []
    return dead_letters.kept(connection, sync.uid, replay, after, LetterSealer(sealer, sync.uid))


def _reserve(
    connection: Connection, claim: Claim, account: str, limit: RateLimit, calls: int
) -> tuple[Reservation, float]:
    """The calls, and the reading of this process's clock that they count from."""
    sync = claims.check(connection, claim)
    rate = rates.lock(connection, sync.namespace, account)
    before = monotonic()
    now = rates.database_now(connection)
    at = (before + monotonic()) / 2
    rate, reservation = rates.reserved(rate, limit, calls, now)
    rates.store(connection, sync.namespace, account, rate)
    return reservation, at


def _slow_down(connection: Connection, claim: Claim, account: str, pause: timedelta) -> None:
    sync = claims.check(connection, claim)
    rate = rates.lock(connection, sync.namespace, account)
    rates.store(connection, sync.namespace, account, rates.refused(rate, pause, rates.database_now(connection)))


def _save_plan(connection: Connection, claim: Claim, plan: bytes, sealer: Sealer) -> None:
    claims.hold(connection, claim)
    runs.save_plan(connection, claim, plan, sealer)


def _commit(
    connection: Connection, claim: Claim, commit: Commit, part: snapshots.Kept, now: datetime, sealer: Sealer
) -> None:
    sync = claims.hold(connection, claim)
    if not _first_time(connection, claim, commit.sequence):
        return
    if commit.keys or commit.dead_letters or commit.resolved or commit.notes is not None:
        if sync.claim_plan:
            raise InvalidInput(
                f"sync {sync.namespace}/{sync.name}: a plan writes nothing, so it has no records to commit"
            )
        _begin(connection, sync, now)
    if commit.keys:
        snapshots.append(connection, sync.uid, part)
    if commit.resolved:
        dead_letters.supersede(connection, sync.uid, commit.resolved, now)
    if commit.dead_letters:
        run = SeenBy(runs.name_of(connection, sync.uid, claim.run_uid), claim.run_uid)
        dead_letters.put(connection, sync, run, commit.dead_letters, now, LetterSealer(sealer, sync.uid))
    if commit.notes is not None:
        notes.write(connection, sync.uid, commit.notes, sealer)
    if commit.ended:
        jobs.end(connection, sync.uid, commit.ended)
    runs.counted(connection, claim, commit.counts)


def _keep_job(connection: Connection, claim: Claim, job: OpenJob, now: datetime, sealer: Sealer) -> None:
    sync = claims.hold(connection, claim)
    if sync.claim_plan:
        raise InvalidInput(f"sync {sync.namespace}/{sync.name}: a plan writes nothing, so it has no jobs")
    _begin(connection, sync, now)
    jobs.put(connection, sync.uid, job, sealer)


def _jobs(connection: Connection, claim: Claim, sealer: Sealer) -> list[OpenJob]:
    sync = claims.check(connection, claim)
    return jobs.of(connection, sync.uid, sealer) if sync.baseline == sync.claim_baseline else []


def _begin(connection: Connection, sync: Row[Any], now: datetime) -> None:
    """Drop what was recorded of another destination, object, mode or key, and the ledger of another run."""
    if _has_snapshot(sync):
        return
    begun = {"baseline": sync.claim_baseline, "ledger": sync.claim_ledger}
    snapshots.drop(connection, sync.uid)
    if sync.baseline != sync.claim_baseline:
        dead_letters.rebaseline(connection, sync.uid, now)
        jobs.drop(connection, sync.uid)
        begun["notes"] = None
    connection.execute(update(syncs).where(syncs.c.uid == sync.uid).values(begun))


def _first_time(connection: Connection, claim: Claim, sequence: int) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"sync_uid": claim.sync_uid, "fence": claim.fence, "sequence": sequence}
    inserted = dialect.insert(commits).values(values).on_conflict_do_nothing().returning(commits.c.sequence)
    return connection.execute(inserted).first() is not None


def _stage(connection: Connection, claim: Claim, compaction: int, sequence: int, part: snapshots.Kept) -> None:
    claims.hold(connection, claim)
    snapshots.stage(connection, claim.sync_uid, compaction, sequence, part)


def _swap(connection: Connection, claim: Claim, compaction: int, count: int, replaces: int) -> None:
    sync = claims.hold(connection, claim)
    if not _first_time(connection, claim, -compaction):  # commits count upwards from 1, so the two never meet
        return
    if sync.claim_plan or not _has_snapshot(sync):
        if count == 0:
            return
        raise InvalidInput(f"sync {sync.namespace}/{sync.name}: this run has no snapshot to compact")
    snapshots.swap(connection, sync.uid, compaction, count, replaces)


def _finish(connection: Connection, claim: Claim, result: RunResult, now: datetime) -> RunResult:
    if (recorded := runs.ended(connection, claim, result)) is not None:
        return recorded
    sync = claims.hold(connection, claim)
    by_code = letter_counts.open_by_code(connection, claim.sync_uid)
    counted = {
        "dead_letters": sum(by_code.values()),
        "dead_letters_by_code": by_code,
        "dead_letters_dropped": 0 if sync.claim_plan else sync.dropped,
    }
    final = result.model_copy(update=counted)
    runs.end(connection, claim, final, now)
    claims.free(connection, claim)
    return final


def _runs(
    connection: Connection, namespace: str, sync: str | None, limit: int, made: datetime | None, now: datetime
) -> list[RunRecord]:
    """Runs, newest first; one that only seems to run, because its runner vanished, is shown as Interrupted."""
    return [
        replace(record, state="Interrupted", finished_at=claim.heartbeat_at)
        if record.state == "Running" and claims.lapsed(claim.claim_owner, claim.lease_until, now)
        else record
        for record, claim in runs.newest(connection, namespace, sync, limit, made)
    ]
