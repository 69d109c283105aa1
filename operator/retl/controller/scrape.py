"""Serves /metrics, in threads of its own: putting 10,000 syncs into words must not hold up the work on them."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST

_FAST = 1
"""Compression that costs a few milliseconds a megabyte, for a twelfth of the size."""


@contextmanager
def serving(port: int, exposition: Callable[[], bytes]) -> Iterator[None]:
    """Answer scrapes on all addresses for as long as the block lasts; port 0 listens nowhere."""
    if not port:
        yield
        return
    server = ThreadingHTTPServer(("0.0.0.0", port), _handler(exposition))  # noqa: S104 - of a pod
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
