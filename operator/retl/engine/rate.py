"""How fast the destination is called: the account's shared budget, and what the destination itself says of its rate.

Where the destination's manifest declares a limit, every call takes a slot that the state store gave to this run, so all
runners of the account together keep to it. Whether or not it does, refusals and the headers of replies slow this run
down, and time without another refusal lets it recover.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from math import ceil
from typing import Any

from retl.destinations.base import RateSignal
from retl.engine.pauses import unless_over, wait_until
from retl.resources.destination import RateLimit
from retl.runspec.spec import Connection
from retl.state.store import Claim, Reservation, StateStore

AHEAD_SECONDS = 0.25
"""Slots are taken for so long at once."""
LATE = 0.018
"""How late a slot may be used, as share of the limit's period. The store gives out a little less than the limit allows;
what is used later than this could make the calls of one period more than the limit, and lapses."""

OBSERVED_SECONDS = 1.0
SLOWEST = 10.0
"""Calls a second that a refusal slows down to at most: below, the pauses that it asks for are what counts."""
RECOVERY_SECONDS = 10.0
"""After so long without a refusal the pace is what it was before; it grows on, until four times that are no pace."""
FEW_LEFT = 0.2
FEW_LEFT_CALLS = 20
"""What remains of the destination's own window is spread over the rest of it when it is less than a share of the limit,
or this many calls where the limit is not said."""


class Budget:
    """This run's share of the account's rate: slots, taken from the state store in blocks.

    A block is as large as this run could use the last one, so that runners that wait leave nothing unused.

    Args:
        reserve: takes up to so many calls from the state store.
    """

    def __init__(self, reserve: Callable[[int], Awaitable[Reservation]], limit: RateLimit) -> None:
        self.late = limit.per.total_seconds() * LATE
        self._reserve = reserve
        self._most = ceil(AHEAD_SECONDS * limit.requests / limit.per.total_seconds())
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._size = 1
        self._next = self._interval = 0.0
        self._left = self._lapsed = 0

    async def take(self) -> float:
        """The time of the event loop's clock at which a call may be made (raises StateError, Fenced)."""
        self._waiting += 1
        try:
            async with self._lock:
                while not self._has_slot():
                    await self._refill()
                slot = self._next
                self._next, self._left = slot + self._interval, self._left - 1
                return slot
        finally:
            self._waiting -= 1

    def _has_slot(self) -> bool:
        """Drop slots whose moment has passed; whether one is left."""
        earliest = asyncio.get_running_loop().time() - self.late
        if self._left and self._next < earliest:
            lapsed = min(self._left, ceil((earliest - self._next) / self._interval))
            self._next, self._left = self._next + lapsed * self._interval, self._left - lapsed
            self._lapsed += lapsed
        return self._left > 0

    async def _refill(self) -> None:
        self._size = min(self._size * 2, self._most) if not self._lapsed else max(1, self._size - self._lapsed)
        got = await self._reserve(max(self._size, self._waiting))
        self._next = asyncio.get_running_loop().time() + got.start.total_seconds()
        self._interval, self._size = got.interval.total_seconds(), got.calls
        self._left, self._lapsed = got.calls, 0


class Pace:
    """How fast this run may call by what the destination said; times are those of the event loop's clock.

    Without a refusal or a word of the destination there is no limit.
    """

    def __init__(self) -> None:
        self._not_before = 0.0
        self._next = 0.0
        self._calls: deque[float] = deque()
        self._base = self._peak = 0.0
        self._since = 0.0
        self._refused_at = 0.0
        self._spread_until = self._spread = 0.0

    def turn(self, now: float) -> float:
        """The moment of the next call; each call must ask anew."""
        at = max(now, self._next, self._not_before)
        self._next = at + self._interval(at)
        self._calls.append(at)
        while self._calls[0] < now - OBSERVED_SECONDS:
            self._calls.popleft()
        return at

    def paused(self, now: float) -> bool:
        """Whether no call may be made at this moment, not even one that was given it as its turn."""
        return now < self._not_before

    def pause(self, until: float) -> None:
        """Nobody calls before that."""
        self._not_before = max(self._not_before, until)

    def refused(self, began: float, now: float) -> None:
        """A call that began then was refused for its rate; those that were under way with it count as one."""
        if began <= self._refused_at:
            return
        observed = sum(1 for at in self._calls if at <= now) / OBSERVED_SECONDS
        current = min(observed, self._rate(now)) if self._base else observed
        self._peak = current
        self._base = max(SLOWEST, current / 2)
        self._refused_at = now

    def heard(self, signal: RateSignal, now: float) -> None:
        """Take to heart what a reply says of the rate."""
        if signal.remaining is None or signal.reset is None:
            return
        reset = signal.reset.total_seconds()
        few = signal.limit * FEW_LEFT if signal.limit is not None else FEW_LEFT_CALLS
        if signal.remaining <= 0:
            self.pause(now + reset)
        elif signal.remaining <= few:
            self._spread_until, self._spread = now + reset, reset / signal.remaining
        else:
            self._spread_until = 0.0

    def _rate(self, now: float) -> float:
        """Calls a second; grows steadily from half of what was refused."""
        calm = max(0.0, now - max(self._refused_at, self._not_before))
        return self._base * (1 + calm / RECOVERY_SECONDS)

    def _interval(self, at: float) -> float:
        spread = self._spread if at < self._spread_until else 0.0
        if not self._base:
            return spread
        rate = self._rate(at)
        if rate > 4 * max(self._peak, self._base):
            self._base = 0.0
            return spread
        return max(spread, 1 / rate)


class Rate:
    """Gives each call of a run its moment.

    Args:
        over: ends all waiting.
        budget: where the account's limit is declared.
        slow_down: tells all runners of the account to pause for so many seconds.
    """

    def __init__(
        self,
        over: asyncio.Event,
        budget: Budget | None,
        slow_down: Callable[[float], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self._over = over
        self._budget = budget
        self._slow_down = slow_down
        self._pace = Pace()

    @classmethod
    def of(cls, destination: Connection, state: StateStore, claim: Claim, over: asyncio.Event) -> "Rate":
        """The rate of a destination's account."""
        limit, account = destination.rate_limit, destination.uid
        if limit is None:
            return cls(over, None, None)
        return cls(
            over,
            Budget(lambda calls: state.reserve(claim, account, limit, calls), limit),
            lambda seconds: state.slow_down(claim, account, timedelta(seconds=seconds)),
        )

    async def slot(self) -> None:
        """Wait until a call may be made (raises Over, StateError, Fenced)."""
        clock = asyncio.get_running_loop().time
        while True:
            at = self._pace.turn(clock())
            if at > clock():
                await wait_until(at, self._over)
            if self._budget is not None and not self._pace.paused(clock()):
                at = await unless_over(self._budget.take(), self._over)
                if at > clock():
                    await wait_until(at, self._over)
                if clock() - at > self._budget.late:
                    continue  # this process was held up: the slot is gone
            if not self._pace.paused(clock()):
                return

    def refused(self, began: float) -> None:
        """A call that began then was refused for its rate: call slower, unless the account's runners do so together."""
        if self._budget is None:
            self._pace.refused(began, asyncio.get_running_loop().time())

    def pause(self, seconds: float) -> None:
        """The destination asked that this run does not call for a while."""
        self._pace.pause(asyncio.get_running_loop().time() + seconds)

    async def pause_all(self, seconds: float) -> None:
        """The account's rate is used up: no runner calls for a while (raises Over, StateError, Fenced)."""
        self.pause(seconds)
        if self._slow_down is not None:
            await unless_over(self._slow_down(seconds), self._over)

    def heard(self, signal: RateSignal) -> None:
        """A reply said something of the rate."""
        self._pace.heard(signal, asyncio.get_running_loop().time())
