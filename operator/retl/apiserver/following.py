"""An object as it is, and again after each change, however often the API server ends the watch."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import orjson

from retl.resources.kinds import Manifest

_WATCH_SECONDS = "240"
"""After this a watch is asked for again, so that a right that was taken away ends it."""

Lines = Callable[[Mapping[str, str]], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The lines of the answer to a GET of the kind's objects with this query."""


async def follow(
    name: str, find: Callable[[], Awaitable[Manifest | None]], lines: Lines
) -> AsyncGenerator[Manifest | None, None]:
    """The object of that name, and again after each change; None when it is gone, which is the last.

    Args:
        find: reads it.
        lines: makes the request of the watch; whoever stops before the last closes the generator, and so that.
    """
    while True:
        found = await find()
        yield found
        if found is None:
            return
        query = {
            "watch": "1",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": found["metadata"]["resourceVersion"],
            "timeoutSeconds": _WATCH_SECONDS,
        }
        async with lines(query) as coming:
            async for line in coming:
                event = orjson.loads(line)
                if event["type"] not in ("ADDED", "MODIFIED"):
                    break  # gone, or the version is too old: the next look says which
                yield event["object"]
