"""Which ticks of a schedule are due, and which comes next.

Pure: time comes in as an argument. The controller asks on every reconcile, so a wake-up that is missed costs nothing.
croniter walks naive local time; what a local time means in UTC is decided in `zones`.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import CroniterBadDateError, CroniterError, croniter

from retl.errors import InvalidInput
from retl.resources.sync import Schedule
from retl.schedule.zones import instant, past_wall_clock, wall_clock

KEPT_TICKS = 20
"""Most ticks that `due` returns: as many as a status remembers."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS = frozenset({*_MONTHS, *_WEEKDAYS, "l"})  # l: the last day of the month
_FIELDS = "minute hour day month weekday"
_ANY_TIME = datetime(2024, 1, 1)


class InvalidSchedule(InvalidInput):
    """The cron expression or the time zone is wrong; the message names the field."""

    reason = "InvalidSchedule"


def validate(schedule: Schedule) -> None:
    """Raise InvalidSchedule unless the schedule can be understood and fires at some time."""
    _check_cron(schedule.cron)
    _zone(schedule.time_zone)


def next_tick(schedule: Schedule, after: datetime) -> datetime:
    """The first tick later than `after`, in UTC (raises InvalidSchedule)."""
    validate(schedule)
    zone = _zone(schedule.time_zone)
    ticks = croniter(schedule.cron, wall_clock(after, zone) - timedelta(seconds=1))
    while True:  # ends: only the local times of an hour that repeats can map to `after` or earlier
        tick = instant(ticks.get_next(datetime), zone)
        if tick > after:
            return tick


def due(schedule: Schedule, since: datetime, now: datetime, limit: int = KEPT_TICKS) -> list[datetime]:
    """The newest `limit` ticks in (since, now], oldest first, in UTC.

    The work is bounded by `limit`, however long ago `since` is. Raises InvalidSchedule.
    """
    validate(schedule)
    zone = _zone(schedule.time_zone)
    found: list[datetime] = []
    if since >= now:
        return found
    for tick in _backwards(schedule.cron, past_wall_clock(now, zone), zone):
        if tick <= since or len(found) == limit:
            break
        if tick <= now and (not found or tick < found[-1]):
            found.append(tick)
    return found[::-1]


def _backwards(cron: str, newest: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Ticks from the local time `newest` back into the past; never later than the one before."""
    ticks = croniter(cron, newest + timedelta(seconds=1))
    while True:
        try:
            local = ticks.get_prev(datetime)
        except CroniterBadDateError:  # nothing earlier within croniter's horizon
            return
        yield instant(local, zone)


@lru_cache(maxsize=4096)
def _check_cron(cron: str) -> None:
    unknown = [word for word in re.findall(r"[a-z]+", cron.lower()) if word not in _WORDS]
    if unknown:
        raise InvalidSchedule(
            f"schedule.cron: {unknown[0]!r} in {cron!r} is neither a month (jan-dec) nor a weekday (mon-sun)"
        )
    try:
        croniter(cron, _ANY_TIME).get_next(datetime)
    except CroniterBadDateError:
        raise InvalidSchedule(f"schedule.cron: {cron!r} never fires; there is no such day in these months") from None
    except (CroniterError, ValueError, KeyError) as error:
        raise InvalidSchedule(f"schedule.cron: {error}; the five fields are {_FIELDS}") from None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
    by_lower = {zone.lower(): zone for zone in known}
    hint = get_close_matches(name.lower(), by_lower, 1, cutoff=0.5)
    raise InvalidSchedule(
        f"schedule.timeZone: there is no time zone {name!r}; "
        + (f"did you mean {by_lower[hint[0]]!r}?" if hint else "write an IANA name such as Europe/Vienna")
    )
