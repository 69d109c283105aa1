"""A gate before a real object store: what passes is the server's, and what fails is ours.

moto and Azurite keep the objects. The gate adds what they do not do on demand: throttling, outages, replies that are
lost, and, before moto, logins that are looked at. Errors are those of "Error responses" (Amazon S3 API Reference) and
"Status and error codes" (Azure Blob Storage, Google Cloud Storage).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests.destinations.simulators.base import Handler, Simulator

OWN_HEADERS = frozenset({"host", "connection", "transfer-encoding", "content-length"})


class Gate(Simulator):
    """Passes calls on to a port of this machine.

    Args:
        knows: whether the headers of a call hold a login that is right; None leaves that to the server.
    """

    def __init__(self, port: int, knows: Callable[[Mapping[str, str]], bool] | None = None) -> None:
        super().__init__()
        self._server = f"http://127.0.0.1:{port}"
        self._knows = knows

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [("*", "/{path:.*}", self._pass_on)]

    def authorized(self, request: web.Request) -> bool:
        return self._knows is None or self._knows(request.headers)

    def unauthorized(self) -> web.Response:
        return failure(403, "InvalidAccessKeyId", "The key that you gave is not in our records.")

    def too_many(self, wait: float) -> web.Response:
        return failure(503, "SlowDown", "Please reduce your request rate.")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async with aiohttp.ClientSession(auto_decompress=False) as self._session, super().serving():
            yield self

    async def _pass_on(self, request: web.Request) -> web.Response:
        asked = {name: value for name, value in request.headers.items() if name.lower() not in OWN_HEADERS}
        url = URL(self._server + request.raw_path, encoded=True)
        body = await request.read() or None
        added = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # signatures may be of these, too
        async with self._session.request(
            request.method, url, headers=asked, data=body, skip_auto_headers=added
        ) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in OWN_HEADERS}
            if request.method == "HEAD":
                headers["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, headers=headers, body=await answer.read())


def failure(status: int, code: str, words: str) -> web.Response:
    """An error as all three vendors write them."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")
