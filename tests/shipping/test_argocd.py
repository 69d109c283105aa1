"""Argo CD's health checks and actions: tests of its own kind, run in its Lua, and each action on a real cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from retl.resources import KINDS
from tests.cluster.cluster import PERMISSIONS, POLICIES, Cluster, based
from tests.cluster.conftest import cluster  # noqa: F401 - fixture
from tests.cluster.controllers import ControllerProcess, account, running  # noqa: F401 - fixtures
from tests.cluster.kubectl import KubectlError
from tests.cluster.objects import (
    FAR_AWAY,
    Namespace,
    crm,
    free,
    object_of,
    phase_is,
    ready,
    run_of,
    sync,
    warehouse,
)
from tests.shipping.argo import CUSTOMIZATIONS, Object, act, health, merge_patch, offered
from tests.unit.controller.kstatus import kstatus
from tools import argocd

ARGO = "system:serviceaccount:argocd:argocd-server"
BY_TIME = re.compile(r"(?<=-)\d{10}$|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _cases(pattern: str, part: str) -> list[Any]:
    """Cases of Argo CD's test files, each with the directory that its paths are relative to."""
    found = [(path.parent, case) for path in sorted(CUSTOMIZATIONS.glob(pattern)) for case in _read(path)[part]]
    return [
        pytest.param(place, case, id=f"{place.relative_to(CUSTOMIZATIONS)}-{case.get('action', '')}{case['inputPath']}")
        for place, case in found
    ]


@pytest.mark.parametrize(("place", "case"), _cases("*/health_test.yaml", "tests"))
def test_health_is_as_its_test_file_says(place: Path, case: Object) -> None:
    assert health(_read(place / case["inputPath"])) == case["healthStatus"]


@pytest.mark.parametrize(("place", "case"), _cases("*/actions/action_test.yaml", "discoveryTests"))
def test_actions_are_offered_as_their_test_file_says(place: Path, case: Object) -> None:
    found = offered(_read(place / case["inputPath"]))
    assert [{"name": name} | told for name, told in sorted(found.items())] == case["result"]


@pytest.mark.parametrize(("place", "case"), _cases("*/actions/action_test.yaml", "actionTests"))
def test_an_action_makes_what_its_test_file_says(place: Path, case: Object) -> None:
    made = act(case["action"], _read(place / case["inputPath"]))
    if isinstance(made, list):
        made = [{"k8sOperation": each["operation"], "unstructuredObj": each["resource"]} for each in made]
    assert _timeless(made) == _timeless(_read(place / case["expectedOutputPath"]))


def _timeless(value: Any) -> Any:
    """A value without names and marks that are made of the present."""
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    return BY_TIME.sub("", value) if isinstance(value, str) else value


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_health_check_and_every_script_is_tested(kind: str) -> None:
    place = CUSTOMIZATIONS / kind
    tested = {case["inputPath"] for case in _read(place / "health_test.yaml")["tests"]}
    assert tested == {f"testdata/{path.name}" for path in place.glob("testdata/*.yaml")}
    scripts = {path.parent.name for path in place.glob("actions/*/action.lua")}
    if not scripts:
        assert kind == "SyncModel"  # nothing is ever asked of it
        return
    tests = _read(place / "actions" / "action_test.yaml")
    assert {case["action"] for case in tests["actionTests"]} == scripts
    for case in tests["discoveryTests"]:
        assert {each["name"] for each in case["result"]} == scripts


@pytest.mark.parametrize("path", sorted(CUSTOMIZATIONS.glob("**/testdata/*.yaml")), ids=lambda path: f"{path.stem}")
def test_what_the_scripts_are_tested_with_are_objects_that_there_can_be(path: Path) -> None:
    held = _read(path)
    for manifest in [each["unstructuredObj"] for each in held] if isinstance(held, list) else [held]:
        KINDS[manifest["kind"]].model_validate(manifest)


def test_the_config_map_has_the_scripts_as_they_are() -> None:
    assert argocd.main(["--check"]) == 0


@dataclass(frozen=True)
class Stage:
    """A namespace in which a controller works, and Argo CD has been given a role."""

    shop: Namespace

    def argo(self, *args: str, input: str | None = None) -> str:
        groups = ("--as-group=system:serviceaccounts", "--as-group=system:authenticated")
        return self.shop.cluster.kubectl(*args, "-n", self.shop.name, f"--as={ARGO}", *groups, input=input)

    def does(self, action: str, kind: str, name: str) -> str:
        """Have Argo CD do it, if it offers it; the name of what was made or changed."""
        live = self.shop.get(kind, name)
        assert offered(live)[action]["disabled"] is False
        made = act(action, live)
        if isinstance(made, list):
            [only] = made
            assert only["operation"] == "create"
            self.argo("create", "-f", "-", input=json.dumps(only["resource"]))
            return str(only["resource"]["metadata"]["name"])
        self.argo("patch", kind, name, "--type=merge", "-p", json.dumps(merge_patch(live, made)))
        return name


@pytest.fixture(scope="module")
def stage(cluster: Cluster, account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:  # noqa: F811
    kubectl, name = cluster.kubectl, "argo-actions"
    kubectl("apply", *based(*PERMISSIONS, *POLICIES))
    shop = Namespace(cluster, name).make()
    kubectl("create", "rolebinding", "argo", "--clusterrole=retl-operator", f"--user={ARGO}", "-n", name)
    table = {"sourceRef": {"name": "warehouse"}, "table": "accounts"}
    model, lost = object_of("SyncModel", "accounts", table), object_of("SyncModel", "lost", table)
    lost["spec"] |= {"sourceRef": {"name": "nowhere"}}
    shop.apply(
        *(warehouse(), crm(), model, lost),
        *(sync("accounts"), sync("held", "approval"), sync("busy", "wait"), sync("paused", schedule=FAR_AWAY)),
        sync("never", schedule={"cron": "0 0 30 2 *"}),
    )
    with running(ControllerProcess(tmp_path_factory.mktemp("argo"), account, [name])):
        for each in ("accounts", "held", "busy", "paused"):
            shop.until("retl", each, ready)
        yield Stage(shop)
    shop.drop()


@pytest.mark.parametrize(
    ("action", "spec"),
    [
        ("trigger", {"mode": "Sync", "fullRefresh": False}),
        ("full-refresh", {"mode": "Sync", "fullRefresh": True}),
        ("replay", {"mode": "Replay", "fullRefresh": False}),
    ],
)
def test_a_run_that_argo_cd_makes_is_run(stage: Stage, action: str, spec: Object) -> None:
    name = stage.does(action, "retl", "accounts")
    again = json.dumps(run_of("accounts") | {"metadata": {"name": name}})
    with pytest.raises(KubectlError, match="already exists"):  # a second click
        stage.argo("create", "-f", "-", input=again)
    ended = stage.shop.until("syncrun", name, phase_is("Succeeded", "Failed"))
    assert (ended["status"]["phase"], health(ended)["status"]) == ("Succeeded", "Healthy")
    assert {field: ended["spec"].get(field, False) for field in spec} == spec
    owner = stage.shop.until("retl", "accounts", free)
    assert [each["uid"] for each in ended["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
    assert offered(owner)["replay"]["disabled"] is False  # the tiny runner always leaves a dead letter


def test_a_sync_is_paused_and_resumed(stage: Stage) -> None:
    stage.does("pause", "retl", "paused")
    paused = stage.shop.until("retl", "paused", lambda o: "nextRunTime" not in o["status"])
    assert (paused["spec"]["state"], health(paused)) == ("Paused", {"status": "Healthy", "message": "Paused"})
    stage.does("resume", "retl", "paused")
    assert stage.shop.until("retl", "paused", lambda o: "nextRunTime" in o["status"])["spec"]["state"] == "Active"


def test_a_run_is_approved_with_the_right_to_and_only_then(stage: Stage) -> None:
    kubectl, name = stage.shop.cluster.kubectl, stage.shop.create(run_of("held"))
    held = stage.shop.until("syncrun", name, phase_is("AwaitingApproval"))
    assert health(held)["status"] == "Suspended"
    with pytest.raises(KubectlError, match=r"spec\.approval needs the right: update syncruns/approval"):
        stage.does("approve", "syncrun", name)
    kubectl("create", "rolebinding", "argo-admin", "--clusterrole=retl-admin", f"--user={ARGO}", "-n", stage.shop.name)
    stage.does("approve", "syncrun", name)
    stage.shop.until("syncrun", name, phase_is("Succeeded"))


def test_a_run_is_cancelled(stage: Stage) -> None:
    name = stage.shop.create(run_of("busy"))
    going = stage.shop.until("syncrun", name, phase_is("Running"))
    assert health(going)["status"] == "Progressing"
    assert health(stage.shop.get("retl", "busy"))["status"] == "Healthy"  # a run is no reason to wait for its sync
    stage.does("cancel", "syncrun", name)
    stage.shop.until("syncrun", name, phase_is("Cancelled"))
    assert offered(stage.shop.get("syncrun", name))["cancel"]["disabled"] is True


@pytest.mark.parametrize(("kind", "name"), [("syncsource", "warehouse"), ("syncdestination", "crm")])
def test_a_connection_is_checked(stage: Stage, kind: str, name: str) -> None:
    kubectl = stage.shop.cluster.kubectl
    kubectl(
        *("create", "rolebinding", f"argo-{name}", "--clusterrole=retl-admin"),
        *(f"--user={ARGO}", "-n", stage.shop.name),
    )
    stage.does("check", kind, name)
    asked = stage.shop.get(kind, name)["metadata"]["annotations"]["reverseetl.io/check-requested-at"]
    checked = stage.shop.until(kind, name, lambda o: o["status"].get("lastHandledCheck") == asked)
    assert health(checked) == {"status": "Healthy", "message": "Checked"}


def test_health_says_of_objects_at_rest_what_kstatus_says(stage: Stage) -> None:
    for kind, name in (("retl", "never"), ("syncmodel", "lost")):
        stage.shop.until(kind, name, lambda o: kstatus(o) == "Failed")
    names = {"Current": ("Healthy",), "Failed": ("Degraded",), "InProgress": ("Progressing",)}
    seen = set()
    for kind in ("retl", "syncsource", "syncmodel", "syncdestination"):
        for live in stage.shop.list(kind):
            told = health(live)["status"]
            assert told in names[kstatus(live)], live["metadata"]["name"]
            seen.add(told)
    assert {"Healthy", "Degraded"} <= seen
