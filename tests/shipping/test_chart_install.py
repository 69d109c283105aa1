"""What helm says where the cluster is not as the chart needs it, and what is left when a release goes.

Each refusal says what to change, and leaves the cluster as it was. The tests go from an empty cluster to one with two
installations and back, in this order.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT, RELEASE, STATE_KEY, SYSTEM, Helm, HelmError, Values
from tests.cluster.controlplane import ControlPlane

KINDS = ("reverseetlsyncs", "syncruns", "syncsources", "syncmodels", "syncdestinations")
CRDS = tuple(f"{kind}.reverseetl.io" for kind in KINDS)
URL = "postgresql://nobody@127.0.0.1:1/state"
STATE: Values = {"existingSecret": "state-database", "migrateHook": False}
"""There is no node here: the hook that migrates the database would wait for its pod."""
SECOND: Values = {
    "nameOverride": "second",
    "rbac": {"namespaces": ["sales"]},
    "crds": {"install": False},
    "policies": {"install": False},
    "state": STATE,
}
SECOND_PLACE: dict[str, Any] = {"release": "second", "namespace": "second-system"}
FIRST: Values = {"state": STATE, "rbac": {"namespaces": ["growth"]}}
"""What leaves room for a second one."""
OWN = "app.kubernetes.io/name=reverse-etl-operator"
OF_A_RELEASE = (
    "all,secrets,serviceaccounts,configmaps,ingresses,networkpolicies,poddisruptionbudgets,roles,rolebindings,"
    "clusterroles,clusterrolebindings,crds,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "flowschemas,prioritylevelconfigurations"
)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Kubernetes with nothing on it but the operator's namespace and one of a team."""
    with ControlPlane() as started:
        for name in (SYSTEM, "growth"):
            started.kubectl("create", "namespace", name)
        yield started


@pytest.fixture(scope="module")
def helm(plane: ControlPlane) -> Helm:
    return Helm(plane.kubeconfig)


def refusal(helm: Helm, values: Values, **where: Any) -> str:
    """What helm says instead of installing."""
    with pytest.raises(HelmError) as caught:
        helm.install(values, **where)
    found = re.search(r"preconditions\.yaml:\d+:\d+\): (.+)", str(caught.value))
    assert found, caught.value
    return found[1]


def left(plane: ControlPlane) -> set[str]:
    """What of any release is in the cluster."""
    found = plane.kubectl("get", OF_A_RELEASE, "--all-namespaces", f"--selector={OWN}", "--output=name")
    return set(found.split())


def make_secret(plane: ControlPlane, name: str, *, namespace: str = SYSTEM, **data: str) -> None:
    literals = [f"--from-literal={key}={value}" for key, value in data.items()]
    plane.kubectl("create", "secret", "generic", name, f"--namespace={namespace}", *literals)


def data(plane: ControlPlane, name: str) -> dict[str, str]:
    secret = json.loads(plane.kubectl("get", "secret", name, f"--namespace={SYSTEM}", "--output=json"))
    assert isinstance(secret["data"], dict)
    return secret["data"]


def make_sync(plane: ControlPlane, namespace: str) -> None:
    """One object of each kind; the sync has a run that never ends."""
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in CRDS))
    specs = {
        "SyncSource": {"connector": "postgres", "config": {"host": "h", "database": "d"}},
        "SyncModel": {"sourceRef": {"name": "one"}, "sql": "SELECT 1 AS id", "primaryKey": ["id"]},
        "SyncDestination": {"connector": "http", "config": {"url": "http://127.0.0.1:1/"}},
        "ReverseETLSync": {
            "modelRef": {"name": "one"},
            "destinationRef": {"name": "one"},
            "object": "account",
            "mappings": [{"source": "id", "destination": "id", "key": True}],
        },
        "SyncRun": {"syncRef": {"name": "one"}},
    }
    items = [
        {"apiVersion": "reverseetl.io/v1alpha1", "kind": kind, "metadata": {"name": "one"}, "spec": spec}
        for kind, spec in specs.items()
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    plane.kubectl("create", f"--namespace={namespace}", "-f", "-", input=manifest)


def syncs(plane: ControlPlane, namespace: str) -> int:
    """How many objects of the operator's kinds there are."""
    found = plane.kubectl("get", ",".join(KINDS), f"--namespace={namespace}", "--output=name")
    return len(found.split())


def follow(plane: ControlPlane, said: str) -> None:
    """Run the commands of a message."""
    commands = re.findall(r"kubectl ((?:annotate|label) [^;]+)", said)
    assert commands, said
    for command in commands:
        plane.kubectl(*shlex.split(command))


def test_a_state_secret_that_is_not_there_is_named(plane: ControlPlane, helm: Helm) -> None:
    said = refusal(helm, {"state": STATE})
    assert said.startswith(f"state.existingSecret: there is no Secret state-database in namespace {SYSTEM}. Create it")
    assert left(plane) == set()
    assert helm("list", "--all-namespaces", "--short").split() == []


UNFIT = [
    ({"url": URL}, "Secret state-database in namespace retl-system has no key key. Add it"),
    (
        {"url": "mysql://ada:hush@db/state", "key": STATE_KEY},
        "url in Secret state-database in namespace retl-system",
    ),
    ({"url": URL, "key": "aHVzaA=="}, "key in Secret state-database in namespace retl-system is not 32 bytes in base"),
]


@pytest.mark.parametrize(("data", "message"), UNFIT)
def test_a_state_secret_that_no_pod_could_start_with_is_named_without_what_is_in_it(
    plane: ControlPlane, helm: Helm, data: dict[str, str], message: str
) -> None:
    make_secret(plane, "state-database", **data)
    said = refusal(helm, {"state": STATE})
    assert message in said
    assert not any(secret in said for secret in ("hush", "aHVzaA"))
    plane.kubectl("delete", "secret", "state-database", f"--namespace={SYSTEM}")


def test_what_the_state_secret_needs_is_enough(plane: ControlPlane, helm: Helm) -> None:
    make_secret(plane, "state-database", url=URL, key=STATE_KEY)
    assert refusal(helm, {"state": STATE, "crds": {"install": False}}).startswith("crds.install: is false")


MISSING = [
    (
        {"crds": {"install": False}},
        r"crds\.install: is false, and the cluster has no CustomResourceDefinition \w+\.reve",
    ),
    ({"rbac": {"namespaces": ["nowhere"]}}, r"rbac\.namespaces: there is no namespace nowhere\. Create it first"),
    (
        {"networkPolicy": {"runners": [{"namespace": "nowhere", "to": []}]}},
        r"networkPolicy\.runners: there is no namespace nowhere\. Create it first",
    ),
    (
        {"tls": {"mode": "secret", "existingSecret": "mine"}},
        r"tls\.existingSecret: there is no Secret mine in namespace",
    ),
    (
        {"state": {**STATE, "snapshotCredentials": "mine"}},
        r"state\.snapshotCredentials: there is no Secret mine in namespace retl-system\. Create it with the keys",
    ),
    ({"api": {"priorityClassName": "first"}}, r"api\.priorityClassName: there is no PriorityClass first\. Create it"),
    ({"tls": {"mode": "certManager"}}, r"tls\.mode: is certManager, and cert-manager is not installed\. Install it"),
    ({"monitoring": {"serviceMonitor": {"enabled": True}}}, r"monitoring\.serviceMonitor\.enabled: is true, and Prom"),
    ({"monitoring": {"rules": {"enabled": True}}}, r"monitoring\.rules\.enabled: is true, and Prometheus Operator is"),
]


@pytest.mark.parametrize(("values", "message"), MISSING)
def test_what_the_cluster_lacks_is_named_with_what_to_do(
    plane: ControlPlane, helm: Helm, values: Values, message: str
) -> None:
    assert re.match(message, refusal(helm, {"state": STATE, **values}))


def test_kinds_of_an_older_version_are_refused_where_somebody_else_is_to_upgrade_them(
    plane: ControlPlane, helm: Helm, tmp_path: Path
) -> None:
    older = shutil.copytree(PROJECT / "crds", tmp_path / "crds")
    definition = older / "reverseetl.io_reverseetlsyncs.yaml"
    crd = yaml.safe_load(definition.read_text())
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["displayName"], fields["mappings"]["items"]["properties"]["skipNulls"]
    fields["state"]["enum"].remove("Paused")
    definition.write_text(yaml.safe_dump(crd))
    plane.apply_crds(older)
    said = refusal(helm, {"state": STATE, "crds": {"install": False}})
    assert said.startswith(
        f"crds.install: is false, and CustomResourceDefinition {CRDS[0]} is older than the operator: it lacks "
        ".spec.displayName, .spec.mappings[].skipNulls, .spec.state=Paused. Apply those of version"
    )
    plane.apply_crds(PROJECT / "crds")
    stored = json.dumps({"status": {"storedVersions": ["v1alpha1", "v9"]}})
    plane.kubectl("patch", "crd", CRDS[1], "--subresource=status", "--type=merge", f"--patch={stored}")
    said = refusal(helm, {"state": STATE, "crds": {"install": False}})
    assert said.startswith(f"crds: objects of {CRDS[1]} are stored in version v9, which version")
    stored = json.dumps({"status": {"storedVersions": ["v1alpha1"]}})
    plane.kubectl("patch", "crd", CRDS[1], "--subresource=status", "--type=merge", f"--patch={stored}")


def test_kinds_that_are_there_without_helm_become_the_releases_as_the_message_says(
    plane: ControlPlane, helm: Helm
) -> None:
    said = refusal(helm, {"state": STATE})
    assert "is there, and no release of Helm made it. Set crds.install=false to use it as it is; or hand all" in said
    follow(plane, said)
    helm.install({"state": STATE})


def test_leaving_the_kinds_to_somebody_else_never_takes_syncs_along(plane: ControlPlane, helm: Helm) -> None:
    """Helm deletes what was in the release before, unless the object itself says that it stays."""
    others: Values = {"state": STATE, "crds": {"install": False}}
    helm.install({"state": STATE, "crds": {"keep": False}})
    assert "nothing says that CustomResourceDefinition" in refusal(helm, others)

    plane.kubectl("delete", "crd", *CRDS)
    plane.apply_crds(PROJECT / "crds")
    make_sync(plane, "default")
    handing = refusal(helm, {"state": STATE})
    assert "is there, and no release of Helm made it. Hand all of them to this release: kubectl" in handing
    follow(plane, refusal(helm, others))
    helm.install(others)
    assert syncs(plane, "default") == len(KINDS)

    follow(plane, handing)
    helm.install({"state": STATE})
    assert syncs(plane, "default") == len(KINDS)


def test_the_notes_say_how_to_go_on(plane: ControlPlane, helm: Helm) -> None:
    notes = helm("get", "notes", RELEASE, "-n", SYSTEM)
    assert f"kubectl -n {SYSTEM} rollout status deploy/retl-controller deploy/retl-api" in notes
    assert "Uninstalling keeps the CustomResourceDefinitions, and with them all syncs and runs" in notes
    assert "networkPolicy.runners names no namespace: runners may reach any address." in notes


def test_an_upgrade_does_not_rename_what_is_installed(plane: ControlPlane, helm: Helm) -> None:
    said = refusal(helm, {"state": STATE, "nameOverride": "other"})
    assert said.startswith("nameOverride: is other, and this release is installed under the name retl.")


def test_kinds_that_somebody_deleted_come_back_with_an_upgrade(plane: ControlPlane, helm: Helm) -> None:
    plane.kubectl("delete", "crd", *CRDS)
    helm.install({"state": STATE})
    assert {f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS} <= left(plane)


def test_a_second_installation_is_refused_while_the_first_works_everywhere(plane: ControlPlane, helm: Helm) -> None:
    for name in (SECOND_PLACE["namespace"], "sales"):
        plane.kubectl("create", "namespace", name)
    make_secret(plane, "state-database", url=URL, key=STATE_KEY, namespace=SECOND_PLACE["namespace"])

    said = refusal(helm, {"state": STATE}, **SECOND_PLACE)
    assert f"already installed in this cluster under the name retl, as release {SYSTEM}/{RELEASE}" in said
    assert "needs another nameOverride, rbac.namespaces of its own" in said
    said = refusal(helm, {"state": STATE, "nameOverride": "second"}, **SECOND_PLACE)
    assert said.startswith("rbac.namespaces: is empty, so this controller would work in all namespaces")
    said = refusal(helm, SECOND, **SECOND_PLACE)
    assert "works in all namespaces, hence in these, too. Set its rbac.namespaces first" in said


def test_a_certificate_stays_through_upgrades_until_its_secret_is_deleted(plane: ControlPlane, helm: Helm) -> None:
    first = data(plane, "retl-state-tls")
    helm.install(FIRST)
    assert data(plane, "retl-state-tls") == first
    plane.kubectl("delete", "secret", "retl-state-tls", f"--namespace={SYSTEM}")
    helm.install(FIRST)
    assert data(plane, "retl-state-tls").keys() == first.keys()
    assert data(plane, "retl-state-tls")["tls.key"] != first["tls.key"]


def test_the_charts_certificate_outlasts_the_mode_that_made_it(plane: ControlPlane, helm: Helm) -> None:
    """Helm deletes what was in the release before, unless the object itself says that it stays."""
    own = {**FIRST, "tls": {"mode": "secret", "existingSecret": "retl-state-tls"}}
    first = data(plane, "retl-state-tls")
    said = refusal(helm, own)
    assert said.startswith(f"tls.existingSecret: Secret retl-state-tls in namespace {SYSTEM} is one that this release")
    follow(plane, said)
    helm.install(own)
    assert data(plane, "retl-state-tls") == first
    helm.install(FIRST)
    assert data(plane, "retl-state-tls") == first


def test_a_second_installation_has_a_name_and_namespaces_of_its_own(plane: ControlPlane, helm: Helm) -> None:
    said = refusal(helm, {**SECOND, "rbac": FIRST["rbac"]}, **SECOND_PLACE)
    assert "works in namespace growth. Leave it to one of both" in said
    said = refusal(helm, {**SECOND, "crds": {"install": True}}, **SECOND_PLACE)
    assert f"is there, and release {SYSTEM}/{RELEASE} made it. Set crds.install=false" in said
    helm.install(SECOND, **SECOND_PLACE)


def test_one_of_two_installations_goes_without_touching_the_other(plane: ControlPlane, helm: Helm) -> None:
    both = left(plane)
    helm("uninstall", "second", "-n", "second-system", "--wait")
    gone = both - left(plane)
    assert gone
    assert {name.partition("/")[2].partition("-")[0] for name in gone} == {"second"}
    assert not [name for name in left(plane) if "/second" in name]


def test_login_and_key_of_the_bundled_database_outlast_upgrades_and_the_release(
    plane: ControlPlane, helm: Helm
) -> None:
    bundled = {"state": {"migrateHook": False}, "postgresql": {"enabled": True}}
    said = refusal(helm, {"postgresql": {"enabled": True}})
    assert said.endswith("Set state.migrateHook=false for this one upgrade.")
    helm.install(bundled)
    first = data(plane, "retl-state")
    helm.install({**bundled, "commonLabels": {"team": "data"}})
    assert data(plane, "retl-state") == first
    helm("uninstall", RELEASE, "-n", SYSTEM, "--wait")
    assert data(plane, "retl-state") == first
    helm.install(bundled)
    assert data(plane, "retl-state") == first


def test_a_volume_whose_login_is_gone_is_not_taken_for_a_new_one(plane: ControlPlane, helm: Helm) -> None:
    helm("uninstall", RELEASE, "-n", SYSTEM, "--wait")
    plane.kubectl("delete", "secret", "retl-state", f"--namespace={SYSTEM}")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-retl-postgresql-0", "namespace": SYSTEM},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    plane.kubectl("create", "-f", "-", input=json.dumps(claim))
    said = refusal(helm, {"state": {"migrateHook": False}, "postgresql": {"enabled": True}})
    assert "PersistentVolumeClaim data-retl-postgresql-0" in said
    assert "Secret retl-state with its password and key is gone. Restore the Secret" in said


def test_syncs_stay_when_the_release_goes_and_hold_nothing_up(plane: ControlPlane, helm: Helm) -> None:
    helm.install({"state": STATE})
    make_sync(plane, "growth")
    make_sync(plane, "sales")
    helm("uninstall", RELEASE, "-n", SYSTEM, "--wait")
    assert left(plane) == {f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS}
    assert syncs(plane, "growth") == len(KINDS)
    plane.kubectl("delete", "namespace", "growth", "--timeout=60s")


def test_the_next_release_takes_syncs_over_and_takes_them_along_where_it_is_told_to(
    plane: ControlPlane, helm: Helm
) -> None:
    helm.install({"state": STATE, "crds": {"keep": False}})
    assert syncs(plane, "sales") == len(KINDS)
    helm("uninstall", RELEASE, "-n", SYSTEM, "--wait")
    assert left(plane) == set()
    plane.kubectl("delete", "namespace", "sales", "--timeout=60s")
