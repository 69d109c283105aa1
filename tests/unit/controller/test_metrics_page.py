"""docs/metrics.md lists exactly what the two processes expose: names, labels, types."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from retl.controller.decision import Decision
from retl.controller.kinds import Key
from retl.controller.telemetry.metrics import Metrics
from retl.resources.kinds import DESTINATION, RUN, SYNC
from retl.resources.marks import CRITICAL_LABEL, MAX_AGE
from retl.resources.run import RunCounts, RunStatus
from retl.resources.sync import SyncStatus, TickRecord
from retl.rest.metrics import Metrics as ApiMetrics
from retl.rest.requests.limits import Limits
from retl.state.letter_counts import OpenLetters
from retl.state.sql import SqlStateStore, Totals
from tests.unit.controller.views import NOON, at, connection_manifest, run_manifest, sync_manifest

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
Metric = tuple[str, frozenset[str]]
"""Type and labels."""


def told() -> dict[str, Metric]:
    """The metrics of the page's tables, by name."""
    found: dict[str, Metric] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        everywhere = {"namespace", "sync"} if section.startswith("Controller: each sync") else set()
        for name, labels, kind in re.findall(r"^\| `(retl_\w+)` \| (.*?) ?\| (\w+) \| \S", section, re.MULTILINE):
            assert name not in found, f"{name} is there twice"
            found[name] = kind, frozenset(everywhere | set(re.findall(r"`(\w+)`", labels)))
    return found


def exposed(text: str) -> Iterator[tuple[str, Metric]]:
    for family in text_string_to_metric_families(text):
        assert family.samples, f"the test has no sample of {family.name}"
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        yield family.name + ("_total" if family.type == "counter" else ""), (family.type, labels)


def of_controller() -> str:
    """What a controller tells that has seen something of everything."""
    metrics = Metrics(now=lambda: NOON)
    metrics.readings.watch_ages = lambda: {"SyncRun": 1.0}
    metrics.readings.lease_transitions = lambda: 2.0
    sync, run = Key(SYNC, "growth", "accounts"), Key(RUN, "growth", "accounts-1")
    status = {
        "activeRun": {"name": "accounts-1", "since": at(-1).isoformat()},
        "lastRun": {"phase": "Succeeded", "startedAt": at(-3).isoformat(), "finishedAt": at(-2).isoformat()},
        "lastSuccessTime": at(-2).isoformat(),
        "nextRunTime": at(5).isoformat(),
        "waitingTick": {"at": at(0).isoformat(), "reason": "DependencyRunning"},
        "deadLettersByCode": {"CONFLICT": 1},
        "conditions": [{"type": "Stalled", "status": "True", "reason": "SecretNotFound"}],
    }
    wishes = {"labels": {CRITICAL_LABEL: "true"}, "annotations": {MAX_AGE: "6h"}}
    manifest = sync_manifest()
    metrics.changed(sync, manifest | {"status": status, "metadata": manifest["metadata"] | wishes})
    progress = {"step": "deliver", "rows": 7}
    metrics.changed(run, run_manifest() | {"status": {"phase": "Running", "progress": progress}})
    check = {"succeeded": True, "finishedAt": at(-9).isoformat()}
    crm = connection_manifest("SyncDestination", "crm", maxConcurrentRuns=2) | {"status": {"lastCheck": check}}
    metrics.changed(Key(DESTINATION, "growth", "crm"), crm)
    verdicts = (TickRecord(at=NOON, verdict="Ran"),)
    metrics.decided(sync, sync_manifest(), Decision(SyncStatus(), verdicts=verdicts))
    ended = RunStatus(phase="Succeeded", started_at=at(-1), finished_at=at(0), counts=RunCounts())
    metrics.decided(run, run_manifest(tick=at(-1).isoformat()), Decision(ended))
    metrics.reconciles.labels(SYNC).observe(0.1)
    metrics.errors.labels(SYNC).inc()
    metrics.waited(0.1)
    metrics.requested("get", SYNC, 200, 0.1)
    metrics.throttled("work", 0.1)
    metrics.look()
    return metrics.exposition().decode()


class Counted(SqlStateStore):
    """A state store that knows its numbers beforehand."""

    def __init__(self) -> None:
        """Opens nothing."""

    async def totals(self, limit: int = 1) -> Totals:
        return Totals(1, [OpenLetters("growth", "accounts", "CONFLICT", 1, NOON - timedelta(days=1))])


async def of_api_pod() -> str:
    metrics = ApiMetrics(Counted)
    metrics.watch(Limits())
    with metrics.in_flight("public"):
        metrics.answered("public", "GET", "/healthz", 200, 0.1)
    return (await metrics.exposition()).decode()


async def test_the_page_lists_exactly_what_both_processes_expose() -> None:
    assert told() == dict([*exposed(of_controller()), *exposed(await of_api_pod())])


def test_every_metric_that_a_query_of_the_page_names_is_in_its_tables() -> None:
    named = set(re.findall(r"\bretl_\w+", PAGE.read_text()))
    assert {name.removesuffix("_bucket") for name in named} == set(told())
