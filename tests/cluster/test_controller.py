"""The controller on a real control plane, with its ServiceAccount's rights and a runner that does as it is told."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.controllers import MINUTE, ControllerProcess, running
from tests.cluster.node import ProcessNode
from tests.cluster.objects import (
    EVERY_MINUTE,
    FAR_AWAY,
    PATIENCE,
    Namespace,
    condition,
    crm,
    free,
    jobs,
    object_of,
    only_run,
    phase_is,
    ready,
    run_of,
    running_pod,
    runs_of,
    stalled,
    succeeded,
    sync,
    verdicts,
    warehouse,
)
from tests.cluster.processes import free_ports, wait_until


def test_a_sync_whose_references_are_there_is_ready(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", schedule=FAR_AWAY))
    status = shop.until("retl", "accounts", ready)["status"]
    assert status["observedGeneration"] == 1
    assert status["nextRunTime"].endswith("-01-01T00:00:00Z")
    assert {c["type"] for c in status["conditions"]} == {"Ready"}
    for kind, name in (("syncsource", "warehouse"), ("syncdestination", "crm")):
        assert condition(shop.until(kind, name, ready), "Ready")["reason"] == "Checked"


def test_a_missing_reference_stalls_a_sync_in_words_and_heals(at_work: ControllerProcess, shop: Namespace) -> None:
    reference = {"query": None, "modelRef": {"name": "accounts"}}
    manifest = sync("accounts")
    manifest["spec"] = {k: v for k, v in (manifest["spec"] | reference).items() if v is not None}
    shop.apply(manifest)
    status = shop.until("retl", "accounts", stalled("ModelNotFound"))
    assert "spec.modelRef.name: there is no SyncModel 'accounts'" in condition(status, "Stalled")["message"]
    assert condition(status, "Ready")["status"] == "False"
    shop.apply(object_of("SyncModel", "accounts", {"sourceRef": {"name": "lake"}, "table": "accounts"}))
    status = shop.until("retl", "accounts", stalled("SourceNotFound"))
    assert (
        "SyncModel accounts: spec.sourceRef.name: there is no SyncSource 'lake'"
        in condition(status, "Ready")["message"]
    )
    assert shop.until("syncmodel", "accounts", stalled("SourceNotFound"))
    shop.apply(warehouse("lake"))
    assert not condition(shop.until("retl", "accounts", ready), "Stalled")
    shop.until("syncmodel", "accounts", ready)


def test_a_missing_secret_is_looked_for_again_until_it_is_there(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(crm(credentials={"secretRef": {"name": "crm-login"}}), sync("accounts"))
    found = shop.until("retl", "accounts", stalled("SecretNotFound"))
    assert "SyncDestination crm: spec.credentials.secretRef.name: there is no Secret 'crm-login'" in str(
        condition(found, "Stalled")["message"]
    )
    shop.cluster.kubectl("create", "secret", "generic", "crm-login", "-n", shop.name, "--from-literal=token=x")
    at_work.advance(MINUTE)
    shop.until("retl", "accounts", ready)
    shop.until("syncdestination", "crm", ready)


def test_wrong_settings_are_told_on_the_connection_and_on_the_sync(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(crm(config={"address": "http://127.0.0.1:1/"}), sync("accounts"))
    message = condition(shop.until("syncdestination", "crm", stalled("InvalidConfig")), "Stalled")["message"]
    assert "spec.config.url: is required" in message
    found = shop.until("retl", "accounts", lambda o: not ready(o) and bool(condition(o, "Stalled")))
    assert "SyncDestination crm: spec.config.url: is required" in condition(found, "Stalled")["message"]


def test_a_schedule_that_never_fires_is_told(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", schedule={"cron": "0 0 30 2 *"}))
    found = shop.until("retl", "accounts", stalled("InvalidSchedule"))
    assert "spec.schedule.cron: '0 0 30 2 *' never fires" in condition(found, "Stalled")["message"]


def test_a_tick_becomes_a_run_a_job_and_a_result(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", schedule=EVERY_MINUTE))
    tick = shop.until("retl", "accounts", ready)["status"]["nextRunTime"]
    at_work.advance(MINUTE)
    done = shop.until("retl", "accounts", free)["status"]
    assert (done["lastTick"], verdicts({"status": done})) == (tick, [("Ran", "")])
    assert done["lastRun"]["counts"]["created"] == 3
    assert done["deadLetters"] == 1
    assert condition({"status": done}, "LastRunSucceeded")["status"] == "True"
    [run] = runs_of(shop, "accounts")
    assert run["metadata"]["name"] == f"accounts-{tick[:16].translate(str.maketrans('', '', '-:T'))}"
    assert (run["status"]["phase"], run["status"]["attempt"]) == ("Succeeded", 1)
    assert run["status"]["counts"]["read"] == 7
    assert succeeded(run)["status"] == "True"
    [job] = jobs(shop)
    assert job["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
    assert run["metadata"]["ownerReferences"][0]["kind"] == "ReverseETLSync"


def test_the_past_does_not_fire_when_a_sync_is_resumed(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", schedule=EVERY_MINUTE, state="Paused"))
    assert "nextRunTime" not in shop.until("retl", "accounts", ready)["status"]
    at_work.advance(5 * MINUTE)
    shop.patch("retl", "accounts", {"spec": {"state": "Active"}})
    resumed = shop.until("retl", "accounts", lambda o: o["status"].get("nextRunTime"))
    assert resumed["status"]["recentTicks"] == []
    at_work.advance(MINUTE)
    done = shop.until("retl", "accounts", free)
    assert verdicts(done) == [("Ran", "")]
    assert done["status"]["lastTick"] == resumed["status"]["nextRunTime"]


def test_after_downtime_only_the_newest_tick_runs(controller: ControllerProcess, shop: Namespace) -> None:
    with running(controller):
        shop.apply(sync("accounts", schedule=EVERY_MINUTE))
        shop.until("retl", "accounts", ready)
    controller.advance(3 * MINUTE)
    with running(controller):
        done = shop.until("retl", "accounts", free)
    assert verdicts(done) == [("Missed", "NewerTickDue"), ("Missed", "NewerTickDue"), ("Ran", "")]
    assert len(runs_of(shop, "accounts")) == 1


def test_a_tick_is_skipped_while_a_run_is_active_and_a_person_waits_their_turn(
    at_work: ControllerProcess, shop: Namespace
) -> None:
    shop.apply(sync("accounts", "wait", schedule=EVERY_MINUTE))
    shop.until("retl", "accounts", ready)
    at_work.advance(MINUTE)
    first = only_run(shop, "accounts", "Running")["metadata"]["name"]
    at_work.advance(MINUTE)
    shop.until("retl", "accounts", lambda o: ("Skipped", "PreviousRunActive") in verdicts(o))
    mine = shop.create(run_of("accounts"))
    waiting = shop.until("syncrun", mine, phase_is("Pending"))
    assert succeeded(waiting)["message"] == f"it waits for SyncRun {first} to end"
    shop.patch("syncrun", first, {"spec": {"cancel": True}})
    shop.until("syncrun", mine, phase_is("Running"))
    held = shop.get("retl", "accounts")["status"]
    assert held["activeRun"]["name"] == mine
    assert held["lastRun"]["name"] == first


def test_a_cancelled_run_stops_its_pod_and_keeps_its_counts(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait"))
    name = shop.create(run_of("accounts"))
    shop.until("syncrun", name, phase_is("Running"))
    running_pod(shop, f"{name}-1")
    shop.patch("syncrun", name, {"spec": {"cancel": True}})
    run = shop.until("syncrun", name, phase_is("Cancelled"))
    assert run["status"]["counts"]["read"] == 7
    assert succeeded(run)["status"] == "False"
    assert shop.until("retl", "accounts", free)["status"]["lastRun"]["phase"] == "Cancelled"


def test_an_approval_of_the_very_plan_lets_a_run_go_on(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "approval", schedule=EVERY_MINUTE))
    shop.until("retl", "accounts", ready)
    at_work.advance(MINUTE)
    held = only_run(shop, "accounts", "AwaitingApproval")
    name, plan = held["metadata"]["name"], held["status"]["planHash"]
    assert succeeded(held)["reason"] == "GuardBreached"
    at_work.advance(MINUTE)
    shop.until("retl", "accounts", lambda o: ("Skipped", "AwaitingApproval") in verdicts(o))
    shop.patch("syncrun", name, {"spec": {"approval": {"planHash": "another"}}})
    told = shop.until("syncrun", name, lambda o: succeeded(o).get("reason") == "ApprovalOfAnotherPlan")
    assert plan in succeeded(told)["message"]
    assert told["status"]["phase"] == "AwaitingApproval"
    shop.patch("syncrun", name, {"spec": {"approval": {"planHash": plan}}})
    done = shop.until("syncrun", name, phase_is("Succeeded"))
    assert done["status"]["attempt"] == 2
    assert [job["metadata"]["name"] for job in jobs(shop)] == [f"{name}-1", f"{name}-2"]


def test_a_failure_that_may_pass_gets_another_attempt(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "flaky"))
    done = shop.until("syncrun", shop.create(run_of("accounts")), phase_is("Succeeded", "Failed"))
    assert (done["status"]["phase"], done["status"]["attempt"]) == ("Succeeded", 2)


def resting_after(attempt: int) -> Callable[[dict[str, Any]], bool]:
    return lambda run: succeeded(run).get("reason") == "Retrying" and run["status"]["attempt"] == attempt


def test_attempts_rest_longer_each_time_and_have_an_end(controller: ControllerProcess, shop: Namespace) -> None:
    controller.retry_seconds = 100
    shop.apply(sync("accounts", "fail", runner={"retries": 2}))
    name = shop.create(run_of("accounts"))
    with running(controller):
        for attempt, pause in ((1, 100), (2, 200)):
            resting = shop.until(
                "syncrun",
                name,
                resting_after(attempt),
            )
            assert f"attempt {attempt} failed: DestinationUnavailable: it is down" in succeeded(resting)["message"]
            controller.advance(pause)
        failed = shop.until("syncrun", name, phase_is("Failed"))
    assert (failed["status"]["attempt"], succeeded(failed)["reason"]) == (3, "DestinationUnavailable")
    assert condition(shop.get("retl", "accounts"), "LastRunSucceeded")["status"] == "False"


@pytest.mark.parametrize(
    ("behaviour", "attempts", "reason"), [("wrong", 1, "SourceFailed"), ("silent", 2, "RunnerFailed")]
)
def test_a_failure_that_will_not_pass_is_final(
    at_work: ControllerProcess, shop: Namespace, behaviour: str, attempts: int, reason: str
) -> None:
    shop.apply(sync("accounts", behaviour, runner={"retries": 1}))
    failed = shop.until("syncrun", shop.create(run_of("accounts")), phase_is("Failed"))
    assert (failed["status"]["attempt"], succeeded(failed)["reason"]) == (attempts, reason)


def test_a_runner_out_of_memory_is_told_as_such(at_work: ControllerProcess, shop: Namespace, node: ProcessNode) -> None:
    shop.apply(sync("accounts", "wait", runner={"retries": 0}))
    name = shop.create(run_of("accounts"))
    node.oom(shop.name, running_pod(shop, f"{name}-1"))
    failed = shop.until("syncrun", name, phase_is("Failed"))
    assert succeeded(failed)["reason"] == "OOMKilled"
    assert "raise spec.runner.resources.limits.memory" in succeeded(failed)["message"]


def test_an_evicted_pod_is_replaced_within_the_same_attempt(
    at_work: ControllerProcess, shop: Namespace, node: ProcessNode
) -> None:
    shop.apply(sync("accounts", "wait"))
    name = shop.create(run_of("accounts"))
    first = running_pod(shop, f"{name}-1")
    node.evict(shop.name, first)
    assert wait_until(lambda: running_pod(shop, f"{name}-1") != first, PATIENCE)
    run = shop.get("syncrun", name)
    assert (run["status"]["phase"], run["status"]["attempt"]) == ("Running", 1)


def test_a_run_that_takes_too_long_fails_by_its_deadline(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait", runner={"timeout": "2s", "retries": 0}))
    failed = shop.until("syncrun", shop.create(run_of("accounts")), phase_is("Failed"))
    assert succeeded(failed)["reason"] == "DeadlineExceeded"
    assert failed["status"]["counts"]["read"] == 7


def test_a_deleted_job_counts_as_a_lost_attempt(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait"))
    name = shop.create(run_of("accounts"))
    running_pod(shop, f"{name}-1")
    shop.delete("job", f"{name}-1")
    again = shop.until("syncrun", name, lambda o: o["status"].get("attempt") == 2)
    assert again["status"]["phase"] in ("Pending", "Running")


def test_a_run_of_nothing_fails_in_a_minute_and_one_of_a_draft_at_once(
    at_work: ControllerProcess, shop: Namespace
) -> None:
    shop.apply(sync("idea", state="Draft"))
    name = shop.create(run_of("nobody"))
    shop.until("syncrun", name, phase_is("Pending"))
    at_work.advance(MINUTE)
    lost = shop.until("syncrun", name, phase_is("Failed"))
    assert succeeded(lost)["reason"] == "SyncNotFound"
    assert "there is no ReverseETLSync 'nobody'" in succeeded(lost)["message"]
    draft = shop.until("syncrun", shop.create(run_of("idea")), phase_is("Failed"))
    assert succeeded(draft)["reason"] == "SyncIsDraft"
    assert "spec.state" in succeeded(draft)["message"]


def test_a_job_name_taken_by_somebody_else_is_left_alone(at_work: ControllerProcess, shop: Namespace) -> None:
    foreign = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    shop.apply(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "mine-1"}, "spec": {"suspend": True} | foreign}
    )
    shop.apply(sync("accounts"))
    shop.apply(run_of("accounts") | {"metadata": {"name": "mine"}})
    failed = shop.until("syncrun", "mine", phase_is("Failed"))
    assert succeeded(failed)["reason"] == "NameTaken"
    assert "ownerReferences" not in shop.get("job", "mine-1")["metadata"]


def test_a_tick_whose_name_somebody_took_is_skipped(controller: ControllerProcess, shop: Namespace) -> None:
    with running(controller):
        shop.apply(sync("accounts", schedule={"cron": "0 * * * *"}))
        tick = shop.until("retl", "accounts", ready)["status"]["nextRunTime"]
        name = f"accounts-{tick[:16].translate(str.maketrans('', '', '-:T'))}"
        shop.apply(run_of("other") | {"metadata": {"name": name}})
        shop.until("syncrun", name, phase_is("Pending"))
        controller.advance((datetime.fromisoformat(tick) - datetime.now(UTC)).total_seconds() + 1)
        skipped = shop.until("retl", "accounts", lambda o: bool(verdicts(o)))
        assert verdicts(skipped)[0] == ("Skipped", "NameTaken")
        assert skipped["status"].get("activeRun", {}).get("name") != name
        controller.advance(60 * MINUTE)
        shop.until("retl", "accounts", lambda o: ("Ran", "") in verdicts(o))


def test_ended_runs_beyond_the_history_go_with_their_jobs(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", history={"successful": 2, "failed": 1}))
    names = []
    for _ in range(4):
        names.append(shop.create(run_of("accounts")))
        shop.until("syncrun", names[-1], phase_is("Succeeded"))
    kept = set(names[-2:])
    assert wait_until(lambda: {r["metadata"]["name"] for r in runs_of(shop, "accounts")} == kept, PATIENCE)
    assert wait_until(lambda: len(jobs(shop)) == 2, PATIENCE)


def test_a_run_that_is_deleted_frees_its_sync(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait", schedule=EVERY_MINUTE))
    shop.until("retl", "accounts", ready)
    at_work.advance(MINUTE)
    name = only_run(shop, "accounts", "Running")["metadata"]["name"]
    shop.delete("syncrun", name)
    freed = shop.until("retl", "accounts", free)["status"]
    assert (freed["lastRun"]["name"], freed["lastRun"]["reason"]) == (name, "Deleted")
    assert runs_of(shop, "accounts") == []


def test_a_plan_leaves_no_trace_in_the_sync(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    name = shop.create(run_of("accounts", mode="Plan"))
    shop.until("syncrun", name, phase_is("Succeeded"))
    freed = shop.until("retl", "accounts", lambda o: "activeRun" not in o["status"])["status"]
    assert "lastRun" not in freed
    assert not condition({"status": freed}, "LastRunSucceeded")


def test_a_job_that_kubernetes_refuses_fails_the_run_in_its_words(at_work: ControllerProcess, shop: Namespace) -> None:
    resources = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    shop.apply(sync("accounts", runner={"resources": resources}))
    failed = shop.until("syncrun", shop.create(run_of("accounts")), phase_is("Failed"))
    assert succeeded(failed)["reason"] == "JobRefused"
    assert "must be less than or equal to memory limit" in succeeded(failed)["message"]


def test_metrics_and_health_are_served(controller: ControllerProcess, shop: Namespace) -> None:
    controller.metrics_port, controller.health_port = free_ports(2)
    with running(controller):
        shop.apply(sync("accounts", schedule=EVERY_MINUTE))
        shop.until("retl", "accounts", ready)
        controller.advance(MINUTE)
        shop.until("retl", "accounts", free)
        metrics = _read(f"http://127.0.0.1:{controller.metrics_port}/metrics")
        assert [_read(f"http://127.0.0.1:{controller.health_port}/{path}") for path in ("healthz", "readyz")] == [
            "ok\n"
        ] * 2
    assert 'retl_runs_total{phase="Succeeded",reason="Succeeded"} 1.0' in metrics
    assert 'retl_ticks_total{reason="",verdict="Ran"} 1.0' in metrics


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
