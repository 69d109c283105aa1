"""Which objects are to be looked at: each at most once at a time, however often something about it changed."""

import asyncio
from collections.abc import Awaitable, Callable

from retl.controller.kinds import RUN, SYNC, Key

_LANES = (RUN, SYNC, "")
"""Whose turn it is, in a circle: kinds with a lane of their own, and all others."""


class Queue:
    """Keys in the order they were added, without duplicates; the lanes take turns.

    So the runs that are under way do not wait behind ten thousand syncs that are looked at for the first time. A key
    that is added while it is being worked on is handed out again afterwards, never to two workers at once.
    """

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        """Args:
        waited: told of each key that is handed out for how many seconds it had waited.
        """
        self._waited = waited
        self._lanes: dict[str, dict[Key, float]] = {lane: {} for lane in _LANES}
        self._turn = 0
        self._in_hand: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._filled = asyncio.Event()
        self._closed = False

    def add(self, key: Key) -> None:
        """Have the key worked on."""
        now = asyncio.get_running_loop().time()
        if key in self._in_hand:
            self._again.setdefault(key, now)
            return
        self._lane(key).setdefault(key, now)
        self._filled.set()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values())) + len(self._again)

    def wait(self) -> float:
        """Seconds for which the first in line of any lane has waited."""
        now = asyncio.get_running_loop().time()
        return max((now - next(iter(lane.values())) for lane in self._lanes.values() if lane), default=0.0)

    def close(self) -> None:
        """Let nobody begin with another key."""
        self._closed = True
        self._filled.set()

    async def work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        """Work on keys one after the other; runs until the queue is closed."""
        while (key := await self._take()) is not None:
            try:
                await reconcile(key)
            finally:
                self._in_hand.discard(key)
                since = self._again.pop(key, None)
                if since is not None:
                    self._lane(key)[key] = since
                    self._filled.set()

    async def _take(self) -> Key | None:
        while not self._closed:
            lane = self._next_lane()
            if lane:
                key = next(iter(lane))
                self._waited(asyncio.get_running_loop().time() - lane.pop(key))
                self._in_hand.add(key)
                return key
            self._filled.clear()
            await self._filled.wait()
        return None

    def _next_lane(self) -> dict[Key, float]:
        """The lane whose turn it is; an empty one passes."""
        for _ in _LANES:
            lane = self._lanes[_LANES[self._turn]]
            self._turn = (self._turn + 1) % len(_LANES)
            if lane:
                break
        return lane

    def _lane(self, key: Key) -> dict[Key, float]:
        return self._lanes[key.kind if key.kind in _LANES else ""]
