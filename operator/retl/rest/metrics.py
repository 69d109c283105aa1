"""What Prometheus reads of the API pod, and the access log: one look at each request serves both."""

import logging
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retl.state.sql import Totals

access_log = logging.getLogger("retl.rest.access")

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The pod's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "retl_api_requests", "Requests answered.", ("port", "method", "route", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "retl_api_request_seconds",
            "Time to answer a request.",
            ("port", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._open_dead_letters = Gauge(
            "retl_state_open_dead_letters", "Dead letters that wait, of all syncs.", registry=self.registry
        )
        self._running = Gauge("retl_state_claimed_syncs", "Syncs that a run holds.", registry=self.registry)
        self._up = Gauge("retl_state_up", "1 when the state database answers.", registry=self.registry)

    def answered(self, port: str, method: str, route: str, code: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(port, method, route, str(code)).inc()
        self._seconds.labels(port, route).observe(seconds)

    def exposition(self, totals: Totals | None) -> bytes:
        """The text that Prometheus scrapes.

        Args:
            totals: of the state store now; None when the database does not answer.
        """
        self._up.set(totals is not None)
        if totals is not None:
            self._open_dead_letters.set(totals.open_dead_letters)
            self._running.set(totals.claimed_syncs)
        return generate_latest(self.registry)


class Observe:
    """ASGI middleware: counts and logs each request once it is answered. Never looks at headers or bodies."""

    def __init__(self, app: ASGIApp, metrics: Metrics, port: str) -> None:
        self._app = app
        self._metrics = metrics
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 499  # the client left before there was an answer

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500  # the outermost layer is about to answer so
            raise
        finally:
            seconds = perf_counter() - started
            # The route's template, not the path: as a label, the latter would grow without bound.
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.answered(self._port, scope["method"], route, status, seconds)
            if route not in _QUIET:
                access_log.info(
                    "method=%s path=%s status=%d seconds=%.3f caller=%s",
                    scope["method"],
                    scope["path"],
                    status,
                    seconds,
                    scope.get("retl.caller", "-"),
                )


_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
