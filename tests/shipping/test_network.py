"""Who reaches whom under the chart's NetworkPolicies, and which place its requests have in the API server."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from retl.controller.check_job import check_job
from retl.controller.manifests import job
from retl.controller.settings import RunnerSettings
from retl.resources.sync import Runner
from retl.runspec.check import CheckSpec
from tests.chart import SYSTEM, one, rendered
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster  # noqa: F401 - fixture
from tests.cluster.controllers import account  # noqa: F401 - fixture
from tests.cluster.kubectl import Access
from tests.cluster.processes import wait_until
from tests.shipping.network import Peer, reaches
from tests.unit.controller.views import meta, run_spec

Manifest = dict[str, Any]
HELD: Mapping[str, Any] = {
    "state": {},
    "postgresql": {"enabled": True},
    "rbac": {"namespaces": ["growth", "finance"]},
    "networkPolicy": {
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "operatorTo": [{"cidr": "10.0.0.1/32", "ports": [443]}],
        "runners": [
            {"namespace": "growth", "to": [{"cidr": "10.20.0.0/24", "ports": [5432]}, {"cidr": "203.0.113.7/32"}]},
            {"namespace": "finance", "to": []},
        ],
    },
}
SETTINGS = RunnerSettings(image="runner:test", state_url="https://retl-api.retl-system.svc:8081")
DNS = Peer("kube-system", {"k8s-app": "kube-dns"})
API_SERVER, WAREHOUSE, CRM = Peer(address="10.0.0.1"), Peer(address="10.20.0.9"), Peer(address="203.0.113.7")
STRANGER, PROMETHEUS, INGRESS = Peer("default", {"app": "shop"}), Peer("monitoring"), Peer("ingress")
HTTP, STATE_PORT, METRICS, POSTGRESQL, HTTPS = 8080, 8081, 8080, 5432, 443


def policies(values: Mapping[str, Any]) -> list[Manifest]:
    return [each for each in rendered(values) if each["kind"] == "NetworkPolicy"]


def pod(objects: list[Manifest], kind: str, name: str) -> Peer:
    """The pod of a workload, with its labels and the ports that it names."""
    template = one(objects, kind, name)["spec"]["template"]
    ports = template["spec"]["containers"][0].get("ports", [])
    return Peer(SYSTEM, template["metadata"]["labels"], {each["name"]: each["containerPort"] for each in ports})


def runner(namespace: str) -> Peer:
    """The pod of a run, as the controller makes it."""
    made = job(meta("accounts-1"), run_spec(), Runner(), SETTINGS, {})
    return Peer(namespace, made["spec"]["template"]["metadata"]["labels"])


def checker(namespace: str) -> Peer:
    """The pod of a check."""
    check = CheckSpec(kind="SyncDestination", namespace="growth", number=1, connection=run_spec().destination)
    made = check_job(meta("crm"), check, SETTINGS)
    return Peer(namespace, made["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize("of", [runner, checker])
def test_runners_reach_dns_the_state_service_and_what_is_declared(of: Any) -> None:
    objects, held = rendered(HELD), policies(HELD)
    api, controller = pod(objects, "Deployment", "retl-api"), pod(objects, "Deployment", "retl-controller")
    growth, finance = of("growth"), of("finance")
    for protocol in ("UDP", "TCP"):
        assert reaches(held, growth, DNS, 53, protocol)
        assert reaches(held, growth, Peer(address="169.254.20.10"), 53, protocol)
    assert reaches(held, growth, api, STATE_PORT)
    assert reaches(held, growth, WAREHOUSE, POSTGRESQL)
    assert reaches(held, growth, CRM, HTTPS)
    assert reaches(held, growth, CRM, 8443), "no ports are declared of it"
    for other, port in (
        (WAREHOUSE, 22),
        (Peer(address="10.20.1.9"), POSTGRESQL),
        (API_SERVER, HTTPS),
        (api, HTTP),
        (controller, METRICS),
        (pod(objects, "StatefulSet", "retl-postgresql"), POSTGRESQL),
        (DNS, HTTPS),
        (Peer("default", DNS.labels), 53),
        (STRANGER, HTTP),
        (runner("growth"), HTTP),
    ):
        assert not reaches(held, growth, other, port), (other, port)
    assert reaches(held, finance, api, STATE_PORT)
    assert not reaches(held, finance, WAREHOUSE, POSTGRESQL), "what growth may, finance may not"
    assert not reaches(held, STRANGER, growth, HTTP), "nobody has to reach a runner"


def test_the_state_service_is_for_runners_and_the_controller() -> None:
    objects, held = rendered(HELD), policies(HELD)
    api, controller = pod(objects, "Deployment", "retl-api"), pod(objects, "Deployment", "retl-controller")
    assert reaches(held, controller, api, STATE_PORT)
    for other in (STRANGER, PROMETHEUS, INGRESS, Peer(SYSTEM, {"app": "other"}), runner("elsewhere")):
        assert not reaches(held, other, api, STATE_PORT), other
    everywhere = policies({})
    assert reaches(everywhere, runner("elsewhere"), api, STATE_PORT), "the operator works in all namespaces"
    assert not reaches(everywhere, STRANGER, api, STATE_PORT)


def test_people_and_prometheus_reach_their_ports_alone() -> None:
    objects, held = rendered(HELD), policies(HELD)
    api, controller = pod(objects, "Deployment", "retl-api"), pod(objects, "Deployment", "retl-controller")
    assert (reaches(held, INGRESS, api, HTTP), reaches(held, PROMETHEUS, api, HTTP)) == (True, True)
    assert (reaches(held, STRANGER, api, HTTP), reaches(held, STRANGER, controller, METRICS)) == (False, False)
    assert (reaches(held, PROMETHEUS, controller, METRICS), reaches(held, INGRESS, controller, METRICS)) == (
        True,
        False,
    )
    free = policies({})
    assert (reaches(free, STRANGER, api, HTTP), reaches(free, STRANGER, controller, METRICS)) == (True, True)


def test_the_operators_pods_reach_the_api_server_and_the_database() -> None:
    objects, held = rendered(HELD), policies(HELD)
    api, database = pod(objects, "Deployment", "retl-api"), pod(objects, "StatefulSet", "retl-postgresql")
    for each in (api, pod(objects, "Deployment", "retl-controller")):
        assert reaches(held, each, API_SERVER, HTTPS)
        assert reaches(held, each, DNS, 53, "UDP")
        assert not reaches(held, each, CRM, HTTPS)
        assert reaches(policies({}), each, CRM, HTTPS), "nothing is declared, so all may be reached"
    assert reaches(held, api, database, POSTGRESQL)
    assert reaches(held, pod(objects, "Job", "retl-migrate"), database, POSTGRESQL)
    assert not reaches(held, pod(objects, "Deployment", "retl-controller"), database, POSTGRESQL)
    assert not reaches(held, database, CRM, HTTPS)


def test_there_is_a_policy_of_runners_where_it_is_declared_and_none_without_policies() -> None:
    found = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in policies(HELD)}
    ours = {(SYSTEM, f"retl-{name}") for name in ("controller", "api", "postgresql")}
    assert found == ours | {(team, "retl-runners") for team in ("growth", "finance")}
    assert policies({"networkPolicy": {"enabled": False}}) == []


def test_the_api_server_keeps_a_place_for_what_the_operator_asks(
    cluster: Cluster,  # noqa: F811
    account: Path,  # noqa: F811
) -> None:
    kinds = ("FlowSchema", "PriorityLevelConfiguration")
    made = [each for each in rendered() if each["kind"] in kinds]
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    uids = [
        cluster.kubectl("get", kind.lower(), "retl", "-o", "jsonpath={.metadata.uid}")
        for kind in ("FlowSchema", "PriorityLevelConfiguration")
    ]

    def places(kubeconfig: Path) -> list[str]:
        access = Access.load(kubeconfig)
        trust = ssl.create_default_context(cafile=str(access.ca_file))
        headers = {"Authorization": f"Bearer {access.token}"}
        path = "/apis/reverseetl.io/v1alpha1/reverseetlsyncs?limit=1"
        answer = httpx.get(f"{access.server}{path}", headers=headers, verify=trust, trust_env=False)
        assert answer.status_code == 200, answer.text
        return [answer.headers.get(f"X-Kubernetes-PF-{name}-UID", "") for name in ("FlowSchema", "PriorityLevel")]

    assert wait_until(lambda: places(account) == uids, 30, every=0.2)
    assert places(cluster.kubeconfig) != uids, "an administrator's request is not the operator's"
