"""Who holds a sync: one run at a time, the oldest claim first. Pure."""

from datetime import datetime

from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.conditions import Condition, find, with_condition
from retl.resources.run import RunStatus
from retl.resources.sync import ActiveRun, LastRun, SyncStatus, TickRecord, TickVerdict

NOT_FRESH = "SourceNotFresh"
_MESSAGE_MAX = 256

Verdicts = list[TickRecord]


def verdict(at: datetime, word: TickVerdict, reason: str = "", message: str = "") -> TickRecord:
    """A verdict on a tick, with as much of the message as a status keeps."""
    return TickRecord(at=at, verdict=word, reason=reason, message=message[:_MESSAGE_MAX])


def verdict_of(run: RunFacts, tick: datetime) -> TickRecord:
    """The verdict on a tick whose run has ended."""
    reason, message = end_of(run)
    if reason == NOT_FRESH:
        return verdict(tick, "Skipped", NOT_FRESH, message)
    if run.phase == "Succeeded":
        return verdict(tick, "Ran")
    return verdict(tick, "Ran", run.phase or "Failed", f"{reason}: {message}" if message else reason)


def name_taken(tick: datetime, run: str) -> TickRecord:
    """The verdict on a tick whose SyncRun's name is somebody else's."""
    return verdict(tick, "Skipped", "NameTaken", f"SyncRun {run} is there, and the controller did not make it")


def settle(view: SyncView, now: datetime) -> tuple[SyncStatus, Verdicts]:
    """Let go of a reservation whose run has ended, and note how it did."""
    status, active = view.status, view.status.active_run
    if active is None:
        return status, []
    run = view.run(active.name)
    if run is None:
        return _lost(view, active, now) if view.vanished else (status, [])
    if run is view.stranger or (active.tick is not None and not view.ours(run)):
        taken = [name_taken(active.tick, run.name)] if active.tick else []
        return status.model_copy(update={"active_run": None}), taken
    if not run.ended:
        return status, []
    free = status.model_copy(update={"active_run": None})
    verdicts = [verdict_of(run, active.tick)] if active.tick else []
    if verdicts and verdicts[0].reason == NOT_FRESH:
        return free, verdicts
    return recorded(view, free, run, now), verdicts


def oldest_waiting(view: SyncView) -> RunFacts | None:
    """The person's run that has waited longest; before it, one that should hold the sync and does not.

    The controller's own runs do not wait: they are made when the sync is reserved for them. A run can be without its
    reservation when the sync was deleted and created again, or its status restored from a backup or edited.
    """
    if view.spec is None or view.spec.state == "Draft":
        return None
    answered = {tick.at for tick in view.status.recent_ticks}
    waiting = [
        run
        for run in view.runs
        if not run.ended
        and not run.deleting
        and (run.attempt or not view.ours(run) or (run.tick and run.tick not in answered))
    ]
    return min(waiting, key=lambda run: (run.attempt == 0, not view.ours(run), run.created, run.name), default=None)


def urgent(view: SyncView, run: RunFacts) -> bool:
    """Whether a run that waits should have held the sync all along."""
    return run.attempt > 0 or view.ours(run)


def held(status: SyncStatus, name: str, tick: datetime | None, now: datetime) -> SyncStatus:
    """The status with the sync reserved for a run."""
    return status.model_copy(update={"active_run": ActiveRun(name=name, tick=tick, since=now)})


def end_of(run: RunFacts) -> tuple[str, str]:
    """Reason and message of the end of a run."""
    end = find(run.status.conditions, "Succeeded")
    return (end.reason, end.message) if end else (run.phase or "Failed", "")


def recorded(view: SyncView, status: SyncStatus, run: RunFacts, now: datetime) -> SyncStatus:
    """The status after a run that has ended; a plan leaves no trace in it, because it wrote nothing."""
    if run.plan:
        return status
    record, succeeded = run.status, run.phase == "Succeeded"
    reason, message = end_of(run)
    changes = {
        "last_run": _last_run(run, record),
        "conditions": _outcome(view, status, succeeded, reason, message, now),
    }
    if succeeded:
        changes["last_success_time"] = run.finished_at
    if record.dead_letters is not None:
        changes |= {"dead_letters": record.dead_letters, "dead_letters_by_code": record.dead_letters_by_code}
    return status.model_copy(update=changes)


def _last_run(run: RunFacts, record: RunStatus) -> LastRun:
    reason, message = end_of(run)
    return LastRun(
        name=run.name,
        uid=run.uid,
        phase=run.phase or "Failed",
        reason=reason,
        message=message,
        started_at=record.started_at,
        finished_at=run.finished_at,
        counts=record.counts,
    )


def _lost(view: SyncView, active: ActiveRun, now: datetime) -> tuple[SyncStatus, Verdicts]:
    """The run that held the reservation is not there: somebody deleted it."""
    message = f"SyncRun {active.name} was deleted before it had ended"
    last = LastRun(name=active.name, phase="Cancelled", reason="Deleted", message=message, finished_at=now)
    conditions = _outcome(view, view.status, False, "Deleted", message, now)
    changes = {"active_run": None, "last_run": last, "conditions": conditions}
    verdicts = [verdict(active.tick, "Ran", "Cancelled", message)] if active.tick else []
    return view.status.model_copy(update=changes), verdicts


def _outcome(
    view: SyncView, status: SyncStatus, succeeded: bool, reason: str, message: str, now: datetime
) -> list[Condition]:
    return with_condition(
        status.conditions,
        "LastRunSucceeded",
        "True" if succeeded else "False",
        reason,
        message,
        now=now,
        generation=view.meta.generation,
    )
