"""Schedules in zones whose clocks jump, and in zones whose clocks do not."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from retl.resources.sync import Schedule
from retl.schedule import KEPT_TICKS, InvalidSchedule, due, next_tick, validate


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def every(cron: str, zone: str = "UTC") -> Schedule:
    return Schedule(cron=cron, time_zone=zone)


def upcoming(schedule: Schedule, after: str, count: int) -> list[datetime]:
    ticks: list[datetime] = []
    moment = utc(after)
    while len(ticks) < count and (tick := next_tick(schedule, moment)):
        ticks.append(tick)
        moment = tick
    return ticks


@pytest.mark.parametrize(
    ("cron", "zone", "after", "ticks"),
    [
        ("*/15 * * * *", "UTC", "2026-01-01T00:00:01", ["2026-01-01T00:15", "2026-01-01T00:30"]),
        ("15 */4 * * *", "Europe/Vienna", "2026-06-01T00:00", ["2026-06-01T02:15", "2026-06-01T06:15"]),
        ("0 9 * * mon-fri", "Asia/Tokyo", "2026-01-02T12:00", ["2026-01-05T00:00", "2026-01-06T00:00"]),
        ("30 5 * * *", "Asia/Kolkata", "2026-03-29T00:00", ["2026-03-30T00:00", "2026-03-31T00:00"]),
        ("0 0 * * *", "Asia/Kathmandu", "2026-03-29T00:00", ["2026-03-29T18:15", "2026-03-30T18:15"]),
        ("0 12 29 2 *", "UTC", "2026-01-01T00:00", ["2028-02-29T12:00"]),
        # The clock skips 02:00-03:00 local: a time in it fires at the first instant after the gap, once.
        ("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("15,30 2 * * *", "Europe/Vienna", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-30T00:15"]),
        (
            "*/30 * * * *",
            "Europe/Vienna",
            "2026-03-29T00:15",
            ["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30"],
        ),
        # Midnight itself is skipped.
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", ["2026-04-23T22:00", "2026-04-24T21:00"]),
        # Half an hour is skipped on Lord Howe (02:00 becomes 02:30).
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        # A whole day is skipped: 30 December 2011 did not exist in Samoa.
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00", ["2011-12-30T10:00", "2012-12-29T22:00"]),
        # 02:00-03:00 local happens twice: its times fire at their first occurrence only.
        ("30 2 * * *", "Europe/Vienna", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        (
            "0 * * * *",
            "Europe/Vienna",
            "2026-10-24T23:30",
            ["2026-10-25T00:00", "2026-10-25T02:00", "2026-10-25T03:00"],
        ),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
        # Asked in the middle of the repetition, what comes next is after it, from its very end on.
        ("*/10 * * * *", "Europe/Vienna", "2026-10-25T01:20", ["2026-10-25T02:00", "2026-10-25T02:10"]),
    ],
)
def test_a_local_time_fires_exactly_once(cron: str, zone: str, after: str, ticks: list[str]) -> None:
    assert upcoming(every(cron, zone), after, len(ticks)) == [utc(t) for t in ticks]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Vienna", "2026-03-29"),
        ("Europe/Vienna", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("Pacific/Apia", "2011-12-30"),
        ("Asia/Tokyo", "2026-03-29"),
    ],
)
@pytest.mark.parametrize("cron", ["*/7 * * * *", "30 2 * * *", "0,15,30,45 1,2,3 * * *"])
def test_looking_back_finds_the_same_ticks_as_walking_forward(zone: str, day: str, cron: str) -> None:
    schedule = every(cron, zone)
    start, end = utc(day) - timedelta(days=1), utc(day) + timedelta(days=1, hours=12)
    forward = [tick for tick in upcoming(schedule, start.isoformat()[:19], 600) if tick <= end]
    assert due(schedule, start, end, limit=1000) == forward
    middle = utc(day) + timedelta(minutes=45)
    assert due(schedule, middle, end, limit=1000) == [t for t in forward if t > middle]
    assert due(schedule, start, middle, limit=1000) == [t for t in forward if t <= middle]


def test_a_tick_is_due_at_its_own_instant_and_not_a_second_time() -> None:
    schedule, noon = every("0 12 * * *"), utc("2026-01-01T12:00")
    assert due(schedule, noon - timedelta(seconds=1), noon) == [noon]
    assert due(schedule, noon, noon + timedelta(hours=1)) == []


def test_a_clock_that_went_backwards_makes_nothing_due() -> None:
    assert due(every("* * * * *"), utc("2026-01-02T00:00"), utc("2026-01-01T00:00")) == []


def test_a_year_of_downtime_costs_no_more_than_the_ticks_that_are_kept() -> None:
    started = time.process_time()
    ticks = due(every("* * * * *", "Europe/Vienna"), utc("2025-01-01T00:00"), utc("2026-01-01T00:00"))
    assert len(ticks) == KEPT_TICKS
    assert ticks[-1] == utc("2026-01-01T00:00")
    assert ticks[0] == ticks[-1] - timedelta(minutes=KEPT_TICKS - 1)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("61 * * * *", "UTC", "schedule.cron: [61 * * * *] is not acceptable, out of range"),
        ("R * * * *", "UTC", "'r' in 'R * * * *' is neither a month"),
        ("0 0 * * monday", "UTC", "'monday' in '0 0 * * monday'"),
        ("*/0 * * * *", "UTC", "step '0'"),
        ("0 0 30 2 *", "UTC", "never fires"),
        ("0 0 31 4,6 *", "UTC", "never fires"),
        ("0 0 * * *", "Europe/Viena", "there is no time zone 'Europe/Viena'; did you mean 'Europe/Vienna'?"),
        ("0 0 * * *", "europe/vienna", "did you mean 'Europe/Vienna'?"),
        ("0 0 * * *", "../etc/passwd", "there is no time zone"),
        ("0 0 * * *", "Europe", "there is no time zone"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_in_words(cron: str, zone: str, says: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        validate(every(cron, zone))
    assert says in str(refused.value)
    assert refused.value.reason == "InvalidSchedule"
