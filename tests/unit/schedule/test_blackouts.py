"""Blackouts, jitter, nicknames, and schedules that never run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retl.resources.sync import Schedule
from retl.schedule import InvalidSchedule, after_success, blackout_at, delay, due, next_run, next_tick, validate


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(cron: str = "0 * * * *", zone: str = "UTC", **more: Any) -> Schedule:
    return Schedule.model_validate({"cron": cron, "timeZone": zone} | more)


def ends(of: Schedule, moment: str) -> datetime | None:
    covered = blackout_at(of, utc(moment))
    return covered.end if covered else None


NIGHTS = {"cron": "0 22 * * *", "duration": "8h", "reason": "month-end close"}
FAIR = {"start": "2026-05-04T10:00:00+02:00", "end": "2026-05-04T12:30:00Z"}


@pytest.mark.parametrize(
    ("blackouts", "zone", "moment", "end"),
    [
        ([NIGHTS], "UTC", "2026-05-04T21:59", None),
        ([NIGHTS], "UTC", "2026-05-04T22:00", "2026-05-05T06:00"),
        ([NIGHTS], "UTC", "2026-05-05T05:59", "2026-05-05T06:00"),
        ([NIGHTS], "UTC", "2026-05-05T06:00", None),
        ([NIGHTS], "Europe/Vienna", "2026-05-04T20:00", "2026-05-05T04:00"),
        # The night of the clock change: it begins by the wall clock, and lasts as long as ever.
        ([NIGHTS], "Europe/Vienna", "2026-03-28T21:00", "2026-03-29T05:00"),
        ([FAIR], "UTC", "2026-05-04T07:59", None),
        ([FAIR], "UTC", "2026-05-04T08:00", "2026-05-04T12:30"),
        ([FAIR], "UTC", "2026-05-04T12:30", None),
        ([FAIR, {"cron": "0 12 * * mon", "duration": "1h"}], "UTC", "2026-05-04T12:10", "2026-05-04T13:00"),
        ([{"cron": "0 0 30 6 *", "duration": "2d"}], "UTC", "2026-07-01T23:59", "2026-07-02T00:00"),
    ],
)
def test_a_moment_is_in_a_blackout_from_its_beginning_to_just_before_its_end(
    blackouts: list[dict[str, str]], zone: str, moment: str, end: str | None
) -> None:
    assert ends(schedule(zone=zone, blackouts=blackouts), moment) == (utc(end) if end else None)


@pytest.mark.parametrize(
    ("cron", "blackouts", "after", "runs"),
    [
        ("0 * * * *", [NIGHTS], "2026-05-04T21:30", "2026-05-05T06:00"),
        ("0 23 * * *", [{"cron": "0 22 * * mon-sat", "duration": "8h"}], "2026-05-04T12:00", "2026-05-10T23:00"),
        ("30 * * * *", [FAIR], "2026-05-04T07:45", "2026-05-04T12:30"),
        ("@daily", [{"start": "2026-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}], "2026-05-04", "2099-01-01"),
    ],
)
def test_the_next_run_is_the_next_tick_that_no_blackout_covers(
    cron: str, blackouts: list[dict[str, str]], after: str, runs: str
) -> None:
    assert next_run(schedule(cron, blackouts=blackouts), utc(after)) == utc(runs)


@pytest.mark.parametrize(
    ("cron", "blackouts"),
    [
        ("0 * * * *", [{"cron": "0 0 * * *", "duration": "1d"}]),
        ("0 23 * * *", [NIGHTS]),
        ("30 6 * * *", [{"cron": "0 6 * * *", "duration": "1h"}, NIGHTS]),
        ("* * * * *", [{"cron": "*/2 * * * *", "duration": "1m"}, {"cron": "1-59/2 * * * *", "duration": "1m"}]),
    ],
)
def test_blackouts_that_cover_every_tick_are_refused_in_bounded_time(
    cron: str, blackouts: list[dict[str, str]]
) -> None:
    with pytest.raises(InvalidSchedule, match="they cover every tick until"):
        next_run(schedule(cron, blackouts=blackouts), utc("2026-05-04"))


def test_blackouts_that_leave_no_moment_are_refused_for_a_schedule_without_a_clock_as_well() -> None:
    after = {"cron": "@after", "dependsOn": [{"syncRef": {"name": "orders"}}]}
    always = [{"cron": "0 0 * * *", "duration": "1d"}]
    with pytest.raises(InvalidSchedule, match="they cover every tick until"):
        next_run(Schedule.model_validate(after | {"blackouts": always}), utc("2026-05-04"))
    assert next_run(Schedule.model_validate(after | {"blackouts": [NIGHTS]}), utc("2026-05-04")) is None


@pytest.mark.parametrize(
    ("blackout", "says"),
    [
        ({"cron": "0 0 30 2 *", "duration": "1h"}, "schedule.blackouts[0].cron: '0 0 30 2 *' never fires"),
        ({"cron": "0 25 * * *", "duration": "1h"}, "schedule.blackouts[0].cron: [0 25 * * *] is not acceptable"),
        ({"cron": "0 0 * * funday", "duration": "1h"}, "'funday' in '0 0 * * funday'"),
    ],
)
def test_a_blackout_that_cannot_work_is_refused_in_words(blackout: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        validate(schedule(blackouts=[blackout]))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("nickname", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * sun"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 jan *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_nickname_is_the_fields_that_it_stands_for(nickname: str, fields: str) -> None:
    start, end = utc("2026-01-01T00:30"), utc("2027-06-01")
    assert due(schedule(nickname), start, end, limit=5) == due(schedule(fields), start, end, limit=5) != []


def test_a_schedule_after_others_has_no_clock() -> None:
    after = Schedule.model_validate({"cron": "@after", "dependsOn": [{"syncRef": {"name": "orders"}}]})
    validate(after)
    assert (next_tick(after, utc("2026-01-01")), due(after, utc("2020-01-01"), utc("2026-01-01"))) == (None, [])


@pytest.mark.parametrize(
    ("success", "tick"),
    [
        ("2026-05-04T12:00:00", "2026-05-04T12:01"),
        ("2026-05-04T12:00:59", "2026-05-04T12:01"),
        ("2026-05-04T23:59:30", "2026-05-05T00:00"),
    ],
)
def test_a_success_gives_the_next_whole_minute(success: str, tick: str) -> None:
    assert after_success(utc(success)) == utc(tick)


def test_jitter_is_the_same_for_a_sync_and_spreads_many() -> None:
    ten_minutes = schedule(jitter="10m")
    delays = [delay(ten_minutes, f"uid-{number}") for number in range(2_000)]
    assert delays == [delay(ten_minutes, f"uid-{number}") for number in range(2_000)]
    assert min(delays) >= timedelta()
    assert max(delays) < timedelta(minutes=10)
    assert len(set(delays)) > 500
    assert delay(schedule(), "uid-1") == timedelta()
