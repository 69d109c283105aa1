"""What to do about a ReverseETLSync. Pure: a table of contents over the steps of one decision.

The reservation `status.activeRun` is the lock: it is written under a precondition before the SyncRun exists, and goes
only when that run has ended. Whatever step a crash interrupts, the next decision sees the reservation and goes on.
"""

from datetime import UTC, datetime

from retl.controller.decision import RECHECK, Action, Create, Decision, Delete, readiness
from retl.controller.kinds import RUN, Key
from retl.controller.manifests import tick_run
from retl.controller.syncs.reservation import reserve, settle
from retl.controller.syncs.ticks import due_ticks, upcoming
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.sync import History, SyncStatus, TickRecord

KEPT_RECORDS = 20


def decide(view: SyncView, now: datetime) -> Decision:
    """The next step of one sync."""
    if view.meta.deletion_timestamp:
        return Decision()
    now = now.astimezone(UTC).replace(microsecond=0)
    since, ticks = due_ticks(view, now)
    settled, ended = settle(view, now)
    reserved, answered = reserve(view, settled, ticks, now)
    status = _noted(reserved, [*ended, *answered])
    status = status.model_copy(
        update={
            "observed_generation": view.meta.generation,
            "conditions": readiness(
                status.conditions,
                view.problem,
                reason=_ready_reason(view),
                now=now,
                generation=view.meta.generation,
            ),
            "last_tick": ticks[-1] if ticks else since,
            "next_run_time": upcoming(view, now),
        }
    )
    return Decision(
        status,
        actions=(*_missing_run(view, status), *_outlived(view, status)),
        wake=_wake(view, status, now),
        verdicts=(*ended, *answered),
    )


def _missing_run(view: SyncView, status: SyncStatus) -> list[Action]:
    """The SyncRun of a reserved tick, unless it is there already."""
    active = status.active_run
    if active is None or active.tick is None or view.run(active.name):
        return []
    return [Create(RUN, tick_run(view.meta, active.tick))]


def _outlived(view: SyncView, status: SyncStatus) -> list[Action]:
    """Ended runs beyond what the sync keeps, per outcome; the newest stays whatever the limits say."""
    limits = view.spec.history if view.spec else History()
    active = status.active_run.name if status.active_run else None
    ended = [run for run in view.runs if run.ended and not run.deleting and run.name != active]
    ended.sort(key=lambda run: (run.ended_at, run.created, run.name), reverse=True)
    good = [run for run in ended if run.status.phase == "Succeeded"][limits.successful :]
    bad = [run for run in ended if run.status.phase != "Succeeded"][limits.failed :]
    return [_deletion(view, run) for run in (*good, *bad) if run is not ended[0]]


def _deletion(view: SyncView, run: RunFacts) -> Delete:
    return Delete(Key(RUN, view.meta.namespace, run.name), run.uid)


def _noted(status: SyncStatus, records: list[TickRecord]) -> SyncStatus:
    """The status with these verdicts among the recent ones, oldest first."""
    if not records:
        return status
    by_time = {record.at: record for record in (*status.recent_ticks, *records)}
    recent = [by_time[at] for at in sorted(by_time)][-KEPT_RECORDS:]
    return status.model_copy(update={"recent_ticks": recent})


def _ready_reason(view: SyncView) -> str:
    if view.spec is None or view.spec.state != "Active":
        return view.spec.state if view.spec else "Unknown"
    return "Scheduled" if view.spec.schedule else "OnDemand"


def _wake(view: SyncView, status: SyncStatus, now: datetime) -> datetime | None:
    times = [status.next_run_time] if status.next_run_time else []
    if view.problem and view.problem.passing:
        times.append(now + RECHECK)
    return min(times, default=None)
