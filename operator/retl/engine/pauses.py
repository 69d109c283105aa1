"""Waiting that the end of a run interrupts: for a moment, for the state store, before a call is made again."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before a failed call is made again, doubled with each, unless the destination says how long."""

R = TypeVar("R")


class Over(Exception):
    """No further call is to be made: the run was stopped, or the destination takes nothing any more."""


def backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row; jittered, so that callers do not come back all at once."""
    pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 16))
    return pause * random.uniform(0.5, 1)  # noqa: S311 - jitter


async def wait_until(moment: float, over: asyncio.Event) -> None:
    """Sleep until that time of the event loop's clock (raises Over as soon as it is)."""
    try:
        async with asyncio.timeout_at(moment):
            await over.wait()
    except TimeoutError:
        return
    raise Over


async def unless_over(work: Coroutine[Any, Any, R], over: asyncio.Event) -> R:
    """The result of `work`, which is cancelled when the run is over (raises Over)."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Over
    finally:
        ending.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
