"""The rate of a destination account: shared by all runners, never exceeded, slower after a refusal."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retl.errors import Fenced
from retl.resources.destination import RateLimit
from retl.state.rates import SLOWEST, Rate, refused, reserved
from retl.state.sql import SqlStateStore
from retl.state.store import Reservation
from tests.unit.state.databases import Backend, request

HUNDRED = RateLimit(requests=100)
START = 1_000_000.0


def slots(at: float, reservation: Reservation) -> list[float]:
    """When the calls of a reservation made at that moment may be made."""
    first, interval = at + reservation.start.total_seconds(), reservation.interval.total_seconds()
    return [first + n * interval for n in range(reservation.calls)]


def most_within(moments: list[float], seconds: float) -> int:
    """Most of them in any window of that length."""
    ordered, most, first = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_calls_are_evenly_spaced_a_little_below_the_limit() -> None:
    _, reservation = reserved(Rate(), HUNDRED, 10, START)
    assert reservation.start == timedelta(0)
    assert reservation.interval == timedelta(seconds=1 / 97)
    assert reservation.calls == 10


@pytest.mark.parametrize(
    ("requests", "wanted", "given"),
    [(100, 1, 1), (100, 1_000, 24), (1, 50, 1), (3, 50, 1), (1_000_000, 10_000_000, 242_500)],
)
def test_calls_are_given_for_a_quarter_of_a_second_at_most_and_never_none(
    requests: int, wanted: int, given: int
) -> None:
    _, reservation = reserved(Rate(), RateLimit(requests=requests), wanted, START)
    assert reservation.calls == given


def test_a_slot_that_nobody_took_is_lost_and_makes_no_burst() -> None:
    rate, _ = reserved(Rate(), HUNDRED, 5, START)
    rate, later = reserved(rate, HUNDRED, 24, START + 60)
    assert slots(START + 60, later)[0] == START + 60
    assert most_within(slots(START + 60, later), 0.1) <= 10


@settings(deadline=None)
@given(
    asks=st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 60)), min_size=1, max_size=200),
    requests=st.integers(1, 400),
)
def test_whoever_asks_whenever_for_whatever_the_limit_holds_in_any_second(
    asks: list[tuple[float, int]], requests: int
) -> None:
    rate, now, called = Rate(), START, []
    for pause, calls in asks:
        now += pause
        rate, reservation = reserved(rate, RateLimit(requests=requests), calls, now)
        called += slots(now, reservation)
    assert most_within(called, 1.0) <= requests


def test_a_refusal_stops_all_for_the_pause_and_then_halves_the_pace() -> None:
    rate = refused(Rate(), timedelta(seconds=3), START)
    _, reservation = reserved(rate, HUNDRED, 1, START + 1)
    assert reservation.start == timedelta(seconds=2)
    assert reservation.interval == timedelta(seconds=1 / 48.5)


def test_refusals_of_calls_that_were_in_flight_together_halve_the_pace_once() -> None:
    rate = refused(Rate(), timedelta(seconds=3), START)
    for moment in (0.1, 0.9, 2.9):
        rate = refused(rate, timedelta(seconds=1), START + moment)
    assert rate.pace == 0.5
    assert rate.paused_until == START + 3.9


def test_the_pace_has_a_floor_and_comes_back_step_by_step() -> None:
    rate, now = Rate(), START
    for _ in range(20):
        now += 2
        rate = refused(rate, timedelta(0), now)
    assert rate.pace == SLOWEST
    assert rate.pace_at(now + 9.9) == SLOWEST
    assert rate.pace_at(now + 10) == pytest.approx(SLOWEST + 0.1)
    assert rate.pace_at(now + 35) == pytest.approx(SLOWEST + 0.3)
    assert rate.pace_at(now + 1_000) == 1.0


def test_a_refusal_on_the_way_back_halves_what_was_reached() -> None:
    rate = refused(Rate(), timedelta(0), START)
    rate = refused(rate, timedelta(0), START + 20)
    assert rate.pace == pytest.approx(0.35)


async def test_runners_of_different_syncs_share_one_account(backend: Backend) -> None:
    contacts = await backend.store.claim(request(sync="contacts"))
    deals = await backend.store.claim(request(sync="deals"))
    slow = RateLimit(requests=1, per=timedelta(seconds=20))
    await backend.store.reserve(contacts, "account", slow, 1)
    second = await backend.store.reserve(deals, "account", slow, 1)
    third = await backend.store.reserve(contacts, "account", slow, 1)
    assert timedelta(0) < second.start <= second.interval
    assert second.start < third.start <= 2 * third.interval
    other = await backend.store.reserve(contacts, "another", slow, 1)
    assert other.start == timedelta(0)


async def test_a_refusal_counts_for_all_runners_of_the_account(backend: Backend) -> None:
    contacts = await backend.store.claim(request(sync="contacts"))
    deals = await backend.store.claim(request(sync="deals"))
    await backend.store.slow_down(contacts, "account", timedelta(seconds=60))
    reservation = await backend.store.reserve(deals, "account", HUNDRED, 5)
    assert timedelta(seconds=30) < reservation.start <= timedelta(seconds=60)
    assert reservation.interval == timedelta(seconds=1 / 48.5)


async def test_an_account_of_the_same_uid_in_another_namespace_is_another(backend: Backend) -> None:
    ours = await backend.database.claim(request(sync="contacts"))
    theirs = await backend.database.claim(request(sync="leads", namespace="sales"))
    await backend.database.slow_down(ours, "account", timedelta(seconds=60))
    assert (await backend.database.reserve(theirs, "account", HUNDRED, 1)).start == timedelta(0)


async def test_a_runner_that_was_overtaken_gets_no_calls(backend: Backend) -> None:
    old = await backend.store.claim(request(attempt=1))
    await backend.store.claim(request(attempt=2))
    with pytest.raises(Fenced):
        await backend.store.reserve(old, "account", HUNDRED, 1)
    with pytest.raises(Fenced):
        await backend.store.slow_down(old, "account", timedelta(seconds=60))


async def test_four_runners_share_a_hundred_calls_a_second_and_use_them(url: str) -> None:
    """Over real time and one database: each runner asks for its next calls while it has some left."""
    store = await SqlStateStore.open(url)
    clock = asyncio.get_running_loop().time
    called: list[float] = []
    end = clock() + 3.0

    async def runner(number: int) -> None:
        claim = await store.claim(request(f"run-{number}", sync=f"sync-{number}"))
        while clock() < end:
            reservation = await store.reserve(claim, "account", HUNDRED, 100)
            moments = slots(clock(), reservation)
            called.extend(moments)
            await asyncio.sleep(moments[0] - clock())

    await asyncio.gather(*(runner(number) for number in range(4)))
    await store.close()
    called.sort()
    assert most_within(called, 1.0) <= 100
    assert len(called) / (called[-1] - called[0]) >= 95
