"""What the state tests say over and over: requests, records, and a clock that moves when told."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from retl.resources.run import RunCounts, RunMode
from retl.resources.sync import DeadLetters
from retl.runspec.result import RunResult, RunStatusName
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, ClaimRequest, NewDeadLetter, SnapshotPart, StateStore

NAMESPACE = "growth"
KEY = bytes(range(32))
"""A state key."""


@dataclass
class Clock:
    """The store's present."""

    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, time: timedelta) -> None:
        self.now += time


@dataclass(frozen=True)
class Backend:
    """A store under test, and the database beneath it.

    Attributes:
        store: the implementation under test.
        database: the SqlStateStore where its state lies; the same as `store` where that is one.
    """

    store: StateStore
    database: SqlStateStore
    clock: Clock


def request(
    run: str = "run-1",
    *,
    attempt: int = 1,
    mode: RunMode = "Sync",
    baseline: str = "hubspot/contacts/email",
    owner: str = "pod-1",
    sync: str = "contacts",
    namespace: str = NAMESPACE,
    ledger: str = "",
    letters: DeadLetters | None = None,
) -> ClaimRequest:
    """A claim's request; uids derive from the names."""
    return ClaimRequest(
        run=RunIdentity(name=run, uid=f"uid-of-{run}", attempt=attempt, mode=mode),
        sync=SyncIdentity(namespace=namespace, name=sync, uid=f"uid-of-{sync}"),
        baseline=baseline,
        owner=owner,
        ledger=ledger,
        letters=letters or DeadLetters(),
    )


def result(status: RunStatusName = "Succeeded", counts: RunCounts | None = None, run: str = "run-1") -> RunResult:
    """A run's last word."""
    return RunResult(run=run, sync="contacts", status=status, counts=counts or RunCounts())


def hashes(count: int) -> bytes:
    """Random 16-byte hashes."""
    return os.urandom(16 * count)


def letter(
    key: bytes, code: str = "DESTINATION_VALIDATION", *, row: bytes = b"r" * 16, attempts: int = 1, who: str = "ada"
) -> NewDeadLetter:
    """A record that was refused."""
    return NewDeadLetter(
        key=key,
        row=row,
        code=code,
        message=f"{code}: refused",
        record_keys={"email": f"{who}@example.com", "tenant": None},
        payload=b'{"email":"%s@example.com"}' % who.encode(),
        attempts=attempts,
    )


async def parts(store: StateStore, claim: Claim) -> list[SnapshotPart]:
    """The whole snapshot."""
    return [part async for part in store.snapshot(claim)]


async def pairs(store: StateStore, claim: Claim) -> dict[bytes, bytes]:
    """What the snapshot says of each key: later parts win."""
    found = {}
    for part in await parts(store, claim):
        for at in range(0, len(part.keys), 16):
            found[part.keys[at : at + 16]] = part.rows[at : at + 16]
    return found
