"""Time, and one heap of what is to be looked at again later.

Every sync's next tick, every recheck and every pause after an error is one entry; there is no timer per object. Time is
handed in, so that a test can drive it.
"""

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from retl.controller.kinds import Key


class Clock(Protocol):
    """What time it is.

    Attributes:
        patience: how long it may be left alone: a clock can jump, so it is looked at at least this often.
    """

    patience: timedelta

    def now(self) -> datetime:
        """The present (UTC)."""


class SystemClock:
    """The machine's clock."""

    patience = timedelta(seconds=30)

    def now(self) -> datetime:
        return datetime.now(UTC)


class Alarm:
    """Calls back for a key once its time has come. A key has one time, the earliest that was asked for."""

    def __init__(self, clock: Clock, ring: Callable[[Key], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._heap: list[tuple[datetime, Key]] = []
        self._due: dict[Key, datetime] = {}
        self._sooner = asyncio.Event()
        self._looked = asyncio.get_running_loop().time()

    def silence(self) -> float:
        """Seconds since it last looked at the clock."""
        return asyncio.get_running_loop().time() - self._looked

    def set(self, key: Key, at: datetime) -> None:
        """Ring for the key at that time, or earlier if that was asked for already."""
        standing = self._due.get(key)
        if standing is not None and standing <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))
        if self._heap[0][1] == key:
            self._sooner.set()

    def forget(self, key: Key) -> None:
        """Do not ring for this key."""
        self._due.pop(key, None)

    async def run(self) -> None:
        """Ring whenever it is time; runs until cancelled."""
        while True:
            self._sooner.clear()
            now, self._looked = self._clock.now(), asyncio.get_running_loop().time()
            self._ring_until(now)
            nap = self._clock.patience
            if self._heap:
                nap = min(nap, self._heap[0][0] - now)
            with suppress(TimeoutError):
                async with asyncio.timeout(nap.total_seconds()):
                    await self._sooner.wait()

    def _ring_until(self, now: datetime) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:  # else it was forgotten or moved
                del self._due[key]
                self._ring(key)
