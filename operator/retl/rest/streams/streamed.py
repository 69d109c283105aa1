"""An answer that goes on while there is something to say, somebody listens who may, and this pod is to stay."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from retl.rest.requests.entry import CALLER, Door, turned_away

KEEP_ALIVE_SECONDS = 15.0
"""So long may nothing be said before a proxy takes the connection for dead."""


class Streamed(Response):
    """Pieces as they come.

    The first is waited for before the answer begins, so that a refusal is an answer of its own, with a status.

    Args:
        pieces: ends when all is said; closed in any case.
        idle: said when nothing else was for a while; empty for a media type that has no words for nothing.
    """

    def __init__(
        self, request: Request, pieces: AsyncGenerator[bytes, None], media_type: str, idle: bytes = b""
    ) -> None:
        super().__init__(media_type=media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        door: Door = request.app.state.door
        self._counted = door.limits.stream(request.scope[CALLER])
        self._stopping: asyncio.Event = request.app.state.stopping
        self._request = request
        self._pieces = pieces
        self._idle = idle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            with self._counted:
                ends = (_left(receive), self._stopping.wait(), turned_away(self._request))
                over = [asyncio.create_task(end) for end in ends]
                try:
                    piece = await self._next(over)
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    while piece is not None:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        piece = await self._next(over, send)
                finally:
                    for task in over:
                        task.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def _next(self, over: "list[asyncio.Task[object]]", send: Send | None = None) -> bytes | None:
        """The next piece; None when there is none, or nobody is to have it.

        Args:
            over: the answer ends with the first of these.
            send: tells a client that waits that this is alive.
        """
        coming = asyncio.create_task(_piece(self._pieces))
        try:
            while not any(task.done() for task in over):
                done, _ = await asyncio.wait(
                    [coming, *over], timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if coming.done():
                    return coming.result()
                if not done and self._idle and send:
                    await send({"type": "http.response.body", "body": self._idle, "more_body": True})
            return None
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming


async def _piece(pieces: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(pieces, None)


async def _left(receive: Receive) -> object:
    """Returns once the client has gone."""
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message
