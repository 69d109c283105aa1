"""What the controller tells Prometheus. Labels have a handful of values each: no names of objects."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The controller's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = Counter("retl_runs", "Ended SyncRuns.", ["phase"], registry=self.registry)
        self.ticks = Counter("retl_ticks", "Ticks of schedules by verdict.", ["verdict"], registry=self.registry)
        self.reconciles = Histogram(
            "retl_reconcile_seconds", "Duration of one reconcile.", ["kind"], registry=self.registry
        )
        self.errors = Counter("retl_reconcile_errors", "Reconciles that failed.", ["kind"], registry=self.registry)
        self._depth = Gauge("retl_queue_depth", "Objects that wait for a reconcile.", registry=self.registry)
        self._objects = Gauge("retl_cached_objects", "Objects in the cache.", registry=self.registry)

    def observe(self, queue_depth: Callable[[], int], cached_objects: Callable[[], int]) -> None:
        """Read these numbers whenever somebody asks."""
        self._depth.set_function(queue_depth)
        self._objects.set_function(cached_objects)
