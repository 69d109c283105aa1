"""What a run's runner wrote, as text."""

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import Request
from pydantic import Field

from retl.rest.requests.queries import Count, Flag, Query
from retl.rest.service.values import LogAsked
from retl.rest.streams.streamed import Streamed

MEDIA_TYPE = "text/plain; charset=utf-8"


class LogQuery(Query):
    """Which part of a log."""

    attempt: Count | None = Field(None, ge=1, le=1_000, description="Which attempt of the run; the newest if not set.")
    tail: Count | None = Field(None, ge=1, le=10_000, description="So many of its last lines; all if not set.")
    follow: Flag = Field(False, description="Go on until the attempt ends.")

    @property
    def asked(self) -> LogAsked:
        return LogAsked(self.attempt, self.tail, self.follow)


def log(request: Request, pieces: AsyncIterator[bytes]) -> Streamed:
    """The log as `Runs.log` reads it."""
    return Streamed(request, _passed(pieces), MEDIA_TYPE)


async def _passed(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    empty = True
    async for piece in pieces:
        empty = False
        yield piece
    if empty:
        yield b""
