"""The record of each run: who ran, how it ended, what it counted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from retl.errors import Fenced
from retl.resources.run import RunCounts, RunProgress
from retl.runspec.result import RunResult
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.sealing import Sealer
from retl.state.store import Claim, RunRecord
from retl.state.tables import runs, syncs

KEPT = 100
"""Finished runs remembered for each sync."""
SHOWN: list[ColumnElement[Any]] = [column for column in runs.c if column.name != "plan"]


def refuse_older_attempt(connection: Connection, sync_uid: str, run: RunIdentity) -> None:
    """Raise Fenced if a later attempt of this run has already started."""
    attempt = connection.execute(
        select(runs.c.attempt).where(runs.c.sync_uid == sync_uid, runs.c.uid == run.uid)
    ).scalar_one_or_none()
    if attempt is not None and attempt > run.attempt:
        raise Fenced(f"run {run.name}: attempt {attempt} has started; attempt {run.attempt} must stop")


def start(connection: Connection, sync: SyncIdentity, run: RunIdentity, fence: int, now: datetime) -> None:
    """Record the start of an attempt. A run that had ended (failed, awaited approval) goes on."""
    again = {
        "name": run.name,
        "fence": fence,
        "attempt": run.attempt,
        "state": "Running",
        "finished_at": None,
        "counts": RunCounts().model_dump(),
        "progress": None,
        "result": None,
        "dead_letters": 0,
    }
    mine = (runs.c.sync_uid == sync.uid, runs.c.uid == run.uid)
    if connection.execute(update(runs).where(*mine).values(again)).rowcount == 0:
        first = {
            "sync_uid": sync.uid,
            "uid": run.uid,
            "namespace": sync.namespace,
            "mode": run.mode,
            "full_refresh": run.full_refresh,
            "tick": run.tick,
            "triggered_by": None if run.triggered_by is None else str(run.triggered_by),
            "created_at": run.created_at or now,
            "started_at": now,
        }
        connection.execute(insert(runs).values(first | again))


def counted(connection: Connection, claim: Claim, counts: RunCounts) -> None:
    """Show what the run has counted so far."""
    connection.execute(update(runs).where(*_of(claim)).values(counts=counts.model_dump()))


def advanced(connection: Connection, claim: Claim, progress: RunProgress) -> None:
    """Show how far the run has come."""
    connection.execute(update(runs).where(*_of(claim)).values(progress=progress.model_dump(mode="json")))


def progress(connection: Connection, uids: Sequence[str], namespace: str | None) -> dict[str, RunProgress]:
    """How far runs have come, by uid: those under way that have said so.

    Args:
        namespace: only runs of this one; None for all.
    """
    found = select(runs.c.uid, runs.c.progress).where(
        runs.c.uid.in_(uids), runs.c.state == "Running", runs.c.progress.is_not(None)
    )
    if namespace is not None:
        found = found.where(runs.c.namespace == namespace)
    return {uid: RunProgress.model_validate(value) for uid, value in connection.execute(found)}


def interrupt(connection: Connection, sync_uid: str, run_uid: str, last_seen: datetime) -> None:
    """Record that a runner vanished without a last word."""
    connection.execute(
        update(runs)
        .where(runs.c.sync_uid == sync_uid, runs.c.uid == run_uid, runs.c.state == "Running")
        .values(state="Interrupted", finished_at=last_seen)
    )


def ended(connection: Connection, claim: Claim, result: RunResult) -> RunResult | None:
    """What was recorded if this claim has already ended with this result; None if it has not ended.

    Raises:
        Fenced: it ended with another result.
    """
    row = connection.execute(select(runs).where(*_of(claim), runs.c.fence == claim.fence)).one_or_none()
    if row is None or row.result is None:
        return None
    recorded = RunResult.model_validate(row.result)
    counted = {
        "dead_letters": result.dead_letters,
        "dead_letters_by_code": result.dead_letters_by_code,
        "dead_letters_dropped": result.dead_letters_dropped,
    }
    if recorded.model_copy(update=counted) != result:
        raise Fenced(f"run {row.name}: has already ended as {recorded.status}")
    return recorded


def end(connection: Connection, claim: Claim, result: RunResult, now: datetime) -> None:
    """Record the run's last word."""
    connection.execute(
        update(runs)
        .where(*_of(claim))
        .values(
            state=result.status,
            finished_at=now,
            counts=result.counts.model_dump(),
            result=result.model_dump(mode="json"),
            dead_letters=result.dead_letters,
        )
    )


def name_of(connection: Connection, sync_uid: str, run_uid: str) -> str:
    """The name of a run."""
    found = select(runs.c.name).where(runs.c.sync_uid == sync_uid, runs.c.uid == run_uid)
    return str(connection.execute(found).scalar_one())


def drop_old(connection: Connection, sync_uid: str) -> None:
    """Forget all but the newest runs of a sync."""
    oldest_kept = (
        select(runs.c.started_at)
        .where(runs.c.sync_uid == sync_uid)
        .order_by(runs.c.started_at.desc())
        .offset(KEPT - 1)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(delete(runs).where(runs.c.sync_uid == sync_uid, runs.c.started_at < oldest_kept))


def newest(
    connection: Connection, namespace: str, sync: str | None, limit: int, made: datetime | None
) -> list[tuple[RunRecord, Any]]:
    """Runs, newest first, each with the row of its sync's claim."""
    found = (
        select(*SHOWN, syncs.c.name.label("sync"), syncs.c.claim_owner, syncs.c.lease_until, syncs.c.heartbeat_at)
        .join(syncs, syncs.c.uid == runs.c.sync_uid)
        .order_by(runs.c.created_at.desc(), runs.c.fence.desc())
        .limit(limit)
    )
    if sync is None:
        found = found.where(runs.c.namespace == namespace)
    else:
        found = found.where(syncs.c.namespace == namespace, syncs.c.name == sync)
    if made is not None:
        found = found.where(runs.c.created_at >= made)
    return [(RunRecord(**values_of(row)), row) for row in connection.execute(found)]


def save_plan(connection: Connection, claim: Claim, plan: bytes, sealer: Sealer) -> None:
    """Keep the run's plan in the place of an earlier one."""
    sealed = sealer.seal(plan, _plan_place(claim.sync_uid))
    connection.execute(update(runs).where(*_of(claim)).values(plan=sealed))


def plan(connection: Connection, namespace: str, run: str, made: datetime | None, sealer: Sealer) -> bytes | None:
    """The plan of a run, by its name or uid."""
    named = [runs.c.namespace == namespace, or_(runs.c.name == run, runs.c.uid == run), runs.c.plan.is_not(None)]
    named += [] if made is None else [runs.c.created_at >= made]
    found = select(runs.c.sync_uid, runs.c.plan).where(*named).order_by(runs.c.started_at.desc()).limit(1)
    row = connection.execute(found).one_or_none()
    return None if row is None else sealer.open(row.plan, _plan_place(row.sync_uid))


def _plan_place(sync_uid: str) -> str:
    return f"plans of sync {sync_uid}"


def _of(claim: Claim) -> tuple[Any, Any]:
    return runs.c.sync_uid == claim.sync_uid, runs.c.uid == claim.run_uid


def values_of(row: Any) -> dict[str, Any]:
    """The fields of a RunRecord, of a row of SHOWN with the name of its sync."""
    result = row.result or {}
    return {
        "uid": row.uid,
        "name": row.name,
        "sync_uid": row.sync_uid,
        "sync": row.sync,
        "namespace": row.namespace,
        "mode": row.mode,
        "state": row.state,
        "attempt": row.attempt,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "reason": result.get("reason", ""),
        "message": result.get("message", ""),
        "counts": RunCounts.model_validate(row.counts),
        "dead_letters": row.dead_letters,
    }
