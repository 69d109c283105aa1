"""A destination in trouble is asked by one call at a time; all others wait."""

import asyncio

import pytest

from retl.engine import pauses
from retl.engine.breaker import OPENS_AFTER, Breaker
from retl.engine.pauses import Over


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


class Destination:
    """Counts calls; fails while it is down."""

    def __init__(self, most: int, probes: int) -> None:
        over = asyncio.Event()
        self.breaker = Breaker(most, probes, over)
        self.over = over
        self.down = True
        self.calls = self.active = self.most = 0

    async def call(self) -> bool:
        await self.breaker.enter()
        began = asyncio.get_running_loop().time()
        self.calls += 1
        self.active += 1
        self.most = max(self.most, self.active)
        await asyncio.sleep(0)
        self.active -= 1
        failed = self.down
        if failed:
            self.breaker.failed(began)
        self.breaker.leave()
        if not failed:
            self.breaker.succeeded()
        return not failed

    async def until_it_works(self) -> None:
        while not self.breaker.dead and not await self.call():
            pass
        if self.breaker.dead:
            self.over.set()


@pytest.mark.parametrize(("most", "probes"), [(1, 5), (4, 5), (64, 5), (8, 1)])
async def test_a_dead_destination_is_called_once_by_each_batch_in_flight_and_then_probed(
    most: int, probes: int
) -> None:
    destination = Destination(most, probes)
    ends = await asyncio.gather(*(destination.until_it_works() for _ in range(most)), return_exceptions=True)
    assert all(end is None or isinstance(end, Over) for end in ends)
    back_before_it_opened = OPENS_AFTER - 1
    assert most + probes <= destination.calls <= max(most, OPENS_AFTER) + probes + back_before_it_opened


async def test_calls_flow_freely_while_all_is_well_but_no_more_than_allowed() -> None:
    destination = Destination(4, 5)
    destination.down = False
    await asyncio.gather(*(destination.call() for _ in range(20)))
    assert (destination.calls, destination.most) == (20, 4)


async def test_after_a_probe_succeeds_traffic_grows_step_by_step() -> None:
    destination = Destination(8, 50)
    await asyncio.gather(*(destination.call() for _ in range(8)))
    assert destination.breaker.open
    destination.down = False
    grown: list[int] = []
    for _ in range(4):
        destination.most = 0
        await asyncio.gather(*(destination.call() for _ in range(2 ** len(grown))))
        grown.append(destination.most)
    assert not destination.breaker.open
    assert grown == [1, 2, 4, 8]


async def test_some_failures_with_successes_in_between_do_not_open_it() -> None:
    destination = Destination(4, 5)
    for down in [True, True, False] * 5:
        destination.down = down
        await destination.call()
    assert not destination.breaker.open


async def test_the_end_of_the_run_ends_the_wait_of_the_probe_and_of_those_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 3600)
    over = asyncio.Event()
    breaker = Breaker(3, 5, over)
    for _ in range(OPENS_AFTER):
        breaker.failed(asyncio.get_running_loop().time())
    waiting = [asyncio.ensure_future(breaker.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    over.set()
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [Over] * 3


async def test_a_call_admitted_before_it_opened_but_not_made_yet_is_one_too_many() -> None:
    breaker = Breaker(2, 5, asyncio.Event())
    await breaker.enter()
    await breaker.enter()
    for _ in range(OPENS_AFTER):
        breaker.failed(asyncio.get_running_loop().time())
    assert breaker.crowded
    breaker.leave()
    assert not breaker.crowded
