"""Our steps through the days against croniter's, for expressions that nobody chose."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retl.schedule.cron import InvalidSchedule, calendar


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=2, max_size=4, unique=True).map(lambda each: ",".join(map(str, sorted(each)))),
    )


CRONS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(" ".join)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)).map(lambda d: d.replace(tzinfo=UTC, microsecond=0))


@settings(max_examples=300, deadline=None)
@given(CRONS, MOMENTS)
def test_without_clock_changes_the_ticks_are_croniters(cron: str, moment: datetime) -> None:
    try:
        ours = calendar(cron, "UTC")
    except InvalidSchedule:
        assume(False)
    theirs = croniter(cron, moment.replace(tzinfo=None))
    following = moment
    for _ in range(5):
        following = ours.after(following)
        assert following.replace(tzinfo=None) == theirs.get_next(datetime)


@settings(max_examples=300, deadline=None)
@given(CRONS, st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe"]), MOMENTS)
def test_the_ticks_behind_a_moment_are_those_that_were_ahead_of_an_earlier_one(
    cron: str, zone: str, moment: datetime
) -> None:
    try:
        ours = calendar(cron, zone)
    except InvalidSchedule:
        assume(False)
    behind = list(islice(ours.until(moment), 8))[::-1]
    ahead = [behind[0]]
    while ahead[-1] < behind[-1]:
        ahead.append(ours.after(ahead[-1]))
    assert ahead == behind
    assert ours.after(behind[-1]) > moment
    assert ours.after(behind[0] - timedelta(seconds=1)) == behind[0]


@settings(max_examples=200, deadline=None)
@given(CRONS)
def test_what_never_fires_is_what_croniter_never_finds(cron: str) -> None:
    try:
        croniter(cron, datetime(2024, 1, 1)).get_next(datetime)
        fires = True
    except CroniterBadDateError:
        fires = False
    if fires:
        calendar(cron, "UTC")
    else:
        with pytest.raises(InvalidSchedule, match="never fires"):
            calendar(cron, "UTC")
