"""Keeps a destination that is in trouble from being called by every batch at once.

While all is well, as many calls may be under way as the sync allows. After some failures in a row the breaker opens:
one call at a time probes, with growing pauses, and all others wait. A probe that succeeds closes it again, and traffic
grows from there: one call, two, four. When the probes are used up, the destination counts as dead.
"""

import asyncio
from collections import deque
from typing import Any

from retl.engine.pauses import Over, backoff, wait_until

OPENS_AFTER = 3
"""Calls that fail one after the other, whichever batches they are of."""


class Breaker:
    """Admits the calls of one run.

    Args:
        most: calls that may be under way at the same time.
        probes: failed ones after which the destination is dead.
        over: no call is admitted once it is set.

    Attributes:
        failures: calls that have failed since the last one that the destination answered.
    """

    def __init__(self, most: int, probes: int, over: asyncio.Event) -> None:
        self._most = most
        self._probes = probes
        self._over = over
        self._permits = most
        self._active = 0
        self.failures = 0
        self._failed_probes = 0
        self._opened_at = self._probe_at = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def open(self) -> bool:
        """Whether only probes are let through."""
        return self.failures >= OPENS_AFTER

    @property
    def dead(self) -> bool:
        """Whether all probes have failed."""
        return self._failed_probes >= self._probes

    async def enter(self) -> None:
        """Wait until a call may be made; `leave` must follow (raises Over)."""
        while not self._over.is_set() and self._active >= self._permits:
            await self._turn()
        if self._over.is_set():
            raise Over
        self._active += 1
        if self.open:
            try:
                await wait_until(self._probe_at, self._over)
            except BaseException:
                self.leave()
                raise

    @property
    def crowded(self) -> bool:
        """Whether more calls are admitted than may be now: it has opened since, and a call not made yet must leave."""
        return self._active > self._permits

    def leave(self) -> None:
        """The call has ended, or will not be made."""
        self._active -= 1
        self._wake()

    def failed(self, began: float) -> None:
        """A call that began at that time of the event loop's clock failed for the destination's sake."""
        now = asyncio.get_running_loop().time()
        was_open = self.open
        self.failures += 1
        if not self.open:
            return
        if not was_open:
            self._opened_at = now
        elif began <= self._opened_at:
            return  # was under way when it opened: says nothing new
        else:
            self._failed_probes += 1
        self._permits = 1
        self._probe_at = now + backoff(self._failed_probes + 1)

    def succeeded(self) -> None:
        """The destination answered a call."""
        self.failures = self._failed_probes = 0
        if self._permits < self._most:
            self._permits = min(self._most, self._permits * 2)
            self._wake()

    async def _turn(self) -> None:
        """Until there may be room; comes back at once when the run is over."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        ending = asyncio.ensure_future(self._over.wait())
        try:
            either: set[asyncio.Future[Any]] = {turn, ending}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            if not turn.done():
                self._waiters.remove(turn)

    def _wake(self) -> None:
        for _ in range(min(self._permits - self._active, len(self._waiters))):
            self._waiters.popleft().set_result(None)
