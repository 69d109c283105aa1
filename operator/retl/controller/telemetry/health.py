"""What Kubernetes asks of the process: /healthz, whether it should be restarted, and /readyz, whether it can work.

kopf's own probe has one path for both and shows a verdict that is up to ten seconds old, so the two are served here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

Doubts = Callable[[], list[str]]
"""What is wrong at the moment, in words; empty when all is well."""


@asynccontextmanager
async def answering(port: int, doubts: Doubts, obstacles: Doubts) -> AsyncIterator[None]:
    """Answer probes on all addresses for as long as the block lasts; port 0 listens nowhere.

    Args:
        doubts: why the process should be restarted.
        obstacles: why it cannot work yet.
    """
    if not port:
        yield
        return
    app = web.Application()
    app.add_routes([web.get("/healthz", _answer(doubts)), web.get("/readyz", _answer(obstacles))])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - of a pod
        yield
    finally:
        await runner.cleanup()


def _answer(doubts: Doubts) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        found = doubts()
        status = HTTPStatus.INTERNAL_SERVER_ERROR if found else HTTPStatus.OK
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=status)

    return handler
