"""Every request has an id, every answer tells it, and the log has it: by it a person's complaint finds its line."""

import logging
import re
import secrets
import time
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retl.rest.problems import REQUEST_ID, bug

HEADER = b"x-request-id"
_GUARDS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""On every answer: it is what it says it is, and nobody on the way keeps it."""
_TAKEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")

_log = logging.getLogger(__name__)


class Answered:
    """ASGI middleware: gives each request its id, and answers where the program failed.

    It takes the place of the framework's own last resort, whose answers pass no middleware and so would have no id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = scope[REQUEST_ID] = _id(scope)
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (HEADER, id.encode()), *_GUARDS]
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            _log.error("%s failed: method=%s path=%r", id, scope["method"], scope["path"], exc_info=error)
            if started:
                raise  # the connection is cut, so that nobody takes half an answer for a whole one
            await bug().response(id=id)(scope, receive, told)


def _id(scope: Scope) -> str:
    sent = [value for name, value in scope["headers"] if name == HEADER]
    return sent[0].decode() if len(sent) == 1 and _TAKEN.fullmatch(sent[0]) else str(uuid7())


def uuid7() -> UUID:
    """A UUID that sorts by time (RFC 9562, version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    bits = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    return UUID(int=bits & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)
