"""The policy on runners, asked by the real API server: what their Jobs and pods are given, and who makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from retl.controller.check_job import check_job
from retl.controller.manifests import job
from retl.controller.settings import RunnerSettings
from retl.resources.sync import Runner
from retl.runspec.check import CheckSpec
from retl.runspec.pod import CHECK_SPEC_ANNOTATION, RUN_SPEC_ANNOTATION, SECRETS_ANNOTATION
from tests.cluster.cluster import PERMISSIONS, POLICIES, Cluster, based
from tests.cluster.conftest import cluster  # noqa: F401 - fixture
from tests.cluster.kubectl import KubectlError
from tests.cluster.objects import Namespace
from tests.cluster.processes import wait_until
from tests.unit.controller.views import meta, run_spec

CONTROLLER = "system:serviceaccount:retl-system:retl-controller"
PERSON = "ada"
SETTINGS = RunnerSettings(image="runner:test", state_url="https://retl-api.retl-system.svc:8081")
MARK = {"app.kubernetes.io/managed-by": "reverse-etl-operator"}
Manifest = dict[str, Any]
Change = Callable[[Manifest], object]

NOT_ITS_OWN = "a runner gets the Secrets of its own source and destination, and no storage; not volume "
FROM_FILES = "a runner reads its Secrets from files"
ITS_TOKEN = "a runner gets a token for the state service only"
ITS_NODE = "a runner has a network and processes of its own"
ITS_MAKERS = "reverse-etl-operator is for the Jobs of its controller, and for their pods"


def run_job() -> Manifest:
    """The Job of a run whose two ends log in with Secret `login`."""
    return job(meta("accounts-1"), run_spec("login"), Runner(), SETTINGS, {})


def a_check_job() -> Manifest:
    spec = run_spec("login")
    check = CheckSpec(kind="SyncDestination", namespace="growth", number=1, connection=spec.destination)
    return check_job(meta("crm"), check, SETTINGS)


@dataclass(frozen=True)
class Policed:
    cluster: Cluster
    name: str

    def by(self, user: str, *args: str, manifest: Manifest | None = None) -> str:
        """What kubectl answers somebody, or why not; nothing is made."""
        given = (
            json.dumps(manifest | {"metadata": manifest["metadata"] | {"namespace": self.name}}) if manifest else None
        )
        groups = ("--as-group=system:authenticated", "--as-group=system:serviceaccounts")
        try:
            return self.cluster.kubectl(*args, "-n", self.name, f"--as={user}", *groups, input=given)
        except KubectlError as error:
            return str(error)

    def creates(self, user: str, manifest: Manifest) -> str:
        return self.by(user, "create", "--dry-run=server", "-f", "-", manifest=manifest)


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Policed]:  # noqa: F811
    kubectl, name = cluster.kubectl, "policed-runners"
    kubectl("apply", *based(*PERMISSIONS, *POLICIES))
    place = Namespace(cluster, name).make()
    kubectl("create", "rolebinding", "edit", "--clusterrole=edit", f"--user={PERSON}", "-n", name)
    kubectl("create", "clusterrole", "debugs", "--verb=get,patch", "--resource=pods/ephemeralcontainers")
    kubectl("create", "rolebinding", "debugs", "--clusterrole=debugs", f"--user={PERSON}", "-n", name)
    policed = Policed(cluster, name)
    # A policy takes about a second to come into force.
    assert wait_until(lambda: ITS_MAKERS in policed.creates(PERSON, run_job()), 30, every=0.2)
    yield policed
    place.drop()
    kubectl("delete", "clusterrole", "debugs")


def pod_of(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: Manifest) -> Manifest:
    first: Manifest = pod_of(manifest)["containers"][0]
    return first


def volume(**source: Any) -> Change:
    return lambda manifest: pod_of(manifest)["volumes"].append({"name": "more", **source})


def variable(**source: Any) -> Change:
    return lambda manifest: container(manifest)["env"].append({"name": "MORE", "valueFrom": source})


def first_container(**fields: Any) -> Change:
    return lambda manifest: pod_of(manifest).update(
        initContainers=[{"name": "first", "image": "runner:test", "resources": {}} | fields]
    )


def audience(manifest: Manifest) -> None:
    [token] = [each["projected"]["sources"][0] for each in pod_of(manifest)["volumes"] if "projected" in each]
    token["serviceAccountToken"]["audience"] = "https://kubernetes.default.svc"


def unmarked(manifest: Manifest) -> None:
    for metadata in (manifest["metadata"], manifest["spec"]["template"]["metadata"]):
        del metadata["labels"]


def both(*changes: Change) -> Change:
    return lambda manifest: [change(manifest) for change in changes]


def annotation(name: str, text: str) -> Change:
    return lambda manifest: manifest["spec"]["template"]["metadata"]["annotations"].update({name: text})


def unlisted(manifest: Manifest) -> None:
    del manifest["spec"]["template"]["metadata"]["annotations"][SECRETS_ANNOTATION]


def host(what: str) -> Change:
    return lambda manifest: pod_of(manifest).update({what: True})


OTHER = volume(secret={"secretName": "payroll"})
NAMED = '{"config":{"headers":{"secret":"payroll"}}}'
KEY = {"secretKeyRef": {"name": "login", "key": "password"}}


@pytest.mark.parametrize("made", [run_job, a_check_job])
def test_what_the_controller_makes_is_let_through(policed: Policed, made: Callable[[], Manifest]) -> None:
    assert "created" in policed.creates(CONTROLLER, made())


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param(OTHER, NOT_ITS_OWN + "more", id="another-secret"),
        pytest.param(both(OTHER, unmarked), NOT_ITS_OWN + "more", id="another-secret-without-the-mark"),
        pytest.param(volume(secret={"secretName": "log"}), NOT_ITS_OWN + "more", id="half-of-its-name"),
        pytest.param(both(OTHER, annotation(RUN_SPEC_ANNOTATION, NAMED)), NOT_ITS_OWN, id="named-in-its-config"),
        pytest.param(both(OTHER, annotation(CHECK_SPEC_ANNOTATION, NAMED)), NOT_ITS_OWN, id="named-in-a-check"),
        pytest.param(both(OTHER, unlisted), NOT_ITS_OWN, id="without-a-list"),
        pytest.param(volume(projected={"sources": [{"secret": {"name": "payroll"}}]}), NOT_ITS_OWN, id="projected"),
        pytest.param(
            volume(projected={"sources": [{"podCertificate": {"signerName": "example.com/x", "keyType": "ED25519"}}]}),
            NOT_ITS_OWN,
            id="a-certificate",
        ),
        pytest.param(volume(hostPath={"path": "/"}), NOT_ITS_OWN, id="the-node"),
        pytest.param(volume(persistentVolumeClaim={"claimName": "data"}), NOT_ITS_OWN, id="a-volume-claim"),
        pytest.param(volume(csi={"driver": "secrets-store.csi.k8s.io"}), NOT_ITS_OWN, id="a-secret-store"),
        pytest.param(variable(**KEY), FROM_FILES, id="a-variable"),
        pytest.param(
            lambda manifest: container(manifest).update(envFrom=[{"secretRef": {"name": "payroll"}}]),
            FROM_FILES,
            id="all-variables",
        ),
        pytest.param(first_container(env=[{"name": "MORE", "valueFrom": KEY}]), FROM_FILES, id="in-an-init-container"),
        pytest.param(
            lambda manifest: pod_of(manifest).update(automountServiceAccountToken=True), ITS_TOKEN, id="an-api-token"
        ),
        pytest.param(audience, ITS_TOKEN, id="a-token-for-the-api"),
        *(pytest.param(host(what), ITS_NODE, id=what) for what in ("hostNetwork", "hostPID", "hostIPC")),
    ],
)
def test_a_job_that_asks_for_more_is_refused(policed: Policed, change: Change, refused: str) -> None:
    manifest = deepcopy(run_job())
    change(manifest)
    assert refused in policed.creates(CONTROLLER, manifest)


def test_what_a_mesh_adds_to_a_pod_is_let_through(policed: Policed) -> None:
    manifest = run_job()
    for change in (
        volume(configMap={"name": "mesh"}),
        first_container(env=[{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]),
    ):
        change(manifest)
    assert "created" in policed.creates(CONTROLLER, manifest)


def as_pod(manifest: Manifest) -> Manifest:
    """The pod as the Job controller makes it of the Job's template."""
    template = manifest["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", **template["metadata"]},
        "spec": template["spec"],
    }


MESH = volume(projected={"sources": [{"serviceAccountToken": {"audience": "mesh-ca", "path": "token"}}]})
API = volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]})


def made_pod(policed: Policed, change: Change) -> None:
    """The pod of a run, which is changed on its way; the Job controller of the tests' cluster is an administrator."""
    manifest = run_job()
    change(manifest)
    make = ("create", "--dry-run=server", "-n", policed.name, "-f", "-")
    policed.cluster.kubectl(*make, input=json.dumps(as_pod(manifest)))


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param(OTHER, f"{NOT_ITS_OWN}more", id="a-secret"),
        pytest.param(API, ITS_TOKEN, id="a-token-for-the-api"),
        pytest.param(audience, ITS_TOKEN, id="its-token-is-for-the-api"),
        pytest.param(host("hostNetwork"), ITS_NODE, id="the-nodes-network"),
        pytest.param(
            lambda manifest: pod_of(manifest).update(automountServiceAccountToken=True), ITS_TOKEN, id="all-tokens"
        ),
    ],
)
def test_a_runners_pod_is_given_no_more_on_its_way(policed: Policed, change: Change, refused: str) -> None:
    with pytest.raises(KubectlError, match=refused):
        made_pod(policed, change)


@pytest.mark.parametrize(
    "change", [pytest.param(MESH, id="a-token-for-a-mesh"), pytest.param(unlisted, id="of-a-job-before-lists")]
)
def test_a_runners_pod_is_let_through(policed: Policed, change: Change) -> None:
    made_pod(policed, change)


def test_nobody_else_makes_what_passes_for_a_runner(policed: Policed) -> None:
    assert ITS_MAKERS in policed.creates(PERSON, run_job())
    assert ITS_MAKERS in policed.creates(PERSON, as_pod(run_job()))
    hidden = run_job()
    del hidden["metadata"]["labels"]
    assert ITS_MAKERS in policed.creates(PERSON, hidden), "the mark on its pods is enough"


def test_other_jobs_and_pods_are_none_of_its_business(policed: Policed) -> None:
    theirs = run_job()
    for change in (unmarked, OTHER, variable(**KEY)):
        change(theirs)
    assert "created" in policed.creates(PERSON, theirs)
    assert "created" in policed.creates(PERSON, as_pod(theirs) | {"metadata": {"name": "theirs"}})


def test_a_pod_is_not_made_a_runner_later_nor_shown_more(policed: Policed) -> None:
    create = ("create", "-n", policed.name, "-f", "-")
    kubectl = policed.cluster.kubectl
    plain = {"name": "plain", "image": "runner:test"}
    spec = {"containers": [plain], "automountServiceAccountToken": False}
    theirs = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "theirs"}, "spec": spec}
    kubectl(*create, input=json.dumps(theirs))
    kubectl(*create, input=json.dumps(as_pod(run_job())))
    label = ("label", "pod", "theirs", *(f"{name}={value}" for name, value in MARK.items()))
    assert ITS_MAKERS in policed.by(PERSON, *label)
    assert "labeled" in policed.by(PERSON, "label", "pod", "p", "seen=yes"), "of a runner all else may change"

    def debug(**fields: Any) -> str:
        change = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "tools", **fields}]}}
        more = ("--subresource=ephemeralcontainers", "--dry-run=server", "-p", json.dumps(change))
        return policed.by(PERSON, "patch", "pod", "p", *more)

    assert FROM_FILES in debug(env=[{"name": "MORE", "valueFrom": KEY}])
    assert "patched" in debug()
