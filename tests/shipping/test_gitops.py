"""The example repository, and what an operator must be for GitOps: nobody's second writer."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import CHART, PROJECT, rendered
from tests.cluster.cluster import PERMISSIONS, POLICIES, Cluster, based
from tests.cluster.conftest import cluster  # noqa: F401 - fixture
from tests.cluster.controllers import ControllerProcess, account, running  # noqa: F401 - fixture
from tests.cluster.controlplane import ControlPlane
from tests.cluster.objects import FAR_AWAY, Namespace, free, jobs, phase_is, pods, ready, run_of
from tests.cluster.processes import wait_until
from tests.programs import program
from tests.shipping.argo import act, health, merge_patch
from tests.shipping.foreign import module

REPOSITORY = PROJECT / "examples" / "gitops"
TEAM = REPOSITORY / "teams" / "growth"
ARGO_CD = "github.com/argoproj/argo-cd/v3@v3.2.1"
WAVE = "argocd.argoproj.io/sync-wave"
TRACKING = "argocd.argoproj.io/tracking-id"
MANAGER = "argocd-controller"
ROUNDS = 100
Manifest = dict[str, Any]


def read(*paths: Path) -> list[Manifest]:
    return [each for path in paths for each in yaml.safe_load_all(path.read_text())]


def applications() -> dict[str, Manifest]:
    found = read(REPOSITORY / "root.yaml", *sorted((REPOSITORY / "apps").glob("*.yaml")))
    return {each["metadata"]["name"]: each for each in found if each["kind"] == "Application"}


def built() -> list[Manifest]:
    """The team's objects as kustomize makes them, which is what Argo CD applies."""
    made = subprocess.run(
        [program("kubectl"), "kustomize", TEAM], capture_output=True, text=True, check=True, timeout=60
    )
    return list(yaml.safe_load_all(made.stdout))


def test_everything_in_the_repository_is_right_as_far_as_can_be_known_without_a_cluster() -> None:
    done = subprocess.run([program("retl"), "validate", "-f", TEAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok") == 4


def test_the_api_server_takes_every_file(cluster: Cluster) -> None:  # noqa: F811
    kubectl = cluster.kubectl
    kinds = [module(ARGO_CD) / "manifests" / "crds" / f"{name}-crd.yaml" for name in ("application", "appproject")]
    kubectl("apply", "--server-side", *(part for path in kinds for part in ("-f", str(path))))

    def established() -> bool:
        found = kubectl("get", "crd", "applications.argoproj.io", "appprojects.argoproj.io", "-o", "json")
        # `kubectl wait` and its JSONPath fail at conditions that are still null.
        stated = [
            condition
            for crd in json.loads(found)["items"]
            for condition in crd.get("status", {}).get("conditions") or []
        ]
        return [c["status"] for c in stated if c["type"] == "Established"] == ["True", "True"]

    assert wait_until(established, 30)
    for namespace in ("argocd", "growth"):
        kubectl("create", "namespace", namespace)
    ask = ("apply", "--server-side", "--dry-run=server", "--field-manager", MANAGER)
    said = kubectl(*ask, "-f", str(REPOSITORY / "root.yaml"), "-f", str(REPOSITORY / "apps"))
    assert said.count("serverside-applied") == 4
    assert kubectl(*ask, "-k", str(TEAM)).count("serverside-applied") == 4
    kubectl("delete", "namespace", "argocd", "growth", "--wait=false")


def test_each_path_that_an_application_names_is_there() -> None:
    for application in applications().values():
        path = application["spec"]["source"]["path"]
        where = PROJECT if path.startswith("charts/") else REPOSITORY
        assert (where / path).is_dir(), path


def test_the_operators_application_renders_the_same_each_time() -> None:
    values = applications()["reverse-etl-operator"]["spec"]["source"]["helm"]["valuesObject"]
    command = [str(program("helm")), "template", "retl", str(CHART), "-n", "retl-system", "-f", "-"]
    made = {
        subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(made) == 1
    [runners] = [
        each
        for each in rendered(values)
        if each["metadata"]["name"] == "retl-runners" and each["kind"] == "NetworkPolicy"
    ]
    assert runners["metadata"]["namespace"] == applications()["growth"]["spec"]["destination"]["namespace"]


def test_waves_go_the_way_of_the_references() -> None:
    waves = {each["kind"]: int(each["metadata"]["annotations"][WAVE]) for each in built()}
    assert waves["SyncSource"] == waves["SyncDestination"] < waves["SyncModel"] < waves["ReverseETLSync"]
    apps = {
        name: int(each["metadata"]["annotations"][WAVE])
        for name, each in applications().items()
        if name != "reverse-etl"
    }
    assert apps["reverse-etl-operator"] < apps["growth"]


def test_the_teams_project_permits_what_is_in_git_and_what_actions_make() -> None:
    [project] = [each for each in read(REPOSITORY / "apps" / "projects.yaml") if each["kind"] == "AppProject"]
    permitted = {each["kind"] for each in project["spec"]["namespaceResourceWhitelist"]}
    assert {each["kind"] for each in built()} | {"SyncRun"} <= permitted
    growth = applications()["growth"]["spec"]
    assert growth["destination"] in project["spec"]["destinations"]
    assert growth["source"]["repoURL"] in project["spec"]["sourceRepos"]


@dataclass(frozen=True)
class Kept:
    """A namespace that is kept as Git has it, and in which a controller works."""

    shop: Namespace
    wanted: list[Manifest]
    generations: dict[str, int]

    def apply(self, times: int) -> None:
        """What Argo CD does with each sync; in one process, so that it is quick."""
        stream = yaml.safe_dump_all(self.wanted * times, sort_keys=False)
        command = ("apply", "--server-side", "--force-conflicts", "--field-manager", MANAGER, "-f", "-")
        self.shop.cluster.kubectl(*command, input=stream, timeout=200)

    def live(self) -> dict[str, Manifest]:
        return {each["kind"]: self.shop.get(each["kind"], each["metadata"]["name"]) for each in self.wanted}


@pytest.fixture(scope="module")
def kept(
    cluster: Cluster,  # noqa: F811
    account: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Kept]:
    kubectl, name = cluster.kubectl, f"gitops-{secrets.token_hex(3)}"
    kubectl("apply", *based(*PERMISSIONS, *POLICIES))
    shop = Namespace(cluster, name).make()
    for secret in ("warehouse-login", "crm-login"):
        kubectl("create", "secret", "generic", secret, "-n", name, "--from-literal=token=t")
    wanted = [_tracked(each, name) for each in built()]
    # The tiny runner does what the sync's object says, and ticks are not what this is about.
    [sync] = [each for each in wanted if each["kind"] == "ReverseETLSync"]
    sync["spec"] |= {"object": "wait", "schedule": FAR_AWAY}
    kept = Kept(shop, wanted, {})
    with running(ControllerProcess(tmp_path_factory.mktemp("gitops"), account, [name])):
        kept.apply(1)
        kept.generations.update({kind: each["metadata"]["generation"] for kind, each in kept.live().items()})
        kept.shop.until("retl", "accounts-to-crm", ready)
        yield kept
    shop.drop()


def _tracked(manifest: Manifest, namespace: str) -> Manifest:
    """With the mark that Argo CD leaves on what it keeps."""
    metadata = manifest["metadata"] | {"namespace": namespace}
    mark = f"growth:reverseetl.io/{manifest['kind']}:{namespace}/{metadata['name']}"
    return manifest | {"metadata": metadata | {"annotations": metadata["annotations"] | {TRACKING: mark}}}


def drift(wanted: Any, live: Any) -> bool:
    """Whether anything that Git has is otherwise in the cluster; what Git does not have is nobody's business."""
    if isinstance(wanted, dict):
        return not isinstance(live, dict) or any(drift(value, live.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        pairs = zip(wanted, live, strict=False) if isinstance(live, list) else ()
        return not isinstance(live, list) or len(wanted) != len(live) or any(drift(*pair) for pair in pairs)
    return bool(wanted != live)


def test_a_hundred_syncs_while_runs_go_on_change_nothing_and_nothing_drifts(kept: Kept, cluster: Cluster) -> None:  # noqa: F811
    shop = kept.shop
    going = shop.create(run_of("accounts-to-crm"))
    shop.until("syncrun", going, phase_is("Running"))
    kept.apply(ROUNDS // 2)
    held = [shop.get("retl", "accounts-to-crm"), *jobs(shop), *pods(shop), shop.get("syncrun", going)]
    assert [TRACKING in each["metadata"].get("annotations", {}) for each in held] == [True, False, False, False]
    shop.patch("syncrun", going, {"spec": {"cancel": True}})
    shop.until("syncrun", going, phase_is("Cancelled"))
    kept.apply(ROUNDS // 2)
    shop.until("retl", "accounts-to-crm", free)
    live = kept.live()
    assert {kind: each["metadata"]["generation"] for kind, each in live.items()} == kept.generations
    for each in kept.wanted:
        now = live[each["kind"]]
        assert not drift(each, now), now
        assert health(now)["status"] == "Healthy"
        assert "finalizers" not in now["metadata"]
    if cluster.control_plane is not None:
        _every_round_was_seen(cluster.control_plane, shop, len(kept.wanted))


def _every_round_was_seen(plane: ControlPlane, shop: Namespace, objects: int) -> None:
    made = [
        event
        for event in plane.audit_events()
        if event["verb"] == "patch"
        and f"fieldManager={MANAGER}" in event["requestURI"]
        and event["objectRef"].get("namespace") == shop.name
        and event["responseStatus"]["code"] in (200, 201)
    ]
    assert len(made) == (1 + ROUNDS) * objects


def test_the_operator_owns_the_status_of_what_git_keeps_and_nothing_else(kept: Kept) -> None:
    for each in kept.live().values():
        fields = kept.shop.cluster.kubectl(
            *("get", each["kind"], each["metadata"]["name"], "-n", kept.shop.name),
            *("--show-managed-fields", "-o", "jsonpath={.metadata.managedFields}"),
        )
        owners = {(entry["manager"], entry.get("subresource", "")): entry["fieldsV1"] for entry in json.loads(fields)}
        assert set(owners) == {(MANAGER, ""), ("retl-controller", "status")}
        assert set(owners["retl-controller", "status"]) == {"f:status"}


def test_at_rest_a_sync_does_not_even_move_a_resource_version(kept: Kept) -> None:
    shop = kept.shop
    shop.until("retl", "accounts-to-crm", lambda live: "activeRun" not in live["status"])
    before = {kind: each["metadata"]["resourceVersion"] for kind, each in kept.live().items()}
    kept.apply(3)
    assert {kind: each["metadata"]["resourceVersion"] for kind, each in kept.live().items()} == before


def test_a_pause_lasts_where_git_does_not_say_the_state_and_only_there(kept: Kept) -> None:
    shop, name = kept.shop, "accounts-to-crm"
    [wanted] = [each for each in kept.wanted if each["kind"] == "ReverseETLSync"]
    shop.patch("retl", name, act_patch("pause", shop.get("retl", name)))
    kept.apply(1)
    assert shop.get("retl", name)["spec"]["state"] == "Paused"
    assert not drift(wanted, shop.get("retl", name))
    outspoken = wanted | {"spec": wanted["spec"] | {"state": "Active"}}
    assert drift(outspoken, shop.get("retl", name))
    Kept(shop, [outspoken], {}).apply(1)
    assert shop.get("retl", name)["spec"]["state"] == "Active"


def act_patch(action: str, live: Manifest) -> Manifest:
    made = act(action, live)
    assert isinstance(made, dict)
    return merge_patch(live, made)


@pytest.mark.parametrize(
    ("wanted", "live", "drifts"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"a": 2}, True),
        ({"a": {"b": 1}}, {}, True),
        ({"a": [1, 2]}, {"a": [1]}, True),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
    ],
)
def test_drift_is_what_argo_cd_would_show(wanted: Any, live: Any, drifts: bool) -> None:
    assert drift(wanted, live) is drifts
