"""What the controller tells Prometheus of itself and of all syncs together; `sync_series` has what it tells of each.

Labels here have a handful of values each and no names of objects. Words that come from outside (a pod's reason for its
death) are taken up to a number, so that nobody can make series without end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from retl.controller.decision import Decision
from retl.controller.facts import moment
from retl.controller.kinds import Key
from retl.controller.telemetry.sync_series import ROWS, SyncSeries
from retl.resources.conditions import find
from retl.resources.kinds import SYNC, Manifest
from retl.resources.reasons import TICK_REASONS
from retl.resources.run import TERMINAL, RunStatus

_WORDS = 100
_QUICK = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DELAYS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_RUNS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0)
_VERDICTS = dict.fromkeys(("", "Failed", "Cancelled"), "Ran") | dict.fromkeys(
    ("NewerTickDue", "Late", "CatchUpLimit", "StartingDeadlineExceeded"), "Missed"
)
"""Of reasons, where it is not Skipped."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _zero() -> float:
    return 0.0


@dataclass(slots=True)
class Readings:
    """Numbers that other parts have and that are read, in the event loop, when somebody asks.

    Attributes:
        watch_ages: seconds since each kind's watch last heard of the API server.
        lease_transitions: how often the Lease has changed hands, as it says itself; None: not shown, as a counter that
            began at 0 would seem to rise by all of them.
        leading: whether this process leads; a standby shows no series of objects, or their sums would count double.
    """

    queue_depth: Callable[[], float] = _zero
    cached_objects: Callable[[], float] = _zero
    clock_skew: Callable[[], float] = _zero
    lease_transitions: Callable[[], float | None] = lambda: None
    leading: Callable[[], bool] = lambda: True
    watch_ages: Callable[[], Mapping[str, float]] = dict


@dataclass(slots=True)
class Words:
    """Label values that come from outside: the first hundred, and `Other` for all that come later."""

    known: set[str] = field(default_factory=set)

    def bounded(self, word: str) -> str:
        """The word, or Other."""
        if word in self.known:
            return word
        if len(self.known) >= _WORDS or len(word) > 63:
            return "Other"
        self.known.add(word)
        return word


class Metrics:
    """The controller's metrics in a registry of their own, and those of each sync."""

    def __init__(self, max_syncs: int = 20_000, now: Callable[[], datetime] = _utc_now) -> None:
        """Args:
        max_syncs: so many syncs have series of their own.
        now: the present, by the clock that ticks are decided with.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._now = now
        self._words = Words()
        self.readings = Readings()
        self.syncs = SyncSeries(max_syncs, self._words.bounded)
        self.registry = registry = CollectorRegistry()
        self._runs = Counter(
            "retl_runs", "SyncRuns that ended, by phase and reason.", ["phase", "reason"], registry=registry
        )
        self._run_seconds = Histogram(
            "retl_run_seconds",
            "Seconds from a SyncRun's first attempt to its end.",
            ["phase"],
            buckets=_RUNS,
            registry=registry,
        )
        self._start_delay = Histogram(
            "retl_tick_start_delay_seconds",
            "Seconds from a tick to the start of its run's first attempt.",
            buckets=_DELAYS,
            registry=registry,
        )
        self._rows = Counter("retl_rows", "Rows by what became of them.", ["outcome"], registry=registry)
        self._ticks = Counter(
            "retl_ticks", "Ticks of schedules by verdict and reason.", ["verdict", "reason"], registry=registry
        )
        self.reconciles = Histogram(
            "retl_reconcile_seconds", "Seconds of one reconcile.", ["kind"], buckets=_QUICK, registry=registry
        )
        self.errors = Counter("retl_reconcile_errors", "Reconciles that failed.", ["kind"], registry=registry)
        self._waits = Histogram(
            "retl_queue_wait_seconds",
            "Seconds that an object waited for its reconcile.",
            buckets=_WAITS,
            registry=registry,
        )
        self._requests = Counter(
            "retl_kube_requests",
            "Requests to the API server, by RBAC verb and HTTP status (0: no answer).",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "retl_kube_request_seconds",
            "Seconds until the API server had answered a request; of a watch, until it began.",
            ["verb", "kind"],
            buckets=_QUICK,
            registry=registry,
        )
        self._throttled = Counter(
            "retl_kube_throttled_seconds",
            "Seconds that requests waited for this process's own rate limit.",
            ["budget"],
            registry=registry,
        )
        self._events = Counter(
            "retl_events", "Kubernetes Events, by what became of them.", ["outcome"], registry=registry
        )
        self._read = _Read(self.readings)
        registry.register(self._read)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what can be known beforehand, so that a first increment is seen as one."""
        for outcome in ROWS:
            self._rows.labels(outcome)
        for reason in ("", *TICK_REASONS):
            self._ticks.labels(_VERDICTS.get(reason, "Skipped"), reason)
        for outcome in ("posted", "repeated", "dropped", "refused"):
            self._events.labels(outcome)

    def changed(self, key: Key, now: Manifest | None) -> None:
        """Take note of what the cache has learned of an object; None when it is gone."""
        self.syncs.changed(key, now)

    def decided(self, key: Key, observed: Manifest, decision: Decision) -> None:
        """Count what a decision brought about. To be told once, when its status is written, and of no other decision.

        Args:
            observed: the version of the object that was decided upon.
        """
        for record in decision.verdicts:
            self._ticks.labels(record.verdict, record.reason).inc()
            self.syncs.judged(key, record)
        if isinstance(decision.status, RunStatus):
            self._count_run(key, observed, decision.status)

    def waited(self, seconds: float) -> None:
        """An object waited so long for its reconcile."""
        self._waits.observe(seconds)

    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None:
        """A request to the API server has its answer; code 0 if there was none."""
        self._requests.labels(verb, kind, str(code)).inc()
        self._request_seconds.labels(verb, kind).observe(seconds)

    def throttled(self, budget: str, seconds: float) -> None:
        """A request waited so long for its budget."""
        self._throttled.labels(budget).inc(seconds)

    def event(self, outcome: str, number: int = 1) -> None:
        """Events were posted, repeated (an Event of before counts them), dropped (too many) or refused."""
        self._events.labels(outcome).inc(number)

    def look(self) -> None:
        """Take the readings; to be called in the event loop, before each exposition."""
        self._read.look()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes; safe to call from another thread than the event loop's."""
        shown = self.syncs.exposition(self._now() if self.readings.leading() else None)
        return generate_latest(self.registry) + shown

    def _count_run(self, key: Key, observed: Manifest, status: RunStatus) -> None:
        spec, before = observed.get("spec") or {}, observed["status"]
        if status.started_at and not before.get("startedAt") and spec.get("tick"):
            self._start_delay.observe(max(0.0, (status.started_at - moment(spec["tick"])).total_seconds()))
        if status.phase not in TERMINAL or before.get("phase") in TERMINAL:
            return
        end = find(status.conditions, "Succeeded")
        self._runs.labels(status.phase, self._words.bounded(end.reason if end else status.phase)).inc()
        seconds = 0.0
        if status.started_at and status.finished_at:
            seconds = max(0.0, (status.finished_at - status.started_at).total_seconds())
            self._run_seconds.labels(status.phase).observe(seconds)
        # A plan's numbers are of rows that would be written.
        counts = None if spec.get("mode") == "Plan" else status.counts
        for outcome in ROWS if counts else ():
            self._rows.labels(outcome).inc(getattr(counts, outcome))
        sync = (spec.get("syncRef") or {}).get("name", "")
        self.syncs.ended(Key(SYNC, key.namespace, sync), status.phase, seconds, counts)


class _Read(Collector):
    """The readings as metrics."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._taken: tuple[Metric, ...] = ()
        self.look()

    def look(self) -> None:
        of = self._readings
        ages = GaugeMetricFamily(
            "retl_watch_age_seconds", "Seconds since the watch last heard of the API server.", labels=["kind"]
        )
        for kind, age in of.watch_ages().items():
            ages.add_metric([kind], age)
        self._taken = (
            GaugeMetricFamily("retl_queue_depth", "Objects that wait for a reconcile.", value=of.queue_depth()),
            GaugeMetricFamily("retl_cached_objects", "Objects in the cache.", value=of.cached_objects()),
            GaugeMetricFamily("retl_leader", "1 while this process leads.", value=float(of.leading())),
            CounterMetricFamily(
                "retl_lease_transitions", "How often the Lease has changed hands.", value=of.lease_transitions()
            ),
            GaugeMetricFamily(
                "retl_clock_skew_seconds",
                "Seconds that this clock is ahead of the API server's.",
                value=of.clock_skew(),
            ),
            ages,
        )

    def collect(self) -> Iterable[Metric]:
        return self._taken
