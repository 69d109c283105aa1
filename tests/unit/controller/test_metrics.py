"""What the controller tells Prometheus: numbers, labels, bounds, and that ten thousand syncs are told quickly."""

import asyncio
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from retl.controller.decision import Decision
from retl.controller.kinds import Key, slim
from retl.controller.telemetry.metrics import Metrics
from retl.controller.telemetry.scrape import serving
from retl.resources.conditions import Condition
from retl.resources.kinds import DESTINATION, RUN, SOURCE, SYNC
from retl.resources.marks import CRITICAL_LABEL, MAX_AGE
from retl.resources.run import RunCounts, RunStatus
from retl.resources.sync import SyncStatus, TickRecord
from tests.cluster.processes import free_ports
from tests.unit.controller.views import NOON, at, connection_manifest, run_manifest, sync_manifest

ACCOUNTS = Key(SYNC, "growth", "accounts")
THE_RUN = Key(RUN, "growth", "accounts-1")
COUNTS = RunCounts(read=14, unchanged=5, created=4, updated=3, rejected=2)


def values(metrics: Metrics, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """What Prometheus would read of a metric, by the values of these labels."""
    metrics.look()
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}


def known(status: dict[str, Any] | None = None, **spec: Any) -> Metrics:
    """Metrics of a controller that knows one sync, at noon."""
    metrics = Metrics(now=lambda: NOON)
    metrics.changed(ACCOUNTS, sync_manifest(**spec) | {"status": status or {}})
    return metrics


def iso(minutes: float) -> str:
    return at(minutes).isoformat()


def unfinished(phase: str, reason: str, **status: Any) -> dict[str, Any]:
    condition = {"type": "Succeeded", "status": "Unknown", "reason": reason, "lastTransitionTime": iso(0)}
    return run_manifest() | {"status": {"phase": phase, "conditions": [condition]} | status}


def decided(phase: Any, reason: str = "", **changes: Any) -> Decision:
    """A decision on a run that started two minutes before noon."""
    condition = Condition(type="Succeeded", status="Unknown", reason=reason or phase, last_transition_time=NOON)
    record = {"phase": phase, "conditions": [condition], "started_at": at(-2)}
    return Decision(RunStatus(**(record | changes)))


def test_a_run_is_counted_once_when_it_ends_with_its_rows_and_its_time() -> None:
    metrics, end = known(), decided("Failed", "OOMKilled", counts=COUNTS, finished_at=at(0))
    metrics.decided(THE_RUN, unfinished("Running", "Running", startedAt=iso(-2)), end)
    metrics.decided(THE_RUN, unfinished("Failed", "OOMKilled", startedAt=iso(-2)), end)
    assert values(metrics, "retl_sync_runs_total", "namespace", "sync", "phase") == {
        ("growth", "accounts", "Succeeded"): 0,
        ("growth", "accounts", "Failed"): 1,
        ("growth", "accounts", "Cancelled"): 0,
    }
    outcomes = {(outcome,): number for outcome, number in COUNTS.model_dump().items() if outcome != "read"}
    assert values(metrics, "retl_sync_rows_total", "outcome") == outcomes
    assert values(metrics, "retl_rows_total", "outcome") == outcomes
    assert values(metrics, "retl_sync_run_seconds_total") == {(): 120}
    assert values(metrics, "retl_run_seconds_sum", "phase") == {("Failed",): 120}
    assert values(metrics, "retl_runs_total", "phase", "reason") == {("Failed", "OOMKilled"): 1}


def test_the_rows_of_a_plan_are_not_counted_because_none_was_written() -> None:
    metrics = known()
    metrics.decided(THE_RUN, run_manifest(mode="Plan"), decided("Succeeded", counts=COUNTS, finished_at=at(0)))
    assert set(values(metrics, "retl_sync_rows_total", "outcome").values()) == {0}
    assert values(metrics, "retl_sync_runs_total", "phase")["Succeeded",] == 1


def test_a_run_that_goes_on_counts_for_nothing_yet() -> None:
    metrics = known()
    metrics.decided(THE_RUN, run_manifest(), decided("Running", counts=COUNTS))
    assert set(values(metrics, "retl_sync_runs_total", "phase").values()) == {0}


def test_the_first_start_of_a_ticks_run_tells_how_late_it_is() -> None:
    metrics, run = known(), run_manifest(tick=iso(-3))
    metrics.decided(THE_RUN, run, decided("Pending", "Starting"))
    metrics.decided(THE_RUN, run | {"status": {"startedAt": iso(-2)}}, decided("Running"))
    assert values(metrics, "retl_tick_start_delay_seconds_count") == {(): 1}
    assert values(metrics, "retl_tick_start_delay_seconds_sum") == {(): 60}


def test_verdicts_are_counted_by_verdict_and_reason() -> None:
    metrics = known()
    verdicts = (TickRecord(at=at(-1), verdict="Missed", reason="Late"), TickRecord(at=at(0), verdict="Ran"))
    metrics.decided(ACCOUNTS, sync_manifest(), Decision(SyncStatus(), verdicts=verdicts))
    own = values(metrics, "retl_sync_ticks_total", "verdict", "reason")
    assert own == {("Missed", "Late"): 1, ("Ran", ""): 1}
    everywhere = values(metrics, "retl_ticks_total", "verdict", "reason")
    assert {key: number for key, number in everywhere.items() if number} == own
    assert everywhere["Skipped", "Blackout"] == 0, "a first increment must be seen as one"


def test_the_series_and_counters_of_a_deleted_sync_go_with_it() -> None:
    metrics = known()
    metrics.decided(THE_RUN, run_manifest(), decided("Succeeded", counts=COUNTS))
    metrics.changed(ACCOUNTS, None)
    metrics.decided(THE_RUN, run_manifest(), decided("Succeeded", counts=COUNTS))
    assert b'sync="accounts"' not in metrics.exposition()
    metrics.changed(ACCOUNTS, sync_manifest())
    assert set(values(metrics, "retl_sync_rows_total", "outcome").values()) == {0}


@pytest.mark.parametrize(
    ("name", "status", "spec", "told"),
    [
        ("retl_sync_last_success_timestamp_seconds", {"lastSuccessTime": iso(-5)}, {}, at(-5).timestamp()),
        ("retl_sync_last_success_timestamp_seconds", {}, {}, None),
        ("retl_sync_lag_seconds", {"lastSuccessTime": iso(-5)}, {}, 300),
        ("retl_sync_lag_seconds", {}, {}, 3600),  # since its creation
        ("retl_sync_lag_seconds", {"lastSuccessTime": iso(-5)}, {"state": "Paused"}, None),
        ("retl_sync_next_run_timestamp_seconds", {"nextRunTime": iso(7)}, {}, at(7).timestamp()),
        ("retl_sync_overdue_seconds", {"nextRunTime": iso(7)}, {}, 0),
        ("retl_sync_overdue_seconds", {"nextRunTime": iso(-2)}, {}, 120),
        ("retl_sync_overdue_seconds", {"nextRunTime": iso(-2), "waitingTick": {"at": iso(-4)}}, {}, 240),
        ("retl_sync_last_run_seconds", {"lastRun": {"phase": "Failed", "startedAt": iso(-3)}}, {}, None),
        (
            "retl_sync_last_run_seconds",
            {"lastRun": {"phase": "Failed", "startedAt": iso(-3), "finishedAt": iso(-1)}},
            {},
            120,
        ),
        ("retl_sync_last_run_succeeded", {"lastRun": {"phase": "Failed"}}, {}, 0),
        ("retl_sync_last_run_succeeded", {"lastRun": {"phase": "Succeeded"}}, {}, 1),
        ("retl_sync_active_run", {}, {}, 0),
        ("retl_sync_active_run", {"activeRun": {"name": "accounts-1", "since": iso(-1)}}, {}, 1),
    ],
)
def test_what_a_status_says_is_told(
    name: str, status: dict[str, Any], spec: dict[str, Any], told: float | None
) -> None:
    found = values(known(status, **spec), name, "namespace", "sync")
    assert found == ({("growth", "accounts"): told} if told is not None else {})


@pytest.mark.parametrize(
    ("marks", "critical", "age"),
    [
        ({"labels": {CRITICAL_LABEL: "true"}, "annotations": {MAX_AGE: "1h30m"}}, 1, 5400),
        ({"labels": {CRITICAL_LABEL: "false"}, "annotations": {MAX_AGE: "often"}}, None, None),
        ({"labels": None, "annotations": {MAX_AGE: "0s"}}, None, 0),
        ({}, None, None),
    ],
)
def test_what_people_want_to_be_told_of_a_sync_is_told(
    marks: dict[str, Any], critical: float | None, age: float | None
) -> None:
    metrics, manifest = known(), sync_manifest()
    marked = manifest | {"metadata": manifest["metadata"] | marks}
    metrics.changed(ACCOUNTS, slim(SYNC, marked))
    for name, told in (("retl_sync_critical", critical), ("retl_sync_max_age_seconds", age)):
        assert values(metrics, name, "sync") == ({("accounts",): told} if told is not None else {})


def test_dead_letters_are_told_by_code_and_codes_that_nobody_knows_together() -> None:
    codes = {"NULL_KEY": 3, "MADE_UP": 2, "UNKNOWN": 1, 'A"B\n': 4}
    found = values(known({"deadLetters": 10, "deadLettersByCode": codes}), "retl_sync_open_dead_letters", "code")
    assert found == {("NULL_KEY",): 3, ("UNKNOWN",): 7}


def test_the_active_run_tells_how_far_it_is() -> None:
    metrics = known({"activeRun": {"name": "accounts-1", "since": iso(-1)}})
    metrics.changed(THE_RUN, unfinished("Running", "Running", progress={"step": "deliver", "rows": 700}))
    assert values(metrics, "retl_sync_progress_rows", "step") == {("deliver",): 700}
    assert values(metrics, "retl_runs_unfinished", "phase", "reason") == {("Running", "Running"): 1}
    metrics.changed(THE_RUN, run_manifest() | {"status": {"phase": "Succeeded"}})
    assert values(metrics, "retl_sync_progress_rows", "step") == {}
    assert values(metrics, "retl_runs_unfinished", "phase", "reason") == {}


def test_a_run_that_waits_says_for_what_and_how_long_its_tick_is_overdue() -> None:
    metrics = known({"activeRun": {"name": "accounts-1", "tick": iso(-3), "since": iso(-1)}, "nextRunTime": iso(5)})
    metrics.changed(THE_RUN, unfinished("Pending", "WaitingForSlot"))
    assert values(metrics, "retl_sync_waiting", "reason") == {("WaitingForSlot",): 1}
    assert values(metrics, "retl_sync_overdue_seconds") == {(): 180}


def test_a_guard_that_holds_a_run_is_told() -> None:
    metrics = known({"activeRun": {"name": "accounts-1", "since": iso(-1)}})
    assert values(metrics, "retl_sync_awaiting_approval") == {(): 0}
    metrics.changed(THE_RUN, unfinished("AwaitingApproval", "GuardBreached", startedAt=iso(-1)))
    assert values(metrics, "retl_sync_awaiting_approval") == {(): 1}


def test_a_stalled_sync_says_why_even_in_words_written_by_hand() -> None:
    word = 'a "quoted" \\ word\nand a line'
    condition = {"type": "Stalled", "status": "True", "reason": word, "lastTransitionTime": iso(0)}
    assert values(known({"conditions": [condition]}), "retl_sync_stalled", "reason") == {(word,): 1}


def test_destinations_tell_their_slots_and_connections_their_checks() -> None:
    metrics = known()
    crm = connection_manifest("SyncDestination", "crm", maxConcurrentRuns=2)
    slots = [{"run": "accounts-1", "uid": "u", "since": iso(-1)}]
    metrics.changed(Key(DESTINATION, "growth", "crm"), crm | {"status": {"slots": slots}})
    check = {"number": 1, "asked": "x", "succeeded": False, "finishedAt": iso(-9)}
    warehouse = connection_manifest("SyncSource", "warehouse") | {"status": {"lastCheck": check}}
    metrics.changed(Key(SOURCE, "growth", "warehouse"), warehouse)
    assert values(metrics, "retl_destination_slots_used", "namespace", "destination") == {("growth", "crm"): 1}
    assert values(metrics, "retl_destination_slots_limit", "destination") == {("crm",): 2}
    assert values(metrics, "retl_check_succeeded", "kind", "name") == {("SyncSource", "warehouse"): 0}
    assert values(metrics, "retl_check_timestamp_seconds", "name") == {("warehouse",): at(-9).timestamp()}


def test_a_standby_tells_nothing_of_objects_so_that_no_sum_counts_twice() -> None:
    metrics = known()
    metrics.readings.leading = lambda: False
    assert values(metrics, "retl_leader") == {(): 0}
    assert values(metrics, "retl_syncs") == {}
    assert values(metrics, "retl_sync_active_run") == {}


def test_syncs_beyond_the_limit_have_no_series_and_are_counted() -> None:
    metrics = Metrics(max_syncs=2, now=lambda: NOON)
    for number in range(5):
        metrics.changed(Key(SYNC, "growth", f"s{number}"), sync_manifest())
    assert values(metrics, "retl_sync_active_run", "sync") == {("s0",): 0, ("s1",): 0}
    assert values(metrics, "retl_syncs_without_series") == {(): 3}
    assert values(metrics, "retl_syncs") == {(): 5}


def test_a_critical_sync_has_series_before_those_that_are_known_longer() -> None:
    metrics = Metrics(max_syncs=2, now=lambda: NOON)
    for number in range(4):
        manifest = sync_manifest()
        if number == 3:
            manifest["metadata"]["labels"] = {CRITICAL_LABEL: "true"}
        metrics.changed(Key(SYNC, "growth", f"s{number}"), manifest)
    assert values(metrics, "retl_sync_active_run", "sync") == {("s3",): 0, ("s0",): 0}
    assert values(metrics, "retl_sync_critical", "sync") == {("s3",): 1}
    assert values(metrics, "retl_syncs_without_series") == {(): 2}


def test_a_status_that_cannot_be_read_costs_nobody_elses_series() -> None:
    metrics = known({"nextRunTime": "soon", "activeRun": "yes"})
    metrics.changed(Key(SYNC, "growth", "deals"), sync_manifest())
    assert values(metrics, "retl_sync_lag_seconds", "sync") == {("deals",): 3600}
    assert values(metrics, "retl_syncs_without_series") == {(): 1}


def test_words_from_outside_cannot_make_series_without_end() -> None:
    metrics = known()
    for number in range(300):
        metrics.decided(THE_RUN, run_manifest(), decided("Failed", f"Word{number}"))
    metrics.decided(THE_RUN, run_manifest(), decided("Failed", "Word7"))
    found = values(metrics, "retl_runs_total", "reason")
    assert len(found) == 101
    assert found["Other",] == 200
    assert found["Word7",] == 2


async def test_a_scrape_takes_the_readings_in_the_event_loop_where_their_owners_live() -> None:
    metrics, [port] = Metrics(), free_ports(1)
    metrics.readings.queue_depth = lambda: len(asyncio.all_tasks(asyncio.get_running_loop()))

    def get(path: str) -> int | str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.code

    with serving(port, metrics):
        assert "retl_queue_depth 2.0\n" in str(await asyncio.to_thread(get, "/metrics"))
        assert await asyncio.to_thread(get, "/") == 404


async def test_ten_thousand_syncs_are_scraped_within_a_second_and_the_event_loop_goes_on() -> None:
    metrics = Metrics(now=lambda: NOON)
    last = {"name": "r", "phase": "Succeeded", "startedAt": iso(-3), "finishedAt": iso(-1)}
    status = {"lastRun": last, "lastSuccessTime": iso(-1), "nextRunTime": iso(7), "deadLettersByCode": {"NULL_KEY": 3}}
    manifest = sync_manifest() | {"status": status}
    for number in range(10_000):
        key = Key(SYNC, f"team-{number % 50}", f"accounts-{number}")
        metrics.changed(key, manifest)
        metrics.decided(key, manifest, Decision(SyncStatus(), verdicts=(TickRecord(at=NOON, verdict="Ran"),)))

    def scrape() -> tuple[bytes, float]:
        started = time.thread_time()
        return metrics.exposition(), time.thread_time() - started

    scraping, pauses = asyncio.create_task(asyncio.to_thread(scrape)), [0.0]
    while not scraping.done():
        before = time.perf_counter()
        await asyncio.sleep(0)
        pauses.append(time.perf_counter() - before)
    text, seconds = await scraping
    assert text.count(b"\n") > 200_000
    assert seconds < 1
    assert max(pauses) < 0.25
