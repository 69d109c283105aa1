"""Which ticks of a sync want an answer now. Pure."""

from datetime import datetime

from retl.controller.syncs.view import SyncView
from retl.resources.sync import Schedule
from retl.schedule import InvalidSchedule, due, next_tick, validate


def due_ticks(view: SyncView, now: datetime) -> tuple[datetime | None, list[datetime]]:
    """The newest moment that is dealt with if nothing is due (None: leave it unset), and the ticks that are due.

    A schedule that has just come into force (resumed, corrected, or another one) counts from now: it is not asked about
    a past in which it did not hold. One that was never seen counts from the sync's creation.
    """
    status, schedule = view.status, armed(view)
    if schedule is None:
        return status.last_tick, []
    since = status.last_tick or view.meta.creation_timestamp or now
    ticks = due(schedule, since, now)
    if ticks and _new_in_force(view, now):
        return now, []
    return status.last_tick, ticks


def upcoming(view: SyncView, now: datetime) -> datetime | None:
    """The next tick; None when there will be none."""
    schedule = armed(view)
    if schedule is None:
        return None
    return next_tick(schedule, max(now, view.status.last_tick or now))


def armed(view: SyncView) -> Schedule | None:
    """The schedule, if the sync is active and the schedule can be understood."""
    if view.spec is None or view.spec.state != "Active" or view.spec.schedule is None:
        return None
    try:
        validate(view.spec.schedule)
    except InvalidSchedule:
        return None
    return view.spec.schedule


def _new_in_force(view: SyncView, now: datetime) -> bool:
    status = view.status
    if status.observed_generation is None:
        return False
    if status.next_run_time is None:
        return True  # it was seen before, and had nothing scheduled then
    changed = status.observed_generation != view.meta.generation
    return changed and status.next_run_time > now
