"""What Prometheus reads of the API pod, and the access log: one look at each request serves both."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic, perf_counter
from urllib.parse import quote

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retl.errors import StateError
from retl.rest.problems import REQUEST_ID
from retl.rest.requests.entry import CALLER, WORKSPACE
from retl.rest.requests.limits import Limits
from retl.rest.requests.paths import Paths
from retl.state.sql import SqlStateStore, Totals

access_log = logging.getLogger("retl.rest.access")

TOTALS_SECONDS = 15.0
"""How long numbers of the state database are told again before it is asked for new ones."""
OTHERS = "(others)"
"""Stands for all that is not told apart; no sync and no method can have this name."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The pod's instruments, in a registry of their own."""

    def __init__(self, store: Callable[[], SqlStateStore], clock: Callable[[], float] = monotonic) -> None:
        """Args:
        store: the open state store; raises StateError while it is not open.
        clock: seconds of a steady clock.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._store = store
        self._clock = clock
        self._asked_at = -TOTALS_SECONDS
        self._asking = asyncio.Lock()
        self._totals: Totals | None = None
        self.registry = CollectorRegistry()
        self.registry.register(_State(lambda: self._totals))
        self._requests = Counter(
            "retl_api_requests", "Requests answered.", ("port", "method", "route", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "retl_api_request_seconds",
            "Seconds until the answer to a request began.",
            ("port", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )

        self._in_flight = Gauge(
            "retl_api_requests_in_flight", "Requests that are being answered.", ("port",), registry=self.registry
        )

    def watch(self, limits: Limits) -> None:
        """Show what the limits count, too."""
        self.registry.register(_Limits(limits))

    @contextmanager
    def in_flight(self, port: str) -> Iterator[None]:
        """Count a request for as long as the block lasts."""
        gauge = self._in_flight.labels(port)
        with gauge.track_inprogress():
            yield

    def answered(self, port: str, method: str, route: str, code: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(port, method, route, str(code)).inc()
        self._seconds.labels(port, route).observe(seconds)

    async def exposition(self) -> bytes:
        """The text that Prometheus scrapes; numbers of the state database are up to 15 s old."""
        async with self._asking:
            if self._clock() - self._asked_at >= TOTALS_SECONDS or self._totals is None:
                await self._ask()
        return await asyncio.to_thread(generate_latest, self.registry)

    async def _ask(self) -> None:
        try:
            self._totals = await self._store().totals()
        except StateError:
            self._totals = None
        self._asked_at = self._clock()


class _State(Collector):
    """Numbers of the state database as metrics; without them, that it does not answer."""

    def __init__(self, totals: Callable[[], Totals | None]) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        totals = self._totals()
        yield GaugeMetricFamily("retl_state_up", "1 when the state database answers.", value=float(totals is not None))
        claimed = GaugeMetricFamily("retl_state_claimed_syncs", "Syncs that a run holds.", labels=())
        names = ("namespace", "sync")
        waiting = GaugeMetricFamily(
            "retl_state_open_dead_letters",
            f"Dead letters that wait, by code; of the syncs with the fewest together as {OTHERS}.",
            labels=(*names, "code"),
        )
        ages = GaugeMetricFamily(
            "retl_state_oldest_dead_letter_seconds", "Age of the sync's oldest dead letter that waits.", labels=names
        )
        if totals is not None:
            claimed.add_metric((), totals.claimed_syncs)
            _describe(totals, waiting, ages)
        yield from (claimed, waiting, ages)


def _describe(totals: Totals, waiting: GaugeMetricFamily, ages: GaugeMetricFamily) -> None:
    now, oldest = datetime.now(UTC), {}
    for letters in totals.letters:
        waiting.add_metric((letters.namespace, letters.sync or OTHERS, letters.code), letters.open)
        if letters.oldest is not None:
            oldest[letters.namespace, letters.sync] = letters.oldest
    for sync, first_seen in oldest.items():
        ages.add_metric(sync, max(0.0, (now - first_seen).total_seconds()))


class _Limits(Collector):
    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "retl_api_throttled", "Requests that were one too many.", value=self._limits.throttled
        )
        yield GaugeMetricFamily("retl_api_streams", "Streams that are open.", value=self._limits.streams)


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
        started, status, length = perf_counter(), 499, 0  # 499: the client left before there was an answer
        waited: float | None = None

        async def watched(message: Message) -> None:
            nonlocal status, length, waited
            if message["type"] == "http.response.start":
                status, waited = message["status"], perf_counter() - started
            length += len(message.get("body", b""))
            await send(message)

        try:
            with self._metrics.in_flight(self._port):
                await self._app(scope, receive, watched)
        finally:
            seconds = perf_counter() - started
            paths: Paths = scope["app"].state.paths
            route = paths.template(scope["path"])
            # A stream may go on for hours, which says nothing of how fast this pod is.
            method = scope["method"] if scope["method"] in _METHODS else OTHERS
            self._metrics.answered(self._port, method, route, status, seconds if waited is None else waited)
            if route not in _QUIET:
                access_log.info("%s", _line(scope, status, seconds, length))


def _line(scope: Scope, status: int, seconds: float, length: int) -> str:
    """What the access log says; nothing in it can look like another line or another field."""
    caller = scope.get(CALLER)
    facts = {
        "method": scope["method"],
        "path": quote(scope["path"], safe="/:@!$&'()*+,;~"),
        "status": status,
        "seconds": f"{seconds:.3f}",
        "bytes": length,
        "caller": getattr(caller, "username", caller) or "-",
        "key": getattr(caller, "key", "") or "-",
        "workspace": scope.get(WORKSPACE) or "-",
        "id": scope.get(REQUEST_ID) or "-",
    }
    return " ".join(
        f"{name}={''.join(c if c.isprintable() and c != ' ' else '_' for c in str(value))}"
        for name, value in facts.items()
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""A client may make up others without end, before anybody asks who it is."""
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
