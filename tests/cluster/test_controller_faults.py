"""The controller when things break: killed at any write, twice at once, without its API server."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.controllers import MINUTE, ControllerProcess, running
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import Access
from tests.cluster.node import ProcessNode
from tests.cluster.objects import (
    EVERY_MINUTE,
    FAR_AWAY,
    PATIENCE,
    Namespace,
    condition,
    free,
    jobs,
    only_run,
    phase_is,
    pods,
    ready,
    run_of,
    running_pod,
    runs_of,
    stalled,
    sync,
    verdicts,
)
from tests.cluster.processes import wait_until

ACCOUNT = "system:serviceaccount:retl-system:retl-controller"
LIVES = 40
YEAR = 366 * 24 * 60 * MINUTE


def writes(plane: ControlPlane, namespace: str) -> list[tuple[str, str, str, int]]:
    """What the controller wrote in a namespace, apart from Events: (verb, resource, subresource, HTTP status)."""
    return [
        (e["verb"], e["objectRef"]["resource"], e["objectRef"].get("subresource", ""), e["responseStatus"]["code"])
        for e in plane.audit_events()
        if e["user"]["username"] == ACCOUNT
        and e.get("objectRef", {}).get("namespace") == namespace
        and e["verb"] not in ("get", "list", "watch")
        and e["objectRef"]["resource"] != "events"
    ]


def writes_about_runs(plane: ControlPlane, namespace: str) -> list[tuple[str, str, str, int]]:
    """Of these, what is not about connections and their checks; Jobs are those of checks as well."""
    return [write for write in writes(plane, namespace) if write[1] in ("reverseetlsyncs", "syncruns")]


def live_and_die(controller: ControllerProcess, done: Any, **death: int) -> int:
    """Start the controller again and again, each time to die at a write, until `done()`; how often it was killed."""
    for life in range(LIVES):
        controller.start(**death)
        assert wait_until(lambda: not controller.program.running() or done(), PATIENCE), controller.log()
        if done():
            controller.stop()
            return life
    raise AssertionError(f"not done after {LIVES} lives:\n{controller.log()}")


@pytest.mark.parametrize("death", [{"dies_after": 1}, {"dies_before": 2}], ids=str)
def test_killed_at_every_write_a_tick_still_has_one_run_one_job_and_one_verdict(
    controller: ControllerProcess, shop: Namespace, death: dict[str, int]
) -> None:
    shop.apply(sync("accounts", "flaky", schedule={"cron": "*/10 * * * *"}))
    with running(controller):
        shop.until("retl", "accounts", ready)
    controller.advance(10 * MINUTE)
    deaths = live_and_die(controller, lambda: free(shop.get("retl", "accounts")), **death)
    assert deaths >= 6, "the controller survived writes that it should have died at"
    status = shop.get("retl", "accounts")["status"]
    assert verdicts({"status": status}) == [("Ran", "")]
    [run] = runs_of(shop, "accounts")
    assert (run["status"]["phase"], run["status"]["attempt"]) == ("Succeeded", 2)
    assert status["lastRun"]["name"] == run["metadata"]["name"]
    assert len(jobs(shop)) == 2
    assert len(pods(shop)) == 2


def test_killed_at_every_write_a_cancellation_still_ends(controller: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts", "wait"))
    name = shop.create(run_of("accounts"))
    with running(controller):
        shop.until("syncrun", name, phase_is("Running"))
        running_pod(shop, f"{name}-1")
    shop.patch("syncrun", name, {"spec": {"cancel": True}})
    live_and_die(controller, lambda: free(shop.get("retl", "accounts")), dies_after=1)
    assert shop.get("syncrun", name)["status"]["phase"] == "Cancelled"
    assert pods(shop) == []


def test_two_controllers_at_once_start_nothing_twice(
    controller: ControllerProcess, account: Path, shop: Namespace, tmp_path: Path
) -> None:
    second = ControllerProcess(tmp_path, account, [shop.name], name="second")
    names = [f"sync-{number}" for number in range(6)]
    with running(controller), running(second):
        shop.apply(*(sync(name, schedule={"cron": "*/30 * * * *"}) for name in names))
        for name in names:
            shop.until("retl", name, ready)
        for each in (controller, second):
            each.advance(30 * MINUTE)
        done = [shop.until("retl", name, free) for name in names]
        mine = [shop.create(run_of(name)) for name in names]
        for name in mine:
            shop.until("syncrun", name, phase_is("Succeeded"))
    assert [verdicts(one) for one in done] == [[("Ran", "")]] * len(names)
    assert Counter(run["spec"]["syncRef"]["name"] for run in shop.list("syncrun")) == dict.fromkeys(names, 2)
    assert len(jobs(shop)) == len(pods(shop)) == 2 * len(names)


@pytest.mark.parametrize(("farewell", "limit"), [("SIGTERM", 6.0), ("SIGKILL", 25.0)])
def test_of_two_controllers_one_works_and_the_other_takes_over(
    controller: ControllerProcess,
    control_plane: ControlPlane,
    account: Path,
    shop: Namespace,
    tmp_path: Path,
    farewell: str,
    limit: float,
) -> None:
    controller.lease = f"lease-{shop.name}"
    second = ControllerProcess(tmp_path, account, [shop.name], lease=controller.lease, name="second")
    controller.start()
    shop.apply(sync("accounts", schedule=FAR_AWAY))
    name = shop.create(run_of("accounts"))
    shop.until("syncrun", name, phase_is("Succeeded"))
    with running(second):
        assert wait_until(lambda: "at work" in second.log(), PATIENCE)
        shop.apply(sync("others"))
        shop.until("retl", "others", ready)
        assert "leading" not in second.log()
        second.advance(YEAR)  # the tick that is due by its clock alone is its to answer, once it may
        parting = datetime.now(UTC)
        controller.program.stop(signal.Signals[farewell])
        assert wait_until(lambda: len(runs_of(shop, "accounts")) == 2, PATIENCE)
        assert "leading" in second.log()
    seconds = (_first_run_since(control_plane, shop.name, parting) - parting).total_seconds()
    print(f"\nafter {farewell} the other controller had made a SyncRun within {seconds:.1f} s")
    assert seconds < limit


def _first_run_since(plane: ControlPlane, namespace: str, parting: datetime) -> datetime:
    """When the controller first created a SyncRun after that; the audit log has microseconds."""
    for event in plane.audit_events():
        at, of = datetime.fromisoformat(event["requestReceivedTimestamp"]), event.get("objectRef", {})
        ours = event["user"]["username"] == ACCOUNT and of.get("namespace") == namespace
        if ours and event["verb"] == "create" and of["resource"] == "syncruns" and at > parting:
            return at
    raise AssertionError("no SyncRun was created")


def test_a_controller_that_lost_its_lease_stops(controller: ControllerProcess, shop: Namespace) -> None:
    controller.lease = f"lease-{shop.name}"
    controller.start()
    shop.apply(sync("accounts"))
    shop.until("retl", "accounts", ready)
    theft = json.dumps({"spec": {"holderIdentity": "thief"}})
    shop.cluster.kubectl("patch", "lease", controller.lease, "-n", "retl-system", "--type=merge", "-p", theft)
    assert wait_until(lambda: not controller.program.running(), PATIENCE)
    assert "has another holder" in controller.log()


def test_nothing_but_status_is_written_to_what_people_made(
    controller: ControllerProcess, control_plane: ControlPlane, shop: Namespace
) -> None:
    with running(controller):
        shop.apply(sync("accounts", schedule=EVERY_MINUTE, history={"successful": 1}))
        marked = ["annotate", "retl", "accounts", "-n", shop.name, "argocd.argoproj.io/tracking-id=app:x"]
        shop.cluster.kubectl(*marked)
        shop.until("retl", "accounts", ready)
        controller.advance(MINUTE)
        shop.until("retl", "accounts", free)
        name = shop.create(run_of("accounts"))
        shop.until("syncrun", name, phase_is("Succeeded"))
        shop.until("retl", "accounts", lambda o: o["status"]["lastRun"]["name"] == name and free(o))
    made = {(verb, resource, subresource) for verb, resource, subresource, _ in writes(control_plane, shop.name)}
    kinds = ("reverseetlsyncs", "syncruns", "syncsources", "syncdestinations")
    allowed = {("update", kind, "status") for kind in kinds}
    allowed |= {("create", "syncruns", ""), ("create", "jobs", ""), ("delete", "syncruns", "")}
    assert made <= allowed
    for kind in ("retl", "syncsource", "syncdestination", "syncrun", "job"):
        for item in shop.list(kind):
            assert "finalizers" not in item["metadata"], item
    accounts = shop.list("retl", "--show-managed-fields")[0]
    assert accounts["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == "app:x"
    assert accounts["metadata"]["generation"] == 1
    ours = [entry for entry in accounts["metadata"]["managedFields"] if entry["manager"] == "retl-controller"]
    assert [entry["subresource"] for entry in ours] == ["status"]
    assert list(ours[0]["fieldsV1"]) == ["f:status"]
    children = [*jobs(shop), *(run for run in shop.list("syncrun") if run["metadata"]["name"] != name)]
    for child in children:
        assert set(child["metadata"]["annotations"]) <= {
            "argocd.argoproj.io/ignore-resource-updates",
            "batch.kubernetes.io/job-tracking",
        }


def test_a_run_costs_few_requests_and_rest_costs_none(
    controller: ControllerProcess, control_plane: ControlPlane, shop: Namespace
) -> None:
    with running(controller):
        shop.apply(sync("accounts", schedule={"cron": "*/30 * * * *"}))
        shop.until("retl", "accounts", ready)
        before = writes_about_runs(control_plane, shop.name)
        controller.advance(30 * MINUTE)
        shop.until("retl", "accounts", free)
    during = writes_about_runs(control_plane, shop.name)[len(before) :]
    assert Counter((verb, resource, subresource) for verb, resource, subresource, _ in during) == {
        ("update", "reverseetlsyncs", "status"): 2,
        ("create", "syncruns", ""): 1,
        ("update", "syncruns", "status"): 3,
    }
    assert len(jobs(shop)) == 1
    assert {code for *_, code in during} <= {200, 201}
    with running(controller):
        shop.apply(sync("another"))
        shop.until("retl", "another", ready)  # by then it has looked at everything
        assert writes_about_runs(control_plane, shop.name)[len(before) + len(during) :] == [
            ("update", "reverseetlsyncs", "status", 200)
        ]


def test_a_sync_is_deleted_with_its_children_while_no_controller_is_there(
    controller: ControllerProcess, shop: Namespace
) -> None:
    with running(controller):
        shop.apply(sync("accounts", schedule=EVERY_MINUTE), sync("others"))
        shop.until("retl", "accounts", ready)
        controller.advance(MINUTE)
        shop.until("retl", "accounts", free)
    shop.delete("retl", "accounts", "--timeout=20s")
    assert wait_until(lambda: not shop.list("syncrun") and not jobs(shop), PATIENCE)
    with running(controller):
        shop.until("syncrun", shop.create(run_of("others")), phase_is("Succeeded"))
        assert not runs_of(shop, "accounts")


@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_the_controller_goes_on_after_the_control_plane_was_killed(
    at_work: ControllerProcess, control_plane: ControlPlane, node: ProcessNode, shop: Namespace, component: str
) -> None:
    shop.apply(sync("accounts", "wait", schedule={"cron": "*/30 * * * *"}))
    shop.until("retl", "accounts", ready)
    at_work.advance(30 * MINUTE)
    name = only_run(shop, "accounts", "Running")["metadata"]["name"]
    running_pod(shop, f"{name}-1")
    control_plane.restart(component)
    shop.patch("syncrun", name, {"spec": {"cancel": True}})
    shop.until("syncrun", name, phase_is("Cancelled"))
    assert verdicts(shop.until("retl", "accounts", free)) == [("Ran", "Cancelled")]
    assert at_work.program.running()


def test_what_vanished_while_the_controller_was_away_is_noticed(controller: ControllerProcess, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    with running(controller):
        shop.until("retl", "accounts", ready)
    shop.delete("syncdestination", "crm")
    with running(controller):
        found = shop.until("retl", "accounts", stalled("DestinationNotFound"))
    assert "'crm'" in condition(found, "Ready")["message"]


def test_it_says_what_is_wrong_when_it_cannot_start(
    controller: ControllerProcess, shop: Namespace, tmp_path: Path
) -> None:
    good = Access.load(controller.kubeconfig)
    stranger = tmp_path / "stranger.kubeconfig"
    Access(good.server, good.ca_file, "nobody").save(stranger, "nobody")
    controller.kubeconfig = stranger
    controller.start()
    assert wait_until(lambda: not controller.program.running(), PATIENCE)
    assert "the API server refuses this controller" in controller.log()


def test_it_asks_for_its_crds_when_they_are_missing(tmp_path: Path) -> None:
    with ControlPlane() as plane:
        controller = ControllerProcess(tmp_path, plane.kubeconfig)
        controller.start()
        assert wait_until(lambda: not controller.program.running(), PATIENCE)
    assert "kubectl apply --server-side -f crds/" in controller.log()


def test_it_ends_within_seconds_of_sigterm_in_the_middle_of_work(
    controller: ControllerProcess, shop: Namespace
) -> None:
    controller.start()
    shop.apply(sync("accounts", "wait", schedule=EVERY_MINUTE))
    shop.until("retl", "accounts", ready)
    controller.advance(MINUTE)
    only_run(shop, "accounts", "Running")
    started = time.monotonic()
    controller.stop()
    assert time.monotonic() - started < 5
    assert json.dumps(shop.get("retl", "accounts")["status"]["activeRun"])
    assert "Traceback" not in controller.log()
