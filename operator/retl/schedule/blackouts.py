"""Times in which no tick starts a run. Pure."""

from datetime import datetime
from typing import NamedTuple

from retl.resources.sync import Blackout, Schedule
from retl.schedule.cron import calendar


class Covered(NamedTuple):
    """A blackout that a moment lies in, and the first moment after it."""

    blackout: Blackout
    end: datetime


def blackout_at(schedule: Schedule, moment: datetime) -> Covered | None:
    """The blackout that a moment lies in; of several, the one that lasts longest (raises InvalidSchedule)."""
    covering = [
        Covered(blackout, end)
        for index, blackout in enumerate(schedule.blackouts)
        if (end := _end(schedule, index, blackout, moment))
    ]
    return max(covering, key=lambda covered: covered.end, default=None)


def check(schedule: Schedule) -> None:
    """Raise InvalidSchedule unless each blackout can be understood."""
    for index, blackout in enumerate(schedule.blackouts):
        if blackout.cron:
            calendar(blackout.cron, schedule.time_zone, _where(index))


def _end(schedule: Schedule, index: int, blackout: Blackout, moment: datetime) -> datetime | None:
    if blackout.start and blackout.end:
        return blackout.end if blackout.start <= moment < blackout.end else None
    assert blackout.cron
    assert blackout.duration  # one or the other, by the model
    begin = next(calendar(blackout.cron, schedule.time_zone, _where(index)).until(moment), None)
    end = begin + blackout.duration if begin else None
    return end if end and moment < end else None


def _where(index: int) -> str:
    return f"schedule.blackouts[{index}].cron"
