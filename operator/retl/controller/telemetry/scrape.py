"""Serves /metrics, in threads of its own: putting 10,000 syncs into words must not hold up the work on them."""

import asyncio
import gzip
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from retl.controller.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_FAST = 1
"""Compression that costs a few milliseconds a megabyte, for a twelfth of the size."""
_PATIENCE = 5.0
_POLL = 0.1


@contextmanager
def serving(port: int, metrics: Metrics) -> Iterator[None]:
    """Answer scrapes on all addresses for as long as the block lasts; port 0 listens nowhere.

    To be entered in the event loop: it takes the readings.
    """
    if not port:
        yield
        return
    loop = asyncio.get_running_loop()

    async def look() -> None:
        metrics.look()

    def exposition() -> bytes:
        asyncio.run_coroutine_threadsafe(look(), loop).result(_PATIENCE)
        return metrics.exposition()

    server = _Server(("0.0.0.0", port), _handler(exposition))  # noqa: S104 - of a pod
    thread = Thread(target=server.serve_forever, args=(_POLL,), name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in the log what went wrong with one scrape, such as a client that left."""
        logger.warning("a scrape failed", exc_info=True)


def _handler(exposition: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = exposition()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body, _FAST)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each scrape."""

    return Handler
