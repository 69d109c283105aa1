"""Which ticks a schedule has, found by looking at every single minute: slow, plain, and none of the controller's code.

A local time that the clock skips counts at the first minute after the gap; one that comes twice counts the first time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_SHORT = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *"}


def ticks(cron: str, zone: str, since: datetime, until: datetime) -> list[datetime]:
    """Ticks in (since, until], oldest first, in UTC."""
    return [minute for minute in _minutes(since, until) if _fires(cron, zone, minute)]


def blacked_out(blackout: dict[str, Any], zone: str, tick: datetime, lasts: timedelta) -> bool:
    """Whether a tick falls into a blackout of the form cron and duration."""
    return any(_fires(blackout["cron"], zone, minute) for minute in _minutes(tick - lasts, tick))


def _minutes(since: datetime, until: datetime) -> Iterator[datetime]:
    """Whole minutes in (since, until]."""
    minute = since.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
    while minute <= until:
        yield minute
        minute += MINUTE


@lru_cache(maxsize=100_000)
def _fires(cron: str, zone: str, minute: datetime) -> bool:
    shown, before = minute.astimezone(ZoneInfo(zone)), (minute - MINUTE).astimezone(ZoneInfo(zone))
    if shown.fold:
        return False
    local, last = shown.replace(tzinfo=None), before.replace(tzinfo=None)
    if last.replace(fold=0) < local - MINUTE:  # a gap
        skipped = [last + MINUTE * n for n in range(1, int((local - last) / MINUTE) + 1)]
        return any(_matches(cron, one) for one in skipped)
    return _matches(cron, local)


def _matches(cron: str, local: datetime) -> bool:
    minute, hour, day, month, weekday = _SHORT.get(cron, cron).split()
    days = _in(day, local.day, 1), _in(weekday, local.isoweekday() % 7, 0)
    # Where both are restricted, either will do.
    on_day = any(days) if day != "*" and weekday != "*" else all(days)
    return _in(minute, local.minute, 0) and _in(hour, local.hour, 0) and _in(month, local.month, 1) and on_day


def _in(field: str, value: int, least: int) -> bool:
    return any(_in_part(part, value, least) for part in field.split(","))


def _in_part(part: str, value: int, least: int) -> bool:
    spread, _, step = part.partition("/")
    first, _, last = spread.partition("-")
    if spread == "*":
        low, high = least, 10_000
    else:
        low = _DAYS.get(first, -1) if not first.isdigit() else int(first)
        high = (int(last) if last.isdigit() else _DAYS[last]) if last else (10_000 if step else low)
    return low <= value <= high and (value - low) % int(step or 1) == 0
