"""Which ticks of a schedule are due, and which comes next.

Pure: time comes in as an argument. The controller asks on every reconcile, so a wake-up that is missed costs nothing.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice, takewhile

from retl.resources.sync import AFTER, Schedule
from retl.schedule import blackouts
from retl.schedule.blackouts import blackout_at
from retl.schedule.cron import Calendar, InvalidSchedule, calendar, time_zone

KEPT_TICKS = 20
"""Most ticks that `due` returns: as many as a status remembers."""

_LOOK_AHEAD = 1_000
"""Blackouts in a row that are looked past before a schedule counts as one that never runs."""
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)


def validate(schedule: Schedule) -> None:
    """Raise InvalidSchedule unless the schedule can be understood and fires at some time."""
    time_zone(schedule.time_zone)
    _calendar(schedule)
    blackouts.check(schedule)


def next_tick(schedule: Schedule, after: datetime) -> datetime | None:
    """The first tick later than `after`, in UTC; None for @after, which has no clock (raises InvalidSchedule)."""
    found = _calendar(schedule)
    return found.after(after) if found else None


def next_run(schedule: Schedule, after: datetime) -> datetime | None:
    """The first tick later than `after` that no blackout covers, in UTC; None for @after.

    Raises:
        InvalidSchedule: there is none as far as one can look ahead.
    """
    validate(schedule)
    moment = after
    for _ in range(_LOOK_AHEAD):
        tick = next_tick(schedule, moment)
        covered = blackout_at(schedule, tick or moment)
        if covered is None:
            return tick
        moment = max(tick or moment, covered.end if tick is None else covered.end - _SECOND)
    raise InvalidSchedule(
        f"schedule.blackouts: they cover every tick until {moment.astimezone(UTC):%FT%TZ}; "
        "leave a time in which the sync can run, or set state to Paused"
    )


def due(schedule: Schedule, since: datetime, now: datetime, limit: int = KEPT_TICKS) -> list[datetime]:
    """The newest `limit` ticks in (since, now], oldest first, in UTC; none for @after.

    The work is bounded by `limit`, however long ago `since` is. Raises InvalidSchedule.
    """
    found = _calendar(schedule)
    if found is None or since >= now:
        return []
    newest_first = takewhile(lambda tick: tick > since, found.until(now))
    return list(islice(newest_first, limit))[::-1]


def delay(schedule: Schedule, uid: str) -> timedelta:
    """How long after its ticks the sync of that uid starts: less than the jitter, and always the same."""
    if schedule.jitter is None:
        return timedelta()
    number = int.from_bytes(sha256(uid.encode()).digest()[:8])
    return timedelta(milliseconds=number % (schedule.jitter // _MILLISECOND))


def after_success(success: datetime) -> datetime:
    """The tick that a success gives to those who run @after it: the next whole minute, always later, in UTC."""
    return success.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE


def _calendar(schedule: Schedule) -> Calendar | None:
    return None if schedule.cron == AFTER else calendar(schedule.cron, schedule.time_zone)
