"""Who holds a sync: one run at a time, the oldest claim first. Pure."""

from datetime import datetime

from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.conditions import with_condition
from retl.resources.names import tick_run_name
from retl.resources.run import RunPhase
from retl.resources.sync import ActiveRun, LastRun, SyncStatus, TickRecord

Verdicts = list[TickRecord]


def settle(view: SyncView, now: datetime) -> tuple[SyncStatus, Verdicts]:
    """Let go of a reservation whose run has ended, and note how it did."""
    status, active = view.status, view.status.active_run
    if active is None:
        return status, []
    run = view.run(active.name)
    if run is None:
        return _lost(view, active, now) if view.vanished else (status, [])
    if active.tick is not None and run.owner_uid != view.meta.uid:
        verdict = TickRecord(at=active.tick, verdict="Skipped", reason="NameTaken")
        return status.model_copy(update={"active_run": None}), [verdict]
    if not run.ended:
        return status, []
    return _recorded(view, run, now), _ran(active, run.status.phase or "Failed")


def reserve(view: SyncView, status: SyncStatus, ticks: list[datetime], now: datetime) -> tuple[SyncStatus, Verdicts]:
    """Give a free sync to the oldest waiting run or to the newest due tick, and every other due tick its verdict."""
    verdicts = [TickRecord(at=tick, verdict="Missed", reason="NewerTickDue") for tick in ticks[:-1]]
    tick = ticks[-1] if ticks else None
    if status.active_run is None:
        waiting = _oldest_waiting(view)
        if waiting and (tick is None or waiting.created <= tick):
            status = _held(status, waiting.name, None, now)
        elif tick and not _obstacle(view, tick):
            return _held(status, tick_run_name(view.meta.name, tick), tick, now), verdicts
    if tick:
        reason = _obstacle(view, tick) or _why_busy(view, status)
        verdicts.append(TickRecord(at=tick, verdict="Skipped", reason=reason))
    return status, verdicts


def _oldest_waiting(view: SyncView) -> RunFacts | None:
    """The person's run that has waited longest; before it, one that is under way although it holds no reservation.

    The controller's own runs do not wait: they are made when the sync is reserved for them. A run can be under way
    without a reservation when the sync was deleted and created again, or its status restored from a backup.
    """
    if view.spec is None or view.spec.state == "Draft":
        return None
    waiting = [
        run
        for run in view.runs
        if not run.ended and not run.deleting and (run.owner_uid != view.meta.uid or run.status.attempt)
    ]
    return min(waiting, key=lambda run: (run.status.attempt == 0, run.created, run.name), default=None)


def _obstacle(view: SyncView, tick: datetime) -> str:
    """Why a tick cannot run even though nothing else does; empty when it can."""
    if view.problem:
        return view.problem.reason
    standing = view.run(tick_run_name(view.meta.name, tick))
    return "NameTaken" if standing and standing.owner_uid != view.meta.uid else ""


def _why_busy(view: SyncView, status: SyncStatus) -> str:
    run = view.run(status.active_run.name) if status.active_run else None
    awaiting = run is not None and run.status.phase == "AwaitingApproval"
    return "AwaitingApproval" if awaiting else "PreviousRunActive"


def _held(status: SyncStatus, name: str, tick: datetime | None, now: datetime) -> SyncStatus:
    return status.model_copy(update={"active_run": ActiveRun(name=name, tick=tick, since=now)})


def _recorded(view: SyncView, run: RunFacts, now: datetime) -> SyncStatus:
    """The status after a run that has ended; a plan leaves no trace in it, because it wrote nothing."""
    status = view.status.model_copy(update={"active_run": None})
    if run.plan:
        return status
    phase, record = run.status.phase or "Failed", run.status
    end = next((c for c in record.conditions if c.type == "Succeeded"), None)
    succeeded = phase == "Succeeded"
    reason, message = (end.reason, end.message) if end else (phase, "")
    return status.model_copy(
        update={
            "last_run": LastRun(
                name=run.name,
                phase=phase,
                reason=reason,
                message=message,
                started_at=record.started_at,
                finished_at=record.finished_at,
                counts=record.counts,
            ),
            "last_success_time": record.finished_at if succeeded else status.last_success_time,
            "dead_letters": status.dead_letters if record.dead_letters is None else record.dead_letters,
            "conditions": with_condition(
                status.conditions,
                "LastRunSucceeded",
                "True" if succeeded else "False",
                reason,
                message,
                now=now,
                generation=view.meta.generation,
            ),
        }
    )


def _lost(view: SyncView, active: ActiveRun, now: datetime) -> tuple[SyncStatus, Verdicts]:
    """Somebody deleted the run that held the reservation."""
    message = f"SyncRun {active.name} was deleted before it had ended"
    last = LastRun(name=active.name, phase="Cancelled", reason="Deleted", message=message, finished_at=now)
    conditions = with_condition(
        view.status.conditions,
        "LastRunSucceeded",
        "False",
        "Deleted",
        message,
        now=now,
        generation=view.meta.generation,
    )
    changes = {"active_run": None, "last_run": last, "conditions": conditions}
    return view.status.model_copy(update=changes), _ran(active, "Cancelled")


def _ran(active: ActiveRun, phase: RunPhase) -> Verdicts:
    if active.tick is None:
        return []
    return [TickRecord(at=active.tick, verdict="Ran", reason="" if phase == "Succeeded" else phase)]
