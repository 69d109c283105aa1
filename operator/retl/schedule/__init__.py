"""When a sync runs: cron expressions over local wall-clock time, with rules for clocks that jump. Pure."""

from retl.schedule.ticks import KEPT_TICKS, InvalidSchedule, due, next_tick, validate

__all__ = ["KEPT_TICKS", "InvalidSchedule", "due", "next_tick", "validate"]
