"""An event loop whose time is virtual: when nothing is ready, it jumps to the next timer.

asyncio's own scheduling is kept (callbacks first in, first out; timers by their time), so the same program always takes
the same steps, however fast the machine is.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ROUNDS_MAX = 1_000_000
"""Of one simulation; more is a loop that never ends."""
ROUNDS_AT_ONCE = 10_000
"""While no time passes; more is a loop that only burns the processor."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set, or the simulation never ends."""


class _NoSockets:
    """In the place of a selector: waiting for the network only lets time pass."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("every task waits for something that will never happen")
        self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs coroutines without waiting. `time()` begins at 0 and is exact."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._rounds = self._rounds_at_once = 0
        self._selector = _NoSockets(self)
        self._clock_resolution = 1e-6  # of two timers this close, neither is late

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass; called when nothing is ready, or with 0 after each round."""
        self._rounds += 1
        self._rounds_at_once = 0 if seconds > 0 else self._rounds_at_once + 1
        if self._rounds > ROUNDS_MAX or self._rounds_at_once > ROUNDS_AT_ONCE:
            raise Stuck(f"busy without end at second {self._now:.3f}")
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if seconds > 0 and scheduled:
            self._now = max(self._now, scheduled[0].when())

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody needs to be woken from another thread."""


def simulate(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time; every task that is left is cancelled."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
