"""Keeps Python's garbage collector away from the cache.

Ten thousand syncs are a million small dictionaries that live on and hold no cycles. To go through them again and again
takes the collector more time than everything else takes at the start, and holds up ticks later.
"""

import asyncio
import gc
from datetime import timedelta

_INTERVAL = timedelta(minutes=5)
_YOUNG = 20_000
"""Objects between two looks at the young ones; Python's 700 are a handful of manifests."""


async def spare(filled: asyncio.Event) -> None:
    """Collect nothing until the cache is filled; from then on only what has come since. Runs until cancelled."""
    gc.disable()
    try:
        await filled.wait()
        gc.set_threshold(_YOUNG, 20)
        gc.freeze()
    finally:
        gc.enable()
    while True:
        await asyncio.sleep(_INTERVAL.total_seconds())
        gc.collect()
        gc.freeze()
