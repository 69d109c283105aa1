"""Admission policies that hold whatever program writes, and the rights that the roles give, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from retl.resources.kinds import DESTINATION, MODEL, SOURCE, SYNC
from retl.resources.owners import owner
from tests.cluster.cluster import PERMISSIONS, POLICIES, Cluster, based
from tests.cluster.kubectl import KubectlError
from tests.cluster.objects import Namespace, crm, object_of, run_of, sync, warehouse
from tests.cluster.processes import wait_until

KINDS = ("reverseetlsyncs", "syncmodels", "syncruns", "syncsources", "syncdestinations")
ARGO = "argocd.argoproj.io/tracking-id"
ROLES = ("viewer", "operator", "admin")


@dataclass(frozen=True)
class Policed:
    """A workspace with a ServiceAccount for each role, on a cluster with the policies."""

    shop: Namespace

    def by(self, role: str, *args: str, key: str = "", input: str | None = None) -> str:
        """What kubectl answers somebody with that role, or why not; with the extra of an API key if one is named."""
        extra = [f"--as-user-extra=reverseetl.io/api-key={key}"] if key else []
        account = f"system:serviceaccount:{self.shop.name}:retl-{role}"
        groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"]
        try:
            return self.shop.cluster.kubectl(
                *args, "-n", self.shop.name, f"--as={account}", *groups, *extra, input=input
            )
        except KubectlError as error:
            return str(error)

    def patch(self, role: str, kind: str, name: str, change: Any, *options: str, key: str = "") -> str:
        return self.by(role, "patch", kind, name, "--type=merge", "-p", json.dumps(change), *options, key=key)


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Policed]:
    kubectl, name = cluster.kubectl, "policed"
    kubectl("apply", *based(*PERMISSIONS, *POLICIES))
    kubectl("create", "namespace", name)
    for role in ROLES:
        kubectl("create", "serviceaccount", f"retl-{role}", "-n", name)
        account = f"--serviceaccount={name}:retl-{role}"
        kubectl("create", "rolebinding", role, f"--clusterrole=retl-{role}", account, "-n", name)
    shop = Namespace(cluster, name)
    shop.apply(warehouse(), crm(), sync("accounts"), {**run_of("accounts"), "metadata": {"name": "held"}})
    policed = Policed(shop)
    # A policy takes about a second to come into force.
    assert wait_until(
        lambda: "denied" in policed.patch("operator", "syncrun", "held", approval("early")), 30, every=0.2
    )
    yield policed
    kubectl("delete", "namespace", name, "--wait=false")


def approval(plan_hash: str) -> dict[str, Any]:
    return {"spec": {"approval": {"planHash": plan_hash}}}


def test_only_who_has_the_right_approves_by_whatever_program(policed: Policed) -> None:
    refused = policed.patch("operator", "syncrun", "held", approval("abc"))
    assert "spec.approval needs the right: update syncruns/approval of reverseetl.io" in refused
    assert "patched" in policed.patch("admin", "syncrun", "held", approval("abc"))
    # Another change by somebody without the right leaves the approval as it is, and is none of its business.
    assert "patched" in policed.patch("operator", "syncrun", "held", {"spec": {"cancel": True}})
    assert "denied" in policed.patch("operator", "syncrun", "held", {"spec": {"approval": None}})
    assert "denied" in policed.patch("operator", "syncrun", "held", approval("other"))


def test_a_run_is_born_approved_only_by_who_may_approve(policed: Policed) -> None:
    born = json.dumps(run_of("accounts", approval={"planHash": "abc"}))
    assert "needs the right" in policed.by("operator", "create", "-f", "-", input=born)
    assert "created" in policed.by("admin", "create", "-f", "-", input=born)
    assert "created" in policed.by("operator", "create", "-f", "-", input=json.dumps(run_of("accounts")))


def itself(kind: str, namespace: str, name: str) -> str:
    return f"reverseetl.io/{kind}:{namespace}/{name}"


FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
MARKS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "argo": ({}, {ARGO: "growth:{itself}"}),
    "argo-copied": ({}, {ARGO: "growth:reverseetl.io/ReverseETLSync:other/accounts"}),
    "argo-nameless": ({}, {ARGO: ":{itself}"}),
    "argo-odd": ({}, {ARGO: "nothing of the kind"}),
    "flux": (FLUX, {}),
    "flux-half": ({"kustomize.toolkit.fluxcd.io/name": "apps"}, {}),
    "flux-empty": (FLUX | {"kustomize.toolkit.fluxcd.io/name": ""}, {}),
    "flux-helm": ({"helm.toolkit.fluxcd.io/name": "crm", "helm.toolkit.fluxcd.io/namespace": "growth"}, {}),
    "helm": ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "crm"}),
    "helm-half": ({"app.kubernetes.io/managed-by": "Helm"}, {}),
    "nobody": ({}, {}),
}


def test_policy_and_service_agree_on_who_keeps_an_object(policed: Policed) -> None:
    manifests = []
    for name, (labels, marks) in MARKS.items():
        named = {key: value.format(itself=itself(SYNC, policed.shop.name, name)) for key, value in marks.items()}
        manifest = sync(name)
        manifest["metadata"] |= {"labels": labels, "annotations": named, "namespace": policed.shop.name}
        manifests.append(manifest)
    policed.shop.apply(*manifests)
    change = {"spec": {"description": "changed"}}
    for manifest in manifests:
        name, keeper = manifest["metadata"]["name"], owner(manifest)
        answer = policed.patch("operator", SYNC, name, change, "--field-manager=retl-api", "--dry-run=server")
        told = f"managed-by-gitops: {SYNC} {name} is kept by {keeper.name}; {keeper.instead}" if keeper else "patched"
        assert told in answer, name


@pytest.mark.parametrize("kind", [SOURCE, MODEL, DESTINATION])
def test_connections_and_models_are_kept_in_the_same_way(policed: Policed, kind: str) -> None:
    query = {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1 AS id", "primaryKey": ["id"]}
    objects = {SOURCE: warehouse("kept"), MODEL: object_of(MODEL, "kept", query), DESTINATION: crm("kept")}
    manifest = objects[kind]
    manifest["metadata"]["annotations"] = {ARGO: f"growth:{itself(kind, policed.shop.name, 'kept')}"}
    policed.shop.apply(manifest)
    change = {"spec": {"sql": "SELECT 2 AS id"} if kind == MODEL else {"checkInterval": "10m"}}
    answer = policed.patch("admin", kind, "kept", change, "--field-manager=retl-api")
    assert f"managed-by-gitops: {kind} kept is kept by Argo CD application growth; change it in Git" in answer
    asked = {"metadata": {"annotations": {"reverseetl.io/check-requested-at": "now"}}}
    assert "patched" in policed.patch("admin", kind, "kept", asked, "--field-manager=retl-api")


@pytest.mark.parametrize("tool", ["argo", "flux", "helm"])
def test_marks_of_others_are_neither_taken_off_nor_changed_nor_added(policed: Policed, tool: str) -> None:
    labels, marks = MARKS[tool]
    named = {key: value.format(itself=itself(SYNC, policed.shop.name, "marked")) for key, value in marks.items()}
    manifest = sync("marked")
    manifest["metadata"] |= {"labels": labels, "annotations": named}
    policed.shop.apply(manifest)
    field, mark = ("annotations", next(iter(named))) if named else ("labels", next(iter(labels)))
    for key, value in ((mark, None), (mark, "other"), ("example.com/seen", "yes")):
        change = {"metadata": {field: {key: value}}}
        answer = policed.patch("operator", SYNC, "marked", change, "--field-manager=retl-api", "--dry-run=server")
        assert "managed-by-gitops" in answer, (key, value)
        assert "patched" in policed.patch("operator", SYNC, "marked", change, "--dry-run=server"), (key, value)
    policed.by("operator", "delete", SYNC, "marked")


def test_only_the_rest_api_is_held_back(policed: Policed) -> None:
    manifest = sync("kept", state="Paused")
    manifest["metadata"]["annotations"] = {ARGO: f"growth:{itself(SYNC, policed.shop.name, 'kept')}"}
    policed.shop.apply(manifest)
    change = {"spec": {"description": "changed"}}
    assert "managed-by-gitops" in policed.patch("operator", SYNC, "kept", change, key="abcdefgh12345678")
    assert "managed-by-gitops" in policed.by("operator", "delete", SYNC, "kept", key="abcdefgh12345678")
    assert "patched" in policed.patch("operator", SYNC, "kept", change)
    assert "deleted" in policed.by("operator", "delete", SYNC, "kept")


RIGHTS = {
    **{f"{verb} {kind}": "viewer operator admin" for verb in ("get", "list", "watch") for kind in KINDS},
    **{f"{verb} {kind}": "operator admin" for verb in ("create", "update", "patch", "delete") for kind in KINDS[:3]},
    **{f"{verb} {kind}": "admin" for verb in ("create", "update", "patch", "delete") for kind in KINDS[3:]},
    **{f"update {kind} --subresource=status": "" for kind in KINDS},
    "get deadletters --subresource=statistics": "viewer operator admin",
    "list deadletters": "operator admin",
    "update deadletters": "operator admin",
    "get syncruns --subresource=plan": "operator admin",
    "get syncruns --subresource=log": "operator admin",
    "update syncruns --subresource=approval": "admin",
    "get pods": "operator admin",
    "get pods --subresource=log": "operator admin",
    "delete pods": "",
    "get secrets": "",
}


def _questions(account: str, namespace: str, rights: list[str]) -> str:
    """SubjectAccessReviews as one list: kubectl would ask for each with a process of its own."""
    items = []
    for right in rights:
        verb, resource, *more = right.split()
        subresource = more[0].partition("=")[2] if more else ""
        group = "" if resource in ("pods", "secrets", "namespaces", "serviceaccounts") else "reverseetl.io"
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        items.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": f"system:serviceaccount:{account}",
                    "groups": ["system:serviceaccounts", "system:authenticated"],
                    "resourceAttributes": attributes | {"namespace": namespace},
                },
            }
        )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _allowed(cluster: Cluster, account: str, namespace: str, rights: list[str]) -> list[str]:
    questions = _questions(account, namespace, rights)
    said = cluster.kubectl("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', input=questions).split()
    return [right for right, allowed in zip(rights, said, strict=True) if allowed == "true"]


def test_each_role_gives_its_rights_and_no_more(policed: Policed) -> None:
    for role in ROLES:
        account = f"{policed.shop.name}:retl-{role}"
        expected = [right for right, roles in RIGHTS.items() if role in roles.split()]
        assert _allowed(policed.shop.cluster, account, policed.shop.name, list(RIGHTS)) == expected, role


@pytest.mark.parametrize(("wide", "role"), [("view", "viewer"), ("edit", "operator"), ("admin", "admin")])
def test_kubernetes_own_roles_hold_ours(policed: Policed, wide: str, role: str) -> None:
    kubectl, name = policed.shop.cluster.kubectl, policed.shop.name
    kubectl("create", "serviceaccount", wide, "-n", name)
    kubectl(
        "create", "rolebinding", f"wide-{wide}", f"--clusterrole={wide}", f"--serviceaccount={name}:{wide}", "-n", name
    )
    ours = [right for right in RIGHTS if right.split()[1] not in ("pods", "secrets")]
    expected = [right for right in ours if role in RIGHTS[right].split()]
    assert wait_until(lambda: _allowed(policed.shop.cluster, f"{name}:{wide}", name, ours) == expected, 30), wide


def test_the_pod_itself_can_do_next_to_nothing(policed: Policed) -> None:
    pod = "retl-system:retl-api"
    everything = [*RIGHTS, "list secrets", "watch secrets", "create secrets", "get namespaces", "list namespaces"]
    everything += ["get serviceaccounts", "list serviceaccounts", "impersonate serviceaccounts"]
    here = ["get namespaces", "list namespaces", "get serviceaccounts"]
    assert _allowed(policed.shop.cluster, pod, policed.shop.name, everything) == here
    assert _allowed(policed.shop.cluster, pod, "retl-system", everything) == ["get secrets", *here]
