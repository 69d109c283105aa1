"""When a sync runs: cron expressions over the local clock, with rules for clocks that jump; blackouts, jitter. Pure."""

from retl.schedule.blackouts import Covered, blackout_at
from retl.schedule.cron import InvalidSchedule
from retl.schedule.ticks import KEPT_TICKS, after_success, delay, due, next_run, next_tick, validate

__all__ = [
    "KEPT_TICKS",
    "Covered",
    "InvalidSchedule",
    "after_success",
    "blackout_at",
    "delay",
    "due",
    "next_run",
    "next_tick",
    "validate",
]
