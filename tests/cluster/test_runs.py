"""The life of a run on a real control plane: what keeps it from going on is told within seconds, until it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.controllers import MINUTE, ControllerProcess, running
from tests.cluster.node import ProcessNode
from tests.cluster.objects import (
    EVERY_MINUTE,
    PATIENCE,
    Namespace,
    crm,
    phase_is,
    run_of,
    running_pod,
    succeeded,
    sync,
    warehouse,
)
from tests.cluster.processes import wait_until

IMAGE = "runner:test"
OF_RUNS = "-l=reverseetl.io/run"
QUEUE = "kueue.x-k8s.io/queue-name"


def reason_is(*reasons: str) -> Callable[[dict[str, Any]], bool]:
    return lambda run: succeeded(run).get("reason") in reasons


@contextmanager
def quota(shop: Namespace, what: str) -> Iterator[None]:
    """A ResourceQuota that allows none of it; its status is written here, because its controller is not running."""
    none = {what: "0"}
    manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": none}}
    shop.apply(manifest)
    status = json.dumps({"status": {"hard": none, "used": none}})
    shop.cluster.kubectl(
        "patch", "resourcequota", "none", "-n", shop.name, "--subresource=status", "--type=merge", "-p", status
    )
    yield
    shop.delete("resourcequota", "none")


def test_an_image_that_cannot_be_pulled_is_told_at_once_and_by_the_deadline(
    at_work: ControllerProcess, shop: Namespace, node: ProcessNode
) -> None:
    shop.apply(sync("accounts", runner={"timeout": "5s", "retries": 1}))
    with node.without_image(IMAGE):
        name = shop.create(run_of("accounts"))
        stuck = shop.until("syncrun", name, reason_is("ImagePullBackOff"))
        assert stuck["status"]["phase"] == "Running"
        assert (
            f'cannot pull its image: failed to pull and unpack image "{IMAGE}": not found'
            in (succeeded(stuck)["message"])
        )
        shop.until("syncrun", name, lambda run: bool(run["status"].get("failedAttempts")))
    done = shop.until("syncrun", name, phase_is("Succeeded"))
    [attempt] = done["status"]["failedAttempts"]
    assert (attempt["number"], attempt["jobName"], attempt["reason"]) == (1, f"{name}-1", "DeadlineExceeded")
    assert "its pod never started: ImagePullBackOff" in attempt["message"]
    assert done["status"]["attempt"] == 2


def test_describe_tells_the_whole_story_of_a_failed_run(
    at_work: ControllerProcess, shop: Namespace, node: ProcessNode
) -> None:
    shop.apply(sync("accounts", runner={"timeout": "3s", "retries": 0}))
    node.hold()
    try:
        name = shop.create(run_of("accounts"))
        waiting = shop.until("syncrun", name, reason_is("Unschedulable"))
        assert "finds no node: 0/1 nodes are available" in succeeded(waiting)["message"]
        shop.until("syncrun", name, phase_is("Failed"))
    finally:
        node.release()

    def told() -> str:
        return shop.cluster.kubectl("describe", "syncrun", name, "-n", shop.name)

    assert wait_until(lambda: " Failed " in told().partition("Events:")[2], PATIENCE), told()
    story, _, events = told().partition("Events:")
    assert "Failed Attempts:" in story
    assert "its pod never started: Unschedulable: pod" in " ".join(story.split())
    assert "Type: Stalled" in " ".join(story.split())
    assert [reason for reason in ("Started", "Unschedulable", "Failed") if reason not in events] == []


def test_a_secret_that_went_missing_after_the_job_was_made_is_named(
    at_work: ControllerProcess, shop: Namespace, node: ProcessNode
) -> None:
    create = ("create", "secret", "generic", "crm-login", "-n", shop.name, "--from-literal=token=x")
    shop.cluster.kubectl(*create)
    shop.apply(crm(credentials={"secretRef": {"name": "crm-login"}}), sync("accounts"))
    node.hold()
    try:
        name = shop.create(run_of("accounts"))
        shop.until("syncrun", name, reason_is("Unschedulable"))
        shop.delete("secret", "crm-login")
    finally:
        node.release()
    stuck = shop.until("syncrun", name, reason_is("SecretNotFound"))
    assert (
        "SyncDestination crm: spec.credentials.secretRef.name: there is no Secret 'crm-login'"
        in (succeeded(stuck)["message"])
    )
    shop.cluster.kubectl(*create)
    done = shop.until("syncrun", name, phase_is("Succeeded"))
    assert (done["status"]["attempt"], done["status"]["failedAttempts"]) == (1, [])


def test_a_quota_on_jobs_is_told_and_waited_for(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    with quota(shop, "count/jobs.batch"):
        name = shop.create(run_of("accounts"))
        forbidden = shop.until("syncrun", name, reason_is("JobForbidden"))
        assert forbidden["status"]["phase"] == "Pending"
        assert "exceeded quota: none" in succeeded(forbidden)["message"]
    at_work.advance(MINUTE)
    assert shop.until("syncrun", name, phase_is("Succeeded"))["status"]["attempt"] == 1


def test_a_quota_on_pods_is_told_in_the_words_of_the_job_controller(
    at_work: ControllerProcess, shop: Namespace
) -> None:
    shop.apply(sync("accounts"))
    with quota(shop, "pods"):
        name = shop.create(run_of("accounts"))
        refused = shop.until("syncrun", name, reason_is("FailedCreate"))
    assert f"Job {name}-1 gets no pod: " in succeeded(refused)["message"]
    assert "exceeded quota: none" in succeeded(refused)["message"]
    shop.patch("syncrun", name, {"spec": {"cancel": True}})
    shop.until("syncrun", name, phase_is("Cancelled"))


def test_a_queue_may_hold_a_run_back_and_take_its_place_again(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait") | {"metadata": {"name": "accounts", "labels": {QUEUE: "etl", "team": "a"}}})
    name = shop.create(run_of("accounts"))
    first = running_pod(shop, f"{name}-1")
    labels = shop.get("job", f"{name}-1")["metadata"]["labels"]
    assert (labels[QUEUE], "team" in labels) == ("etl", False)
    shop.patch("job", f"{name}-1", {"spec": {"suspend": True}})
    queued = shop.until("syncrun", name, reason_is("Queued"))
    assert queued["status"]["phase"] == "Pending"
    shop.patch("job", f"{name}-1", {"spec": {"suspend": False}})
    assert wait_until(lambda: running_pod(shop, f"{name}-1") != first, PATIENCE)
    going_on = shop.until("syncrun", name, reason_is("Running"))["status"]
    assert (going_on["phase"], going_on["attempt"], going_on["failedAttempts"]) == ("Running", 1, [])


def test_two_controllers_let_no_more_runs_go_on_than_the_destination_takes(
    at_work: ControllerProcess, account: Path, shop: Namespace, tmp_path: Path
) -> None:
    names = [f"sync-{number}" for number in range(4)]
    with running(ControllerProcess(tmp_path, account, [shop.name], name="second")):
        shop.apply(crm(maxConcurrentRuns=2), *(sync(name, "wait") for name in names))
        runs = [shop.create(run_of(name)) for name in names]
        first, second = (each["run"] for each in _slots(shop, lambda slots: len(slots) == 2))
        for name in set(runs) - {first, second}:
            waiting = shop.until("syncrun", name, reason_is("WaitingForSlot"))
            assert "SyncDestination crm has maxConcurrentRuns 2; " in succeeded(waiting)["message"]
        for name in (first, second):
            shop.until("syncrun", name, phase_is("Running"))
        shop.patch("syncrun", first, {"spec": {"cancel": True}})
        held = _slots(shop, lambda slots: len(slots) == 2 and slots[0]["run"] == second)
        shop.until("syncrun", held[1]["run"], phase_is("Running"))
    assert len(shop.list("job", OF_RUNS)) == 2


def _slots(shop: Namespace, hold: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    def ready(destination: dict[str, Any]) -> bool:
        return hold(destination["status"].get("slots", []))

    slots: list[dict[str, Any]] = shop.until("syncdestination", "crm", ready)["status"]["slots"]
    return slots


def test_a_run_may_be_created_a_moment_before_its_sync(at_work: ControllerProcess, shop: Namespace) -> None:
    name = shop.create(run_of("accounts"))
    waiting = shop.until("syncrun", name, reason_is("SyncNotFound"))
    assert waiting["status"]["phase"] == "Pending"
    shop.apply(sync("accounts"))
    shop.until("syncrun", name, phase_is("Succeeded"))


def test_a_record_that_somebody_edits_is_found_again(at_work: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait"))
    name = shop.create(run_of("accounts"))
    running_pod(shop, f"{name}-1")
    shop.until("syncrun", name, reason_is("Running"))
    edit = {"status": {"phase": "Running", "attempt": 0, "jobName": None, "conditions": None}}
    shop.cluster.kubectl(
        "patch", "syncrun", name, "-n", shop.name, "--subresource=status", "--type=merge", "-p", json.dumps(edit)
    )
    healed = shop.until("syncrun", name, lambda run: run["status"].get("attempt") == 1 and bool(succeeded(run)))
    assert healed["status"]["jobName"] == f"{name}-1"
    shop.until("syncrun", name, reason_is("Running"))
    assert len(shop.list("pod", OF_RUNS)) == 1


def test_a_namespace_that_goes_away_takes_its_runs_along_without_a_word(
    controller: ControllerProcess, shop: Namespace
) -> None:
    going = Namespace(shop.cluster, f"{shop.name}-going").make()
    controller.namespaces = [shop.name, going.name]
    with running(controller):
        going.apply(warehouse(), crm(), sync("accounts", "wait"), sync("other", schedule=EVERY_MINUTE))
        running_pod(going, f"{going.create(run_of('accounts'))}-1")
        going.drop()
        controller.advance(MINUTE)
        gone = ("get", "namespace", going.name, "--ignore-not-found")
        assert wait_until(lambda: not shop.cluster.kubectl(*gone), PATIENCE)
        shop.apply(sync("accounts"))
        shop.until("syncrun", shop.create(run_of("accounts")), phase_is("Succeeded"))
        log = controller.log()
    assert "should not have happened" not in log
    assert log.count("trying again") < 5, log
