"""Who may write for a sync: claims, leases and fences.

Every function runs within the caller's transaction and starts by locking the sync's row, so that all writes of one sync
happen one after the other.
"""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from retl.errors import Busy, Fenced, StateError
from retl.resources.run import RunCounts, RunProgress
from retl.state import dead_letters, notes, runs, snapshots
from retl.state.owner import is_gone
from retl.state.sealing import Sealer
from retl.state.store import LEASE, Claim, ClaimRequest, Notes
from retl.state.tables import commits, syncs


class ForeignSync(StateError):
    """The sync belongs to another namespace than the one that the request speaks for."""

    reason = "SyncNotFound"


def take(connection: Connection, request: ClaimRequest, nonce: str | None, now: datetime, sealer: Sealer) -> Claim:
    """Take the sync for a run.

    Args:
        nonce: names the request; sent twice, it takes the claim once.
    Raises:
        Busy: another run holds the sync.
        Fenced: a later attempt of this run has started.
        ForeignSync: the sync is known under another namespace.
    """
    sync, run = request.sync, request.run
    row = _lock_or_create(connection, request)
    if row.namespace != sync.namespace:
        raise ForeignSync(f"sync {sync.namespace}/{sync.name}: uid {sync.uid} belongs to another namespace")
    if nonce is not None and row.claim_nonce == nonce:
        return _claim(connection, row, request, row.fence, sealer)
    runs.refuse_older_attempt(connection, sync.uid, run)
    if row.claim_run not in {None, run.uid}:
        if not lapsed(row.claim_owner, row.lease_until, now):
            raise Busy(_busy(connection, row, now))
        runs.interrupt(connection, sync.uid, row.claim_run, row.heartbeat_at)
    fence = row.fence + 1
    connection.execute(
        update(syncs)
        .where(syncs.c.uid == sync.uid)
        .values(
            name=sync.name,
            fence=fence,
            claim_run=run.uid,
            claim_nonce=nonce,
            claim_owner=request.owner,
            claim_baseline=request.baseline,
            claim_ledger=request.ledger,
            claim_plan=run.mode == "Plan",
            claim_max_letters=request.letters.max_entries,
            dropped=syncs.c.dropped if run.mode == "Plan" else 0,
            heartbeat_at=now,
            lease_until=now + LEASE,
        )
    )
    runs.start(connection, sync, run, fence, now)
    _purge(connection, sync.uid)
    dead_letters.forget(connection, sync.uid, now - request.letters.retention)
    return _claim(connection, row, request, fence, sealer)


def hold(connection: Connection, claim: Claim) -> Row[Any]:
    """Lock the sync's row; raise Fenced unless the claim is still the one that counts."""
    row = connection.execute(select(syncs).where(syncs.c.uid == claim.sync_uid).with_for_update()).one_or_none()
    return _still_held(row, claim)


def _still_held(row: Row[Any] | None, claim: Claim) -> Row[Any]:
    if row is None or row.fence != claim.fence or row.claim_run != claim.run_uid:
        raise Fenced(
            f"sync {row.namespace}/{row.name}: this run no longer holds the claim; it was taken over or has ended"
            if row is not None
            else f"sync {claim.sync_uid}: the state database knows of no such claim"
        )
    return row


def check(connection: Connection, claim: Claim) -> Row[Any]:
    """As `hold`, for reading: takes no lock."""
    row = connection.execute(select(syncs).where(syncs.c.uid == claim.sync_uid)).one_or_none()
    return _still_held(row, claim)


def renew(connection: Connection, claim: Claim, counts: RunCounts, progress: RunProgress | None, now: datetime) -> None:
    """Extend the lease and record progress."""
    hold(connection, claim)
    connection.execute(
        update(syncs).where(syncs.c.uid == claim.sync_uid).values(heartbeat_at=now, lease_until=now + LEASE)
    )
    runs.counted(connection, claim, counts)
    if progress is not None:
        runs.advanced(connection, claim, progress.model_copy(update={"updated_at": now}))


def free(connection: Connection, claim: Claim) -> None:
    """Let go of the sync, and of what only a living claim needs."""
    connection.execute(update(syncs).where(syncs.c.uid == claim.sync_uid).values(claim_run=None, lease_until=None))
    connection.execute(delete(commits).where(commits.c.sync_uid == claim.sync_uid))
    snapshots.drop_staged(connection, claim.sync_uid)


def lapsed(owner: str | None, lease_until: datetime | None, now: datetime) -> bool:
    """Whether a claim no longer protects its holder: the lease ran out, or the local process is gone."""
    return lease_until is None or lease_until <= now or (owner is not None and is_gone(owner))


def namespace_of(connection: Connection, sync_uid: str) -> str | None:
    """The namespace of a sync; None if it never had a run."""
    return connection.execute(select(syncs.c.namespace).where(syncs.c.uid == sync_uid)).scalar_one_or_none()


def of_namespace(connection: Connection, namespace: str, sync: str | None = None) -> list[str]:
    """Uids of the syncs of a namespace, or of those with that name."""
    found = select(syncs.c.uid).where(syncs.c.namespace == namespace).order_by(syncs.c.uid)
    return list(connection.execute(found if sync is None else found.where(syncs.c.name == sync)).scalars())


def count(connection: Connection) -> int:
    """Syncs that a run holds."""
    return connection.execute(select(func.count()).where(syncs.c.claim_run.is_not(None))).scalar_one()


def _lock_or_create(connection: Connection, request: ClaimRequest) -> Row[Any]:
    sync = request.sync
    found = select(syncs).where(syncs.c.uid == sync.uid).with_for_update()
    row = connection.execute(found).one_or_none()
    if row is not None:
        return row
    values = {
        "uid": sync.uid,
        "namespace": sync.namespace,
        "name": sync.name,
        "salt": secrets.token_bytes(16),
        "fence": 0,
        "dropped": 0,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(syncs).values(values).on_conflict_do_nothing())
    return connection.execute(found).one()


def _claim(connection: Connection, row: Row[Any], request: ClaimRequest, fence: int, sealer: Sealer) -> Claim:
    same = row.baseline == request.baseline
    return Claim(
        sync_uid=row.uid,
        run_uid=request.run.uid,
        fence=fence,
        salt=bytes(row.salt),
        snapshot_rows=snapshots.size(connection, row.uid) if same and request.ledger in ("", row.ledger) else 0,
        previous=row.baseline,
        notes=notes.read(row, sealer) if same else Notes(),
    )


def _busy(connection: Connection, row: Row[Any], now: datetime) -> str:
    name = runs.name_of(connection, row.uid, row.claim_run)
    ago = max(0, round((now - row.heartbeat_at).total_seconds()))
    return (
        f"sync {row.namespace}/{row.name}: run {name} is active (owner {row.claim_owner}, last heartbeat "
        f"{row.heartbeat_at:%Y-%m-%dT%H:%M:%SZ}, {ago} s ago); wait for it to end"
    )


def _purge(connection: Connection, sync_uid: str) -> None:
    """Delete what earlier claims of the sync left behind and nobody can ask for any more."""
    connection.execute(delete(commits).where(commits.c.sync_uid == sync_uid))
    snapshots.drop_staged(connection, sync_uid)
    runs.drop_old(connection, sync_uid)
