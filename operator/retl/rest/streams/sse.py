"""What happens to a run, as server-sent events (the HTML standard, section 9.2)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from fastapi import Request

from retl.rest.problems import REQUEST_ID, Problem
from retl.rest.service.values import RunEvent, RunRecord
from retl.rest.streams.streamed import Streamed

MEDIA_TYPE = "text/event-stream"
RETRY_MILLISECONDS = 3_000
_IDLE = b": \n\n"

Shown = Callable[[RunRecord], Mapping[str, Any]]
"""A run as a dialect writes it."""


def events(request: Request, of: AsyncIterator[RunEvent], shown: Shown) -> Streamed:
    """The events of a run, as `Runs.follow` tells them: the run as it is, again after each change, and its end.

    A client that comes back with Last-Event-ID needs nothing else: the first event is the run as it is by then.
    """
    return Streamed(request, _written(of, shown, request.scope.get(REQUEST_ID, "")), MEDIA_TYPE, _IDLE)


async def _written(of: AsyncIterator[RunEvent], shown: Shown, id: str) -> AsyncGenerator[bytes, None]:
    begun = False
    try:
        async for event in of:
            if not begun:
                yield b"retry: %d\n\n" % RETRY_MILLISECONDS
            begun = True
            yield _event(event.kind, _document(event.run, shown), event.run.version)
    except Problem as problem:
        if not begun:
            raise
        yield _event("error", problem.document(id=id))


def _document(run: RunRecord, shown: Shown) -> Mapping[str, Any]:
    progress = ((run.manifest or {}).get("status") or {}).get("progress")
    if not progress:
        return shown(run)
    return {**shown(run), "progress": {key: progress[key] for key in ("step", "rows", "total") if key in progress}}


def _event(kind: str, data: Mapping[str, Any], version: str = "") -> bytes:
    id = f"id: {version}\n" if version else ""
    return f"event: {kind}\n{id}".encode() + b"data: " + orjson.dumps(data) + b"\n\n"
