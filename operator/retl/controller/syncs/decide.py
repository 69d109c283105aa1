"""What to do about a ReverseETLSync. Pure: a table of contents over the steps of one decision.

The reservation `status.activeRun` is the lock: it is written under a precondition before the SyncRun exists, and goes
only when that run has ended. Whatever step a crash interrupts, the next decision sees the reservation and goes on.
"""

from datetime import UTC, datetime

from retl.controller.decision import RECHECK, Action, Create, Decision, Delete, Problem, readiness
from retl.controller.kinds import Key
from retl.controller.manifests import tick_run
from retl.controller.syncs import states
from retl.controller.syncs.events import events
from retl.controller.syncs.healing import healed
from retl.controller.syncs.reservation import NOT_FRESH, end_of, settle, verdict
from retl.controller.syncs.timetable import Timetable, timetable, withdrawn
from retl.controller.syncs.verdicts import answer
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.kinds import RUN
from retl.resources.sync import History, SyncStatus, TickRecord
from retl.schedule import KEPT_TICKS
from retl.schedule.dependencies import in_a_circle


def decide(view: SyncView, now: datetime) -> Decision:
    """The next step of one sync. What is written down has whole seconds; a tick may start between two of them."""
    if view.meta.deletion_timestamp:
        return Decision()
    exactly = now.astimezone(UTC)
    now = exactly.replace(microsecond=0)
    view, repairs = healed(view, now)
    asked = timetable(view, exactly)
    times = asked if isinstance(asked, Timetable) else None
    blocking = view.problem or (asked if isinstance(asked, Problem) else None) or _circle(view)
    problem = blocking or _missing_dependency(view)

    settled, ended = settle(view, now)
    gone = [verdict(tick, "Skipped", "Withdrawn") for tick in withdrawn(view, asked, exactly)]
    answers = answer(view, settled, times, blocking, now)
    verdicts = (*ended, *gone, *answers.verdicts)
    status = _noted(answers.status, verdicts).model_copy(
        update={
            "observed_generation": view.meta.generation,
            "conditions": readiness(
                answers.status.conditions,
                problem,
                reason=_ready_reason(view),
                now=now,
                generation=view.meta.generation,
            ),
        }
        | _schedule(view, times, answers.status, gone)
    )
    states.check(view.status, status, verdicts)
    return Decision(
        status,
        actions=(*_missing_run(view, status), *_outlived(view, status)),
        wake=_wake(view, times, problem, answers.wake, now),
        verdicts=verdicts,
        events=events(view, status, verdicts, repairs),
    )


def _schedule(
    view: SyncView, times: Timetable | None, status: SyncStatus, gone: list[TickRecord]
) -> dict[str, datetime | str | None]:
    """What the status says of the schedule. A clock that is wrong makes nothing new known."""
    moments = [status.last_tick, *(tick.at for tick in gone)]
    if times and not times.ticks and not view.skewed:
        moments.append(times.dealt)
    known: dict[str, datetime | str | None] = {"last_tick": max(filter(None, moments), default=None)}
    if not view.skewed or view.status.observed_generation is None:
        known["armed_schedule"] = times.name if times else None
    if not view.skewed:
        known["next_run_time"] = times.next_run if times else None
    return known


def _circle(view: SyncView) -> Problem | None:
    return Problem("DependencyCycle", in_a_circle(view.circle)) if view.circle else None


def _missing_dependency(view: SyncView) -> Problem | None:
    missing = [repr(dependency.name) for dependency in view.dependencies if not dependency.found]
    if not missing:
        return None
    return Problem(
        "DependencyNotFound",
        f"spec.schedule.dependsOn: there is no ReverseETLSync {', '.join(missing)} "
        f"in namespace {view.meta.namespace!r}; create it, or take it out",
    )


def _missing_run(view: SyncView, status: SyncStatus) -> list[Action]:
    """The SyncRun of a reserved tick, unless it is there already."""
    active = status.active_run
    if active is None or active.tick is None or view.run(active.name):
        return []
    return [Create(RUN, tick_run(view.meta, active.tick))]


def _outlived(view: SyncView, status: SyncStatus) -> list[Action]:
    """Ended runs beyond what the sync keeps, per outcome; the newest stays whatever the limits say, and so do pins.

    A run that found nothing new at its source goes before any that wrote: a sync that asks every ten minutes
    would else have forgotten its daily load by noon.
    """
    limits = view.spec.history if view.spec else History()
    active = status.active_run.name if status.active_run else None
    ended = [run for run in view.runs if run.ended and not run.deleting and run.name != active]
    if len(ended) < 2:
        return []
    ended.sort(key=lambda run: (run.ended_at, run.created, run.name), reverse=True)
    good = [run for run in ended if run.phase == "Succeeded" and not run.pinned]
    if len(good) > limits.successful:
        good.sort(key=lambda run: run is not ended[0] and end_of(run)[0] == NOT_FRESH)
    bad = [run for run in ended if run.phase != "Succeeded" and not run.pinned]
    outlived = (*good[limits.successful :], *bad[limits.failed :])
    return [_deletion(view, run) for run in outlived if run is not ended[0]]


def _deletion(view: SyncView, run: RunFacts) -> Delete:
    return Delete(Key(RUN, view.meta.namespace, run.name), run.uid)


def _noted(status: SyncStatus, records: tuple[TickRecord, ...]) -> SyncStatus:
    """The status with these verdicts among the recent ones, oldest first."""
    if not records:
        return status
    by_time = {record.at: record for record in (*status.recent_ticks, *records)}
    recent = [by_time[at] for at in sorted(by_time)][-KEPT_TICKS:]
    return status.model_copy(update={"recent_ticks": recent})


def _ready_reason(view: SyncView) -> str:
    if view.spec is None or view.spec.state != "Active":
        return view.spec.state if view.spec else "Unknown"
    return "Scheduled" if view.spec.schedule else "OnDemand"


def _wake(
    view: SyncView, times: Timetable | None, problem: Problem | None, waiting: datetime | None, now: datetime
) -> datetime | None:
    """When something is to be looked at that no event announces. A clock that is wrong tells no moment but soon."""
    if view.skewed:
        return now + RECHECK
    times_to_look = [waiting, times.next_start if times else None]
    if problem and problem.passing:
        times_to_look.append(now + RECHECK)
    return min((at for at in times_to_look if at), default=None)
