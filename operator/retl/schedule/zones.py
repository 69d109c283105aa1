"""Local wall-clock time to the instant at which it happens, exactly once each.

A local time that the clock skips happens at the first instant after the gap; one that occurs twice happens at its first
occurrence. With these two rules the mapping never runs backwards, so a schedule can be walked in naive local time.
"""

from datetime import UTC, datetime, timedelta, tzinfo

RESOLUTION = timedelta(seconds=1)


def instant(local: datetime, zone: tzinfo) -> datetime:
    """The UTC instant of a naive local time."""
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    return _after_gap(local, zone)


def wall_clock(moment: datetime, zone: tzinfo) -> datetime:
    """The naive local time that a wall clock shows at an instant."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def past_wall_clock(moment: datetime, zone: tzinfo) -> datetime:
    """A naive local time that no local time which has happened by an instant exceeds.

    It is later than what the clock shows while an hour repeats: at 02:10 for the second time, 02:59 has already been.
    """
    shown = moment.astimezone(zone)
    local = shown.replace(tzinfo=None, fold=0)
    if shown.fold == 0:
        return local
    repeated = _offset(local, zone, fold=0) - _offset(local, zone, fold=1)
    return local + repeated


def _after_gap(local: datetime, zone: tzinfo) -> datetime:
    """The instant at which the clock jumps over `local`, found by bisection between the two readings of it."""
    before = (local - _offset(local, zone, fold=1)).replace(tzinfo=UTC)
    after = (local - _offset(local, zone, fold=0)).replace(tzinfo=UTC)
    old = before.astimezone(zone).utcoffset()
    while after - before > RESOLUTION:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _offset(local: datetime, zone: tzinfo, *, fold: int) -> timedelta:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None  # every zone of the tz database has one
    return offset
