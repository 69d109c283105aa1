"""Which objects are to be looked at: each at most once at a time, however often something about it changed."""

import asyncio
from collections.abc import Awaitable, Callable

from retl.controller.kinds import Key
from retl.resources.kinds import RUN

_RUNS, _REST, _LATER = range(3)
"""Lanes."""
_LATER_EVERY = 64
"""Of so many keys one is of the last lane, however much waits in the others."""


class Queue:
    """Keys in the order they were added, without duplicates, in three lanes.

    Runs and all others take turns. What nobody waits for comes when nothing else does, or once in a while: ten thousand
    syncs that are to be looked at once, at the start, or that the Job of a run is there, which is to be noted. A key
    that is added while it is being worked on is handed out again afterwards, never to two workers at once.
    """

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        """Args:
        waited: told of each key that is handed out for how many seconds it had waited.
        """
        self._waited = waited
        self._lanes: tuple[dict[Key, float], ...] = ({}, {}, {})
        self._turn = _REST
        self._in_hand: set[Key] = set()
        self._again: dict[Key, bool] = {}
        self._handed_out = 0
        self._filled = asyncio.Event()
        self._closed = False

    def add(self, key: Key, *, later: bool = False) -> None:
        """Have the key worked on.

        Args:
            later: nobody waits for what is to be done about it.
        """
        if key in self._in_hand:
            self._again[key] = later and self._again.get(key, True)
            return
        now = asyncio.get_running_loop().time()
        soon = _RUNS if key.kind == RUN else _REST
        if not later:
            now = self._lanes[_LATER].pop(key, now)
        elif key in self._lanes[soon]:
            return
        self._lanes[_LATER if later else soon].setdefault(key, now)
        self._filled.set()

    def __len__(self) -> int:
        return sum(map(len, self._lanes)) + len(self._again)

    def busy(self) -> bool:
        """Whether somebody waits for more than is in hand."""
        return bool(self._lanes[_RUNS] or self._lanes[_REST])

    def wait(self) -> float:
        """Seconds for which the first in line of any lane has waited."""
        now = asyncio.get_running_loop().time()
        return max((now - next(iter(lane.values())) for lane in self._lanes if lane), default=0.0)

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
                if key in self._again:
                    self.add(key, later=self._again.pop(key))

    async def _take(self) -> Key | None:
        while not self._closed:
            lane = self._next_lane()
            if lane:
                key = next(iter(lane))
                self._waited(asyncio.get_running_loop().time() - lane.pop(key))
                self._in_hand.add(key)
                self._handed_out += 1
                return key
            self._filled.clear()
            await self._filled.wait()
        return None

    def _next_lane(self) -> dict[Key, float]:
        """The lane whose turn it is; an empty one passes."""
        self._turn = _REST if self._turn == _RUNS else _RUNS
        if self._handed_out % _LATER_EVERY == _LATER_EVERY - 1 and self._lanes[_LATER]:
            return self._lanes[_LATER]
        for lane in (self._lanes[self._turn], self._lanes[_RUNS], self._lanes[_REST]):
            if lane:
                return lane
        return self._lanes[_LATER]
