"""Runs of the cluster and of the history as one list. Pure.

Of a run that both know, the SyncRun counts, but where the state database has seen its end first. A run that waits for
approval can go on only while its SyncRun is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from retl.resources.kinds import SYNC, Manifest
from retl.resources.marks import TRIGGERED_BY
from retl.resources.run import RunCounts
from retl.resources.views import Run
from retl.rest.callers.caller import NOBODY, SCHEDULE
from retl.rest.problems import FieldError, Problem
from retl.rest.service.values import Place, RunRecord, uid_in
from retl.rest.vocabulary import RunState, state_of_run
from retl.state.history import RunRow
from retl.state.store import RunState as RowState

Position = tuple[datetime, UUID]
"""Where a run stands in the list: when it was made, and its uid; the greatest come first."""

ROW_STATES: Mapping[RunState, frozenset[RowState]] = {
    "Pending": frozenset(),
    "Running": frozenset({"Running"}),
    "AwaitingApproval": frozenset(),
    "Succeeded": frozenset({"Succeeded"}),
    "Failed": frozenset({"Failed"}),
    "Cancelled": frozenset({"Cancelled", "AwaitingApproval"}),
}
"""How runs in a state stand in the history, where their SyncRun is gone."""


def of_manifest(place: Place, manifest: Manifest, sync: UUID | None) -> RunRecord:
    """A run of the cluster."""
    run = Run.read(manifest)
    succeeded = run.phase == "Succeeded"
    created = run.meta.creation_timestamp
    assert created is not None, "the API server sets it"
    return RunRecord(
        place=place,
        uid=UUID(run.meta.uid),
        name=run.name,
        sync=sync,
        state=state_of_run(run.phase),
        mode=run.spec.get("mode", "Sync"),
        full_refresh=bool(run.spec.get("fullRefresh", False)),
        created_at=created,
        started_at=run.status.started_at,
        finished_at=run.status.finished_at,
        counts=run.status.counts or RunCounts(),
        triggered_by=_triggered_by(run),
        reason="" if succeeded else run.reason,
        message="" if succeeded else run.message,
        plan_hash=run.status.plan_hash or "",
        attempt=run.status.attempt,
        manifest=manifest,
    )


def of_row(place: Place, row: RunRow) -> RunRecord:
    """A run of the history."""
    state = state_of_run(row.state)
    if state == "AwaitingApproval":
        state = "Cancelled"
    succeeded = state == "Succeeded"
    return RunRecord(
        place=place,
        uid=UUID(row.uid),
        name=row.name,
        sync=UUID(row.sync_uid),
        state=state,
        mode=row.mode,
        full_refresh=row.full_refresh,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        counts=row.counts,
        triggered_by=row.triggered_by or (SCHEDULE if row.tick else NOBODY),
        reason="" if succeeded else row.reason,
        message="" if succeeded else row.message,
        plan_hash=row.plan_hash,
        attempt=row.attempt,
    )


def owner_uid(manifest: Manifest) -> UUID | None:
    """uid of the sync that a SyncRun belongs to, if it says so: one that kubectl made does not."""
    owners = manifest["metadata"].get("ownerReferences") or []
    return next((uid for owner in owners if owner["kind"] == SYNC and (uid := uid_in(owner["uid"]))), None)


def outdated(live: RunRecord, row: RunRow) -> bool:
    """Whether the state database knows better: its runner has said its last word, and the SyncRun does not show it.

    One that has failed is not over, as the controller may have it tried again.
    """
    return live.state == "Running" and row.state in ("Succeeded", "Cancelled")


def as_listed(live: RunRecord, row: RunRow | None) -> RunRecord:
    """A run of the cluster as lists show it, which have those that succeeded from the history.

    What the runner says of its times and what the controller has seen of its Job differ by seconds.
    """
    if row is None or (live.state, row.state) != ("Succeeded", "Succeeded"):
        return live
    return replace(live, started_at=row.started_at, finished_at=row.finished_at, counts=row.counts)


def position(run: RunRecord) -> Position:
    return run.created_at, run.uid


def written(at: Position) -> str:
    """A position as text."""
    return f"{at[0].isoformat()}_{at[1]}"


def read(text: str) -> Position:
    """The position that a text says (raises Problem 422)."""
    moment, _, uid = text.partition("_")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(uid)
    except (ValueError, OverflowError):
        detail = "is of no list of runs"
        raise Problem(422, "invalid-cursor", detail, errors=[FieldError(detail, parameter="cursor")]) from None


def page(live: Sequence[RunRecord], rows: Sequence[RunRecord], limit: int) -> tuple[list[RunRecord], Position | None]:
    """The first runs of both, newest first, and where the next page begins.

    Args:
        live: those of the cluster that come after the page before, all of them.
        rows: those of the history, without such as are in `live`; at least one more than `limit` if there are so many.
    """
    ordered = sorted([*live, *rows], key=position, reverse=True)
    shown = ordered[:limit]
    return shown, position(shown[-1]) if len(ordered) > limit else None


def _triggered_by(run: Run) -> UUID:
    return uid_in(run.meta.annotations.get(TRIGGERED_BY, "")) or (SCHEDULE if run.spec.get("tick") else NOBODY)
