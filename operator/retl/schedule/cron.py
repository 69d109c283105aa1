"""Cron expressions over local wall-clock time, compiled once and walked in both directions.

croniter reads the fields and knows the days; the times of a day are a sorted tuple, so that the step from one tick to
the next costs microseconds: ten thousand schedules are armed at the controller's start. What a local time means in UTC
is decided in `zones`.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import CroniterBadDateError, CroniterError, croniter

from retl.errors import InvalidInput
from retl.schedule.zones import instant, past_wall_clock, wall_clock

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS = frozenset({*_MONTHS, *_WEEKDAYS, "l"})  # l: the last day of the month
_FIELDS = "minute hour day month weekday"
_ANY_DAY = date(2024, 1, 1)
_DAY = timedelta(days=1)


class InvalidSchedule(InvalidInput):
    """The schedule is wrong; the message names the field."""

    reason = "InvalidSchedule"


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a cron expression fires in a time zone.

    Attributes:
        minutes: of a day on which it fires, counted from midnight by the wall clock, ascending.
        days: the last three fields: day of month, month, day of week.
    """

    minutes: tuple[int, ...]
    days: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime:
        """The first tick later than an instant (UTC)."""
        for local in self._forward(wall_clock(moment, self.zone)):
            # Only the local times of an hour that repeats can map to `moment` or earlier.
            if (tick := instant(local, self.zone)) > moment:
                return tick
        raise AssertionError("a calendar fires again and again")

    def until(self, moment: datetime) -> Iterator[datetime]:
        """Ticks at or before an instant (UTC), newest first, each once."""
        newest = None
        for local in self._backward(past_wall_clock(moment, self.zone)):
            tick = instant(local, self.zone)
            if tick <= moment and (newest is None or tick < newest):
                newest = tick
                yield tick

    def _forward(self, local: datetime) -> Iterator[datetime]:
        shown = local.hour * 60 + local.minute + (1 if local.second or local.microsecond else 0)
        day = _first_day(self.days, local.date())
        start = bisect_left(self.minutes, shown) if day == local.date() else 0
        while True:
            yield from (_at(day, minute) for minute in self.minutes[start:])
            day, start = _first_day(self.days, day + _DAY), 0

    def _backward(self, local: datetime) -> Iterator[datetime]:
        day = _last_day(self.days, local.date())
        end = len(self.minutes)
        if day == local.date():
            end = bisect_right(self.minutes, local.hour * 60 + local.minute)
        while day is not None:
            yield from (_at(day, minute) for minute in reversed(self.minutes[:end]))
            day, end = _last_day(self.days, day - _DAY), len(self.minutes)


@lru_cache(maxsize=16_384)
def calendar(cron: str, zone: str, where: str = "schedule.cron") -> Calendar:
    """Compile an expression.

    Args:
        zone: IANA name.
        where: the field that holds the expression, for messages.
    Raises:
        InvalidSchedule: it cannot be understood, never fires, or there is no such zone.
    """
    fields = _NICKNAMES.get(cron, cron).split()
    unknown = [word for word in re.findall(r"[a-z]+", " ".join(fields).lower()) if word not in _WORDS]
    if unknown:
        raise InvalidSchedule(
            f"{where}: {unknown[0]!r} in {cron!r} is neither a month (jan-dec) nor a weekday (mon-sun)"
        )
    try:
        minutes, days = _minutes(*fields[:2]), " ".join(fields[2:])
        _first_day(days, _ANY_DAY)
    except CroniterBadDateError:
        raise InvalidSchedule(f"{where}: {cron!r} never fires; there is no such day in these months") from None
    except (CroniterError, ValueError, KeyError) as error:
        raise InvalidSchedule(f"{where}: {_complaint(cron) or error}; the five fields are {_FIELDS}") from None
    return Calendar(minutes, days, time_zone(zone))


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """The zone of that name (raises InvalidSchedule)."""
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


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time(*divmod(minute, 60)))


@lru_cache(maxsize=4096)
def _minutes(minute: str, hour: str) -> tuple[int, ...]:
    minutes, hours = (_numbers(0, minute, 60), _numbers(1, hour, 24))
    return tuple(h * 60 + m for h in hours for m in minutes)


@lru_cache(maxsize=1024)
def _numbers(position: int, field: str, count: int) -> list[int]:
    """What a field of numbers stands for, ascending."""
    expression = ["*"] * 5
    expression[position] = field
    found = croniter.expand(" ".join(expression))[0][position]
    return list(range(count)) if found == ["*"] else sorted(found)


@lru_cache(maxsize=8192)
def _first_day(days: str, day: date) -> date:
    """The first day, from that one on, on which the expression fires (raises CroniterBadDateError)."""
    just_before = datetime.combine(day, time()) - timedelta(seconds=1)
    found: datetime = croniter(f"0 0 {days}", just_before).get_next(datetime)
    return found.date()


@lru_cache(maxsize=8192)
def _last_day(days: str, day: date) -> date | None:
    """The last day, up to that one, on which the expression fired; None where there is none in croniter's horizon."""
    try:
        found: datetime = croniter(f"0 0 {days}", datetime.combine(day, time(0, 1))).get_prev(datetime)
    except CroniterBadDateError:
        return None
    return found.date()


def _complaint(cron: str) -> str:
    """What croniter says of the whole expression."""
    try:
        croniter(cron)
    except (CroniterError, ValueError, KeyError) as error:
        return str(error)
    return ""
