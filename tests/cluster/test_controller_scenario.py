"""One life of a namespace with all that a controller does in it, and what must be true of it throughout.

The scenario is played once; each test looks at another side of it.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.cluster import BASE, Cluster
from tests.cluster.controllers import MINUTE, ControllerProcess, running
from tests.cluster.controlplane import ControlPlane
from tests.cluster.objects import (
    EVERY_MINUTE,
    FAR_AWAY,
    Namespace,
    condition,
    crm,
    free,
    object_of,
    only_run,
    phase_is,
    ready,
    run_of,
    stalled,
    succeeded,
    sync,
    warehouse,
)
from tests.unit.controller.kstatus import kstatus

ACCOUNT = "system:serviceaccount:retl-system:retl-controller"
STATUS_MAX = 16 * 1024
KINDS = ("retl", "syncrun", "syncsource", "syncmodel", "syncdestination")
AFTER = {"cron": "@after", "dependsOn": [{"syncRef": {"name": "chicken"}}]}
# Connections last: the first check of each then knows all that is wanted of it.
MADE_BY_PEOPLE = [
    sync("ticked", schedule=EVERY_MINUTE, history={"successful": 1}),
    sync("held", "approval"),
    sync("busy", "wait"),
    sync("flaky", "flaky"),
    sync("idle", schedule=FAR_AWAY),
    sync("never", schedule={"cron": "0 0 30 2 *"}),
    sync("egg", schedule=AFTER),
    sync("chicken", schedule=AFTER | {"dependsOn": [{"syncRef": {"name": "egg"}}]}),
    object_of("SyncModel", "accounts", {"sourceRef": {"name": "warehouse"}, "table": "accounts"}),
    object_of("SyncModel", "lost", {"sourceRef": {"name": "nowhere"}, "table": "accounts"}),
    crm("wrong", config={"address": "http://127.0.0.1:1/"}),
    warehouse(),
    crm(),
]


@dataclass(frozen=True, slots=True)
class Played:
    """The scenario after its last act, everything at rest.

    Attributes:
        runs: names of SyncRuns that people made, by what they were made for.
        before: metadata of what people applied, right after they had.
        applied_again: the controller's writes while the same manifests were applied twenty times.
    """

    shop: Namespace
    controller: ControllerProcess
    runs: dict[str, str]
    before: dict[tuple[str, str], dict[str, Any]]
    applied_again: list[tuple[str, str]]


@pytest.fixture(scope="module")
def played(cluster: Cluster, account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    if cluster.control_plane is None:
        pytest.skip("needs the audit log of a control plane of its own")
    shop = Namespace(cluster, f"test-{secrets.token_hex(4)}").make()
    controller = ControllerProcess(tmp_path_factory.mktemp("scenario"), account, [shop.name])
    with running(controller):
        yield _play(shop, controller, cluster.control_plane)
    shop.drop()


def _play(shop: Namespace, controller: ControllerProcess, plane: ControlPlane) -> Played:
    shop.apply(*MADE_BY_PEOPLE)
    before = {(m["kind"], m["metadata"]["name"]): _durable(m) for m in _applied(shop)}
    foreign = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    taken = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "taken-1"},
        "spec": {"suspend": True} | foreign,
    }
    shop.apply(taken, run_of("idle") | {"metadata": {"name": "taken"}})
    runs = {name: shop.create(run_of(name)) for name in ("held", "busy", "flaky", "nobody")}
    runs["taken"] = "taken"

    shop.until("retl", "ticked", ready)
    controller.advance(MINUTE)
    first = only_run(shop, "ticked", "Succeeded")["metadata"]["name"]
    shop.until("retl", "ticked", free)
    controller.advance(MINUTE)
    shop.until("retl", "ticked", lambda o: free(o) and o["status"]["lastRun"]["name"] != first)

    shop.until("syncrun", runs["busy"], phase_is("Running"))
    runs["waits"] = shop.create(run_of("busy"))
    shop.until("syncrun", runs["waits"], phase_is("Pending"))
    for name in ("busy", "waits"):
        shop.patch("syncrun", runs[name], {"spec": {"cancel": True}})
    held = shop.until("syncrun", runs["held"], phase_is("AwaitingApproval"))
    shop.patch("syncrun", runs["held"], {"spec": {"approval": {"planHash": "another"}}})
    shop.until("syncrun", runs["held"], lambda o: succeeded(o).get("reason") == "ApprovalOfAnotherPlan")
    shop.patch("syncrun", runs["held"], {"spec": {"approval": {"planHash": held["status"]["planHash"]}}})
    for name in runs.values():
        shop.until("syncrun", name, phase_is("Succeeded", "Failed", "Cancelled"))
    shop.patch("retl", "ticked", {"spec": {"state": "Paused"}})  # so that from here on all is at rest
    for name in ("ticked", "busy", "held", "flaky", "idle"):
        shop.until("retl", name, lambda o: free(o) and ready(o) and kstatus(o) == "Current")
    for name in ("never", "egg", "chicken"):
        shop.until("retl", name, lambda o: bool(condition(o, "Stalled")))
    for kind, names in (("syncsource", ["warehouse"]), ("syncdestination", ["crm"]), ("syncmodel", ["accounts"])):
        for name in names:
            shop.until(kind, name, lambda o: kstatus(o) == "Current")
    return Played(shop, controller, runs, before, _writes_while_applying(shop, plane))


def _writes_while_applying(shop: Namespace, plane: ControlPlane) -> list[tuple[str, str]]:
    manifests = [m for m in MADE_BY_PEOPLE if m["metadata"]["name"] != "ticked"]  # that one was patched since
    before = len(_writes(plane, shop))
    for _ in range(20):
        shop.apply(*manifests)
    # What is certain to be written shows that all before it has been looked at.
    shop.until("syncrun", shop.create(run_of("nobody")), phase_is("Failed"))
    return _writes(plane, shop)[before:]


def _applied(shop: Namespace) -> list[dict[str, Any]]:
    kinds = ("retl", "syncsource", "syncmodel", "syncdestination")
    return [manifest for kind in kinds for manifest in shop.list(kind)]


def _durable(manifest: dict[str, Any]) -> dict[str, Any]:
    """What of an object's metadata and spec is its owner's."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {"metadata": metadata, "spec": {k: v for k, v in manifest["spec"].items() if k != "state"}}


def _events(plane: ControlPlane, shop: Namespace) -> list[dict[str, Any]]:
    """The controller's requests in the scenario's namespace, and those in no namespace."""
    ours = (event for event in plane.audit_events() if event["user"]["username"] == ACCOUNT)
    return [event for event in ours if event.get("objectRef", {}).get("namespace", shop.name) == shop.name]


def _what(event: dict[str, Any]) -> tuple[str, str]:
    of = event.get("objectRef", {})
    return event["verb"], "/".join(filter(None, [of.get("resource"), of.get("subresource")]))


def _writes(plane: ControlPlane, shop: Namespace) -> list[tuple[str, str]]:
    return [what for event in _events(plane, shop) if (what := _what(event))[0] not in ("get", "list", "watch")]


def test_of_what_people_made_only_the_status_was_written(played: Played, control_plane: ControlPlane) -> None:
    plurals = ("reverseetlsyncs", "syncruns", "syncsources", "syncmodels", "syncdestinations")
    allowed = {("update", f"{plural}/status") for plural in plurals}
    allowed |= {("create", "syncruns"), ("create", "jobs"), ("create", "events"), ("patch", "events")}
    allowed |= {("delete", "syncruns"), ("delete", "jobs")}
    made = Counter(_writes(control_plane, played.shop))
    assert set(made) <= allowed, made
    assert {("create", "jobs"), ("delete", "jobs"), ("delete", "syncruns")} <= set(made), (
        "the scenario did not get there"
    )
    after = {(m["kind"], m["metadata"]["name"]): _durable(m) for m in _applied(played.shop)}
    assert after == played.before
    for kind in (*KINDS, "job"):
        assert [m["metadata"]["name"] for m in played.shop.list(kind) if m["metadata"].get("finalizers")] == []


def test_every_request_was_one_that_its_role_allows(played: Played, control_plane: ControlPlane) -> None:
    refused = [
        e["requestURI"] for e in _events(control_plane, played.shop) if e["responseStatus"]["code"] in (401, 403)
    ]
    assert refused == []


def test_its_role_has_no_wildcards_and_writes_no_spec_of_what_people_make() -> None:
    manifests = yaml.safe_load_all((BASE / "rbac-controller.yaml").read_text())
    own = [each for each in manifests if "rules" in each and each["metadata"]["name"] == "retl-controller"]
    rules = [rule for each in own for rule in each["rules"]]
    words = [word for rule in rules for words in rule.values() for word in words]
    assert [word for word in words if "*" in word] == []
    ours = [rule for rule in rules if rule["apiGroups"] == ["reverseetl.io"]]
    written = {(v, r) for rule in ours for v in rule["verbs"] for r in rule["resources"] if v in ("update", "patch")}
    assert {resource.partition("/")[2] for _, resource in written} == {"status"}


def test_applying_the_same_manifests_twenty_times_moves_nobody(played: Played) -> None:
    assert [what for what in played.applied_again if what[1] != "events"] == [("update", "syncruns/status")]


def test_no_status_is_large(played: Played) -> None:
    sizes = {
        (m["kind"], m["metadata"]["name"]): len(json.dumps(m["status"]))
        for kind in KINDS
        for m in played.shop.list(kind)
    }
    assert max(sizes.values()) < STATUS_MAX, sizes
    print(f"\nlargest status: {max(sizes.values()):,} bytes of {max(sizes, key=lambda of: sizes[of])}")


def test_kstatus_reads_every_kind_at_rest(played: Played) -> None:
    failed = {("ReverseETLSync", name) for name in ("never", "egg", "chicken")}
    failed |= {("SyncModel", "lost"), ("SyncDestination", "wrong")}
    for manifest in _applied(played.shop):
        key = manifest["kind"], manifest["metadata"]["name"]
        assert kstatus(manifest) == ("Failed" if key in failed else "Current"), json.dumps(manifest["status"], indent=1)
        assert manifest["status"]["observedGeneration"] == manifest["metadata"]["generation"]
    for run in played.shop.list("syncrun"):
        assert kstatus(run) in ("Current", "Failed"), json.dumps(run["status"], indent=1)
        assert run["status"]["observedGeneration"] == run["metadata"]["generation"]


def test_each_run_ended_as_it_should_and_says_why(played: Played) -> None:
    ended = {name: played.shop.get("syncrun", run) for name, run in played.runs.items()}
    assert {name: (run["status"]["phase"], succeeded(run)["reason"]) for name, run in ended.items()} == {
        "held": ("Succeeded", "Succeeded"),
        "busy": ("Cancelled", "Cancelled"),
        "waits": ("Cancelled", "Cancelled"),
        "flaky": ("Succeeded", "Succeeded"),
        "nobody": ("Failed", "SyncNotFound"),
        "taken": ("Failed", "NameTaken"),
    }
    assert [attempt["reason"] for attempt in ended["flaky"]["status"]["failedAttempts"]] == ["DestinationUnavailable"]
    assert "ownerReferences" not in played.shop.get("job", "taken-1")["metadata"]


def test_syncs_that_wait_for_each_other_are_told_the_circle(played: Played) -> None:
    for name in ("egg", "chicken"):
        found = played.shop.until("retl", name, stalled("DependencyCycle"))
        message = condition(found, "Stalled")["message"]
        assert "egg" in message
        assert "chicken" in message


def test_a_status_that_somebody_edits_or_empties_heals(played: Played) -> None:
    shop = played.shop
    told = shop.get("retl", "ticked")["status"]
    lie = {
        "conditions": [],
        "lastTick": "2199-01-01T00:00:00Z",
        "activeRun": {"name": "ghost", "since": "2026-01-01T00:00:00Z"},
    }
    for wrong in (lie, None):
        body = json.dumps({"status": wrong})
        shop.cluster.kubectl(
            "patch", "retl", "ticked", "-n", shop.name, "--type=merge", "--subresource=status", "-p", body
        )
        healed = shop.until("retl", "ticked", lambda o: ready(o) and free(o))["status"]
        assert healed["lastSuccessTime"] == told["lastSuccessTime"]
    assert healed["lastRun"] == told["lastRun"], "the past is read from the SyncRuns"
    again = shop.create(run_of("ticked"))
    assert shop.until("syncrun", again, phase_is("Succeeded", "Failed"))["status"]["phase"] == "Succeeded"
