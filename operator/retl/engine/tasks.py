"""Work that runs beside other work: blocking calls beside the event loop, a companion beside the main task."""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb

from retl.errors import RunnerExhausted

R = TypeVar("R")
FULL = (errno.ENOSPC, errno.EDQUOT)


class Stopped(Exception):
    """The run was asked to stop."""


async def in_thread(work: Callable[[], R], *, stop: asyncio.Event, interrupt: Callable[[], None]) -> R:
    """Run `work` in a thread; when `stop` is set or this task is cancelled, interrupt it and wait until it has ended.

    Args:
        interrupt: makes `work` raise soon; called from the event loop, again and again until `work` ends.
    Raises:
        Stopped: `stop` was set before `work` came to its end.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Stopped
    finally:
        stopping.cancel()
        while not working.done():
            interrupt()
            await asyncio.wait({working}, timeout=0.1)
        if not working.cancelled():
            working.exception()  # what an interrupted call raises says nothing new
        # An error's traceback holds this frame: if it held the error, both would live on with all that is in their
        # frames until a garbage collection, and DuckDB's objects complain on stderr if they outlive the interpreter.
        del working, stopping


@contextmanager
def naming_exhaustion() -> Iterator[None]:
    """Raises RunnerExhausted in the place of all that memory or disk which does not suffice makes libraries raise."""
    try:
        yield
    except (duckdb.Error, OSError, MemoryError) as error:
        text = str(error)
        spilled = isinstance(error, duckdb.OutOfMemoryException) and "temp_directory" in text
        if spilled or getattr(error, "errno", None) in FULL or any(os.strerror(number) in text for number in FULL):
            raise RunnerExhausted("the runner's disk is full; give its staging directory more room") from None
        if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
            raise RunnerExhausted("the runner has too little memory; raise runner.resources.limits.memory") from None
        raise


async def beside(work: Coroutine[Any, Any, R], companion: Coroutine[Any, Any, None]) -> R:
    """Run `work` while `companion` runs beside it; when either fails, the other is cancelled and the error raised."""
    working, accompanying = asyncio.ensure_future(work), asyncio.ensure_future(companion)
    try:
        await asyncio.wait({working, accompanying}, return_when=asyncio.FIRST_COMPLETED)
        if accompanying.done() and not working.done():
            accompanying.result()
        return await working
    finally:
        for task in (working, accompanying):
            task.cancel()
        await asyncio.gather(working, accompanying, return_exceptions=True)
        del task, working, accompanying  # as in in_thread


async def ahead(items: AsyncGenerator[R, None]) -> AsyncGenerator[R, None]:
    """The same items, each made while the one before it is in use; none may be None."""
    making = asyncio.ensure_future(anext(items, None))
    try:
        while (item := await making) is not None:
            making = asyncio.ensure_future(anext(items, None))
            yield item
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        await items.aclose()
        del making  # as in in_thread
