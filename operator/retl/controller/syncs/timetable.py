"""Which ticks of a sync want an answer now, and when the next one does. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from retl.controller.decision import Problem
from retl.controller.syncs.view import SyncView
from retl.resources.sync import AFTER, Schedule
from retl.schedule import KEPT_TICKS, InvalidSchedule, after_success, delay, due, next_run, next_tick

FAR = timedelta(days=1)
"""A moment further in the future was never written by this program, whatever its clock did."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The schedule of an active sync at one moment.

    Attributes:
        name: of what its ticks follow from, as the status keeps it.
        delay: from a tick to its start.
        dealt: the newest moment that is dealt with if nothing is due; None if there is none.
        ticks: that are due, oldest first, at most as many as are told one by one.
        next_run: the next tick that no blackout covers; None for @after.
        next_start: when to look for the next tick; None where nobody knows.
    """

    schedule: Schedule
    name: str
    delay: timedelta
    dealt: datetime | None
    ticks: tuple[datetime, ...] = ()
    next_run: datetime | None = None
    next_start: datetime | None = None


def timetable(view: SyncView, now: datetime) -> Timetable | Problem | None:
    """What the schedule asks for; None when the sync has none in force, a Problem when it cannot be kept.

    A schedule that has just come into force (resumed, corrected, or another one) counts from now: it is not asked about
    a past in which it did not hold. One that was never seen counts from the sync's creation.
    """
    if view.spec is None or view.spec.state != "Active" or view.spec.schedule is None:
        return None
    schedule, status = view.spec.schedule, view.status
    waiting = status.waiting_tick
    wait = delay(schedule, view.meta.uid)
    since = status.last_tick or view.meta.creation_timestamp or now
    try:
        if schedule.cron == AFTER:
            upcoming = _after_others(view, since, now)
            ticks = [tick for tick in upcoming if tick + wait <= now]
            tick = next((tick for tick in upcoming if tick not in ticks), None)
        else:
            ticks, tick = _by_clock(
                schedule, since, now - wait, queued=schedule.catch_up == "All" or waiting is not None
            )
        coming = next_run(schedule, max(now - wait, since)) if schedule.blackouts else tick
    except InvalidSchedule as error:
        return Problem(error.reason, f"spec.{error}")
    name = in_force(schedule)
    dealt = status.last_tick
    if waiting and waiting.at < min(ticks, default=waiting.at):
        ticks = [waiting.at, *ticks]  # whatever happened since, it is owed its verdict
    if ticks and status.observed_generation is not None and status.armed_schedule != name:
        dealt, ticks = now.replace(microsecond=0), []
    clockless = schedule.cron == AFTER
    return Timetable(
        schedule, name, wait, dealt, tuple(ticks), None if clockless else coming, tick + wait if tick else None
    )


def withdrawn(view: SyncView, times: Timetable | Problem | None, now: datetime) -> list[datetime]:
    """The ticks that were waiting under a schedule that is no longer in force, oldest first."""
    waiting = view.status.waiting_tick
    if waiting is None or (isinstance(times, Timetable) and times.name == view.status.armed_schedule):
        return []
    schedule = view.spec.schedule if view.spec else None
    if schedule is None or times is not None or in_force(schedule) != view.status.armed_schedule:
        return [waiting.at]
    behind, _ = _by_clock(schedule, waiting.at, now - delay(schedule, view.meta.uid), queued=True)
    return [waiting.at, *behind]


def in_force(schedule: Schedule) -> str:
    """What a schedule's ticks follow from: with another value, it is another schedule."""
    if schedule.cron != AFTER:
        return f"{schedule.cron} {schedule.time_zone}"
    names = " ".join(sorted(dependency.sync_ref.name for dependency in schedule.depends_on))
    return f"{AFTER} {sha256(names.encode()).hexdigest()[:8]}"


def _by_clock(
    schedule: Schedule, since: datetime, until: datetime, *, queued: bool
) -> tuple[list[datetime], datetime | None]:
    """The ticks in (since, until], and the first one after them.

    Args:
        queued: they stand in line, where those that the line is too long for are told of as well.
    """
    tick = next_tick(schedule, since)
    if tick is None or tick > until:  # for nearly all syncs at nearly all times
        return [], tick
    return due(schedule, since, until, 2 * KEPT_TICKS if queued else KEPT_TICKS), next_tick(schedule, until)


def _after_others(view: SyncView, since: datetime, now: datetime) -> list[datetime]:
    """The tick that the newest success of the others gives, once each of them has had one since; it may be to come."""
    waiting = view.status.waiting_tick
    standing = {waiting.at} if waiting else set()
    ticks = set()
    for dependency in view.dependencies:
        success = dependency.last_success
        if success is None or success > now + FAR or (tick := after_success(success)) <= since:
            return sorted(standing)
        ticks.add(tick)
    return sorted({*standing, max(ticks)})
