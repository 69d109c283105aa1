"""What all simulators of vendors share: a server that keeps state, and the ways in which every vendor fails.

A simulator is a subclass that says which calls there are, and keeps what is written. It is told of faults by its
`faults`, and everything that arrives is in its `calls`.
"""

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_BODY = 256 * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """What happens to one call instead of the usual.

    Attributes:
        status, headers, body: of the reply.
        effect: the call is carried out all the same.
        drop: the connection breaks instead of a reply.
    """

    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    effect: bool = False
    drop: bool = False


@dataclass(frozen=True)
class Window:
    """Calls taken in each length of time; more are refused as `Simulator.too_many` says."""

    calls: int
    seconds: float = 1.0


@dataclass
class Faults:
    """What is wrong with the vendor now.

    Attributes:
        latency: seconds before each reply.
        window: the rate that is kept up; None for none.
        next: happen to the next calls, one each, after their login was looked at.
    """

    latency: float = 0.0
    window: Window | None = None
    next: deque[Fault] = field(default_factory=deque)


@dataclass(frozen=True)
class Call:
    """A call that arrived.

    Attributes:
        at: seconds, on the clock of time.monotonic.
        seconds: that it took.
    """

    method: str
    path: str
    status: int
    at: float
    seconds: float


class Simulator(ABC):
    """A vendor's API on a port of 127.0.0.1.

    Attributes:
        url: where it is served.
        faults: what is wrong with it.
        calls: what arrived, those for tokens included.
        free: paths, as prefixes, that need no login and count for no limit: token endpoints.
    """

    free: Sequence[str] = ()

    def __init__(self) -> None:
        self.url = ""
        self.faults = Faults()
        self.calls: list[Call] = []
        self.tokens: set[str] = set()
        self._taken: deque[float] = deque()

    @abstractmethod
    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Method, path and handler of each call; a handler raises nothing."""

    @abstractmethod
    def authorized(self, request: web.Request) -> bool:
        """Whether the login of a call is right."""

    def unauthorized(self) -> web.Response:
        """The reply to one that is not."""
        return reply({"message": "unauthorized"}, 401)

    def too_many(self, wait: float) -> web.Response:
        """The reply to a call that is one too many."""
        return reply({"message": "too many requests"}, 429, {"Retry-After": f"{max(1, round(wait))}"})

    def limit_headers(self, left: int, window: Window) -> Mapping[str, str]:
        """What every reply says of the rate, where one is kept up."""
        return {}

    def issue_token(self) -> str:
        """A token that `has_token` knows from now on."""
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        return token

    def expire_tokens(self) -> None:
        """Those that were given out are good for nothing from now on."""
        self.tokens.clear()

    def has_token(self, request: web.Request) -> bool:
        """Whether a call has one that was given out and has not expired."""
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve it for as long as the context lasts."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._around])
        for method, path, handler in self.routes():
            app.router.add_route(method, path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        answer = await self._answer(request, handler, began)
        took = time.monotonic() - began
        self.calls.append(Call(request.method, request.path, answer.status, began, took))
        return answer

    async def _answer(self, request: web.Request, handler: Handler, now: float) -> web.StreamResponse:
        await request.read()
        if self.faults.latency:
            await asyncio.sleep(self.faults.latency)
        if any(request.path.startswith(prefix) for prefix in self.free):
            return await handler(request)
        if not self.authorized(request):
            return self.unauthorized()
        headers: Mapping[str, str] = {}
        if (window := self.faults.window) is not None:
            left = self._take(window, now)
            if left < 0:
                return self.too_many(self._taken[0] + window.seconds - now)
            headers = self.limit_headers(left, window)
        fault = self.faults.next.popleft() if self.faults.next else None
        if fault is None or fault.effect:
            answer = await handler(request)
            if fault is None:
                answer.headers.update(headers)
                return answer
        if fault.drop and request.transport is not None:
            request.transport.close()
        return reply(fault.body, fault.status, fault.headers)

    def _take(self, window: Window, now: float) -> int:
        """How many calls are left in the window after this one; -1 if it is one too many."""
        while self._taken and self._taken[0] <= now - window.seconds:
            self._taken.popleft()
        if len(self._taken) >= window.calls:
            return -1
        self._taken.append(now)
        return window.calls - len(self._taken)


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A reply in JSON; without a body if that is None."""
    content = b"" if body is None else orjson.dumps(body)
    return web.Response(status=status, body=content, content_type="application/json", headers=headers)


async def body_of(request: web.Request) -> Any:
    """What a call brought, as JSON."""
    return orjson.loads(await request.read())
