"""Which objects are to be looked at: each at most once at a time, however often something about it changed."""

import asyncio
from collections.abc import Awaitable, Callable

from retl.controller.kinds import Key


class Queue:
    """Keys in the order they were added, without duplicates.

    A key that is added while it is being worked on is handed out again afterwards, never to two workers at once.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, None] = {}
        self._in_hand: set[Key] = set()
        self._again: set[Key] = set()
        self._filled = asyncio.Event()

    def add(self, key: Key) -> None:
        """Have the key worked on."""
        if key in self._in_hand:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._filled.set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    async def work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        """Work on keys one after the other; runs until cancelled."""
        while True:
            key = await self._take()
            try:
                await reconcile(key)
            finally:
                self._in_hand.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _take(self) -> Key:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._in_hand.add(key)
        return key
