"""How fast a run calls by what the destination said; time is an argument."""

from datetime import timedelta
from itertools import pairwise

import pytest

from retl.destinations.base import RateSignal
from retl.engine.pauses import FIRST_PAUSE, LONGEST_PAUSE, backoff
from retl.engine.rate import RECOVERY_SECONDS, SLOWEST, Pace


def test_nothing_slows_a_run_down_that_nobody_has_complained_of() -> None:
    pace = Pace()
    assert [pace.turn(5.0) for _ in range(1000)] == [5.0] * 1000


def called(pace: Pace, now: float, calls: int) -> float:
    """So many calls within a second from now on; the time then."""
    for i in range(calls):
        pace.turn(now + i / calls)
    return now + 1


def gaps(pace: Pace, now: float, calls: int = 5) -> list[float]:
    at = [pace.turn(now) for _ in range(calls)]
    return [round(b - a, 3) for a, b in pairwise(at)]


def test_a_refusal_halves_the_rate_and_calm_restores_it() -> None:
    pace = Pace()
    now = called(pace, 100.0, 200)
    pace.refused(now - 0.1, now)
    assert gaps(pace, now, 2) == [pytest.approx(1 / 100, rel=0.05)]
    later = now + RECOVERY_SECONDS
    assert gaps(pace, later, 2) == [pytest.approx(1 / 200, rel=0.05)]
    assert gaps(pace, now + 10 * RECOVERY_SECONDS, 3)[-1] == 0, "in the end there is no limit again"


def test_refusals_of_calls_that_were_in_flight_together_count_as_one() -> None:
    pace = Pace()
    now = called(pace, 100.0, 200)
    for _ in range(4):
        pace.refused(now - 0.01, now)
    assert gaps(pace, now, 2) == [pytest.approx(1 / 100, rel=0.05)]


def test_a_slow_run_is_not_made_slower_than_the_pauses_that_were_asked_for() -> None:
    pace = Pace()
    now = called(pace, 100.0, 1)
    pace.refused(now - 0.5, now)
    assert gaps(pace, now, 2) == [pytest.approx(1 / SLOWEST, rel=0.05)]


def test_nobody_calls_during_a_pause_and_the_longest_one_counts() -> None:
    pace = Pace()
    pace.pause(160.0)
    pace.pause(130.0)
    assert pace.turn(100.0) == 160.0
    assert pace.paused(159.9)
    assert not pace.paused(160.0)


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("signal", "gap"),
    [
        (RateSignal(remaining=10, limit=100, reset=SECOND), 0.1),
        (RateSignal(remaining=10, reset=MINUTE), 6.0),
        (RateSignal(remaining=90, limit=100, reset=SECOND), 0.0),
        (RateSignal(remaining=500, reset=MINUTE), 0.0),
        (RateSignal(remaining=3), 0.0),
        (RateSignal(limit=100, reset=SECOND), 0.0),
    ],
)
def test_what_little_remains_is_spread_over_the_rest_of_the_window(signal: RateSignal, gap: float) -> None:
    pace = Pace()
    pace.heard(signal, 100.0)
    assert gaps(pace, 100.0, 3) == [gap, gap]


def test_when_nothing_remains_the_window_is_waited_out() -> None:
    pace = Pace()
    pace.heard(RateSignal(remaining=0, limit=100, reset=timedelta(seconds=30)), 100.0)
    assert pace.turn(100.0) == 130.0


def test_a_new_window_ends_the_spreading() -> None:
    pace = Pace()
    pace.heard(RateSignal(remaining=5, limit=100, reset=SECOND), 100.0)
    pace.heard(RateSignal(remaining=99, limit=100, reset=SECOND), 100.5)
    assert gaps(pace, 100.5, 3)[-1] == 0


@pytest.mark.parametrize("failures", [1, 2, 5, 7, 30, 10_000])
def test_pauses_double_up_to_a_limit_and_differ(failures: int) -> None:
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) if failures < 30 else LONGEST_PAUSE
    found = {backoff(failures) for _ in range(50)}
    assert len(found) > 10
    assert all(longest / 2 <= pause <= longest for pause in found)
