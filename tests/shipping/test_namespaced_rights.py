"""An operator that is given some namespaces: it works there by RoleBindings alone, and can do nothing elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart import SYSTEM, rendered
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster  # noqa: F401 - fixture
from tests.cluster.controllers import ControllerProcess, running
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import Access
from tests.cluster.objects import EVERY_MINUTE, Namespace, crm, free, ready, sync, warehouse
from tests.cluster.processes import wait_until

NAME = "retl-teams"
CONTROLLER = f"system:serviceaccount:{SYSTEM}:{NAME}-controller"
POD = f"system:serviceaccount:{SYSTEM}:{NAME}-api"


@dataclass(frozen=True)
class Teams:
    """Two namespaces that the operator is given, and one that it is not."""

    ours: tuple[Namespace, Namespace]
    other: Namespace
    kubeconfig: Path

    def may(self, user: str, place: Namespace, *words: str) -> bool:
        """`kubectl auth can-i`, which says no by its exit code."""
        attributes = dict(zip(("verb", "group", "resource", "subresource", "name"), words, strict=False))
        spec = {"user": user, "resourceAttributes": attributes | {"namespace": place.name}}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        said = place.cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", input=json.dumps(review))
        return said == "true"


@pytest.fixture(scope="module")
def teams(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teams]:  # noqa: F811
    kubectl, suffix = cluster.kubectl, secrets.token_hex(3)
    places = [Namespace(cluster, f"{name}-{suffix}").make() for name in ("growth", "finance", "elsewhere")]
    for place in places:
        place.apply(warehouse(), crm(), sync("accounts", schedule=EVERY_MINUTE))
    if not kubectl("get", "namespace", SYSTEM, "--ignore-not-found"):
        kubectl("create", "namespace", SYSTEM)
    kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": _rights(places[:2])}))
    token = kubectl("create", "token", f"{NAME}-controller", "-n", SYSTEM, "--duration=1h").strip()
    admin, path = Access.load(cluster.kubeconfig), tmp_path_factory.mktemp("teams") / "kubeconfig"
    Access(admin.server, admin.ca_file, token).save(path, f"{NAME}-controller")
    yield Teams((places[0], places[1]), places[2], path)
    kubectl("delete", "namespace", *(place.name for place in places), "--wait=false")


def _rights(places: list[Namespace]) -> list[dict[str, Any]]:
    """What the chart gives the operator of these namespaces, apart from its pods."""
    values = {
        "nameOverride": NAME,
        "rbac": {"namespaces": [place.name for place in places], "userRoles": False},
        "crds": {"install": False},
        "policies": {"install": False},
    }
    found = [each for each in rendered(values) if each["kind"] == "ServiceAccount" or "rbac" in each["apiVersion"]]
    controllers = [each for each in found if each.get("roleRef", {}).get("name") == f"{NAME}-controller"]
    assert {each["kind"] for each in controllers} == {"RoleBinding"}, "no right of the controller's is cluster-wide"
    return found


def test_a_sync_runs_where_the_operator_is_at_home_and_nowhere_else(
    teams: Teams,
    cluster: Cluster,  # noqa: F811
    tmp_path: Path,
) -> None:
    names = [place.name for place in teams.ours]
    controller = ControllerProcess(tmp_path, teams.kubeconfig, names, lease=NAME)
    with running(controller):
        for place in teams.ours:
            place.until("retl", "accounts", ready)
        controller.advance(60)
        for place in teams.ours:
            done = place.until("retl", "accounts", free)
            assert done["status"]["lastRun"]["phase"] == "Succeeded"
    assert "status" not in teams.other.get("retl", "accounts")
    plane = cluster.control_plane
    if plane is not None:
        assert _refused(plane) == [], "it asks for nothing that it may not"


def _refused(plane: ControlPlane) -> list[str]:
    ours = (event for event in plane.audit_events() if event["user"]["username"] == CONTROLLER)
    return [event["requestURI"] for event in ours if event["responseStatus"]["code"] in (401, 403)]


def test_a_controller_that_is_not_told_its_namespaces_says_what_it_lacks(teams: Teams, tmp_path: Path) -> None:
    controller = ControllerProcess(tmp_path, teams.kubeconfig)
    with running(controller):
        assert wait_until(lambda: not controller.program.running(), 60)
    assert "the API server refuses this controller; check its ServiceAccount and ClusterRole" in controller.log()


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (CONTROLLER, ("create", "batch", "jobs")),
        (CONTROLLER, ("get", "", "secrets")),
        (CONTROLLER, ("update", "reverseetl.io", "syncruns", "status")),
        (POD, ("impersonate", "", "serviceaccounts", "", f"{NAME}-operator")),
    ],
    ids=lambda words: "-".join(filter(None, words)) if isinstance(words, tuple) else "",
)
def test_rights_end_at_the_namespaces_that_are_named(teams: Teams, user: str, words: tuple[str, ...]) -> None:
    assert [teams.may(user, place, *words) for place in (*teams.ours, teams.other)] == [True, True, False]


def test_dead_letters_are_read_with_the_two_roles_for_it_and_nothing_else(teams: Teams) -> None:
    kubectl, home, person = teams.other.cluster.kubectl, Namespace(teams.other.cluster, SYSTEM), "grace"
    team, other = teams.ours
    reach, speak = f"--role={NAME}-deadletters", f"--clusterrole={NAME}-deadletters-namespace"
    for where, role in ((home, reach), (team, speak)):
        kubectl("create", "rolebinding", "reads", role, f"--user={person}", "-n", where.name)
    needed = {
        "list pods": home,
        "get pods portforward": home,
        "create pods portforward": home,
        "create serviceaccounts token default": team,
    }
    assert {right for right, place in needed.items() if _may_core(teams, person, place, right)} == set(needed)
    beyond = [
        (home, "create pods exec"),
        (home, "get secrets"),
        (home, f"create serviceaccounts token {NAME}-api"),
        (team, "create serviceaccounts token deployer"),
        (other, "create serviceaccounts token default"),
    ]
    assert [right for place, right in beyond if _may_core(teams, person, place, right)] == []


def _may_core(teams: Teams, person: str, place: Namespace, right: str) -> bool:
    verb, *what = right.split()
    return teams.may(person, place, verb, "", *what)


@pytest.mark.parametrize(
    ("rbac", "roles", "aggregated"),
    [({}, 3, 3), ({"aggregate": False}, 3, 0), ({"userRoles": False}, 0, 0)],
    ids=["both", "not-aggregated", "none"],
)
def test_roles_of_people_are_part_of_kubernetes_own_unless_that_is_not_wanted(
    rbac: dict[str, bool], roles: int, aggregated: int
) -> None:
    names = {f"retl-{name}" for name in ("viewer", "operator", "admin")}
    found = [each for each in rendered({"rbac": rbac}) if each["metadata"]["name"] in names]
    marked = [each for each in found if any("aggregate-to" in label for label in each["metadata"]["labels"])]
    assert (len(found), len(marked)) == (roles, aggregated)
