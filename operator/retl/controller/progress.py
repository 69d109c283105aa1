"""How far the runs are that are under way: asked of the state service now and then, for all of them at once."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.controller.state_reads import StateReads
from retl.resources.kinds import RUN, SYNC
from retl.resources.run import RunProgress

EVERY = timedelta(seconds=10)
"""As often as runners speak."""
MOST = 10_000
"""Runs that one question can name."""


class Progress:
    """What is known, by uid of the run; forgotten once a run is not under way any more."""

    def __init__(self) -> None:
        self._known: dict[str, RunProgress] = {}

    def of(self, uid: str) -> RunProgress | None:
        """How far a run is; None where nobody has said so."""
        return self._known.get(uid)

    async def follow(self, state: StateReads, cache: Cache, changed: Callable[[Key], None]) -> None:
        """Ask again and again, and tell of the runs that got on; goes on until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            runs = _under_way(cache)
            found = await state.progress(list(runs)[:MOST])
            for uid, key in runs.items():
                if uid in found and found[uid] != self._known.get(uid):
                    changed(key)
            self._known = {uid: progress for uid in runs if (progress := found.get(uid, self._known.get(uid)))}


def _under_way(cache: Cache) -> dict[str, Key]:
    """Running runs by uid; found through their syncs, because there are many more runs than syncs."""
    running = {}
    for sync in cache.keys(SYNC):
        active = (cache.get(sync) or {}).get("status", {}).get("activeRun")
        key = Key(RUN, sync.namespace, active["name"]) if active else sync
        run = cache.get(key) if active else None
        if run and run["status"].get("phase") == "Running":
            running[run["metadata"]["uid"]] = key
    return running
