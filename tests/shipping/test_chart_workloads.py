"""What each template makes of its values: pods, certificate, database, migration, budgets, Ingress."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from retl.state.sealing import parse_key
from tests.chart import SYSTEM, Values, one, rendered

Manifest = dict[str, Any]
BUNDLED: Values = {"state": {}, "postgresql": {"enabled": True}}
NODES: Values = {
    "priorityClassName": "data-platform",
    "nodeSelector": {"pool": "data"},
    "tolerations": [{"key": "data", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"team": "data"},
}


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """The pod template of each workload, by its name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"] for each in objects if "template" in each.get("spec", {})
    }


def container(pod: Manifest) -> Manifest:
    [only] = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment(pod: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(pod)["env"]}


def decoded(secret: Manifest) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_every_pod_fits_the_restricted_standard_and_writes_to_no_root_file_system() -> None:
    found = pods(rendered(BUNDLED))
    assert sorted(found) == ["retl-api", "retl-controller", "retl-migrate", "retl-postgresql"]
    for name, pod in found.items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == security["fsGroup"] == (999 if name == "retl-postgresql" else 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert pod["spec"]["enableServiceLinks"] is False, name


@pytest.mark.parametrize("component", ["controller", "api"])
def test_a_deployment_goes_where_its_values_say(component: str) -> None:
    pod = pods(rendered({component: {**NODES, "replicas": 3}}))[f"retl-{component}"]
    placed = {name: pod["spec"][name] for name in ("priorityClassName", "nodeSelector", "tolerations", "affinity")}
    assert placed == {name: NODES[name] for name in placed}
    assert pod["metadata"]["annotations"]["team"] == "data"
    assert (
        one(rendered({component: {**NODES, "replicas": 3}}), "Deployment", f"retl-{component}")["spec"]["replicas"] == 3
    )


@pytest.mark.parametrize("component", ["controller", "api"])
def test_replicas_are_spread_over_nodes_and_zones_unless_values_say_how(component: str) -> None:
    pod = pods(rendered())[f"retl-{component}"]
    spread = pod["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for each in spread:
        assert each["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    own = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    told = pods(rendered({component: {"topologySpreadConstraints": own}}))[f"retl-{component}"]
    assert told["spec"]["topologySpreadConstraints"] == own


def test_the_controller_is_started_as_its_values_say() -> None:
    values = {
        "controller": {"workers": 3, "apiRate": 7.5, "apiBurst": 1_000_000, "metricsMaxSyncs": 2_000_000},
        "runner": {
            "serviceAccount": "runs",
            "jobTtl": "1h30m",
            "image": {"pullPolicy": "Never", "tag": "two"},
            "allowedPrivateNetworks": ["10.20.0.0/16", "fd00::/8"],
        },
        "rbac": {"namespaces": ["growth", "sales"]},
        "tls": {"mode": "off"},
    }
    pod = pods(rendered(values))["retl-controller"]
    assert container(pod)["args"] == [
        "controller",
        "--lease-name=retl-controller",
        "--workers=3",
        "--api-rate=7.5",
        "--api-burst=1000000",
        "--metrics-max-syncs=2000000",
        "--runner-service-account=runs",
        "--allowed-private-networks=10.20.0.0/16,fd00::/8",
        "--runner-pull-policy=Never",
        "--job-ttl=1h30m",
        "--namespace=growth",
        "--namespace=sales",
    ]
    assert environment(pod)["RETL_RUNNER_IMAGE"] == "reverse-etl-runner:two"
    assert environment(pod)["RETL_STATE_URL"] == f"http://retl-api.{SYSTEM}.svc:8081"


def test_runners_call_public_addresses_only_unless_values_say_otherwise() -> None:
    assert "--allowed-private-networks=" in container(pods(rendered())["retl-controller"])["args"]


def test_the_api_is_started_as_its_values_say() -> None:
    values = {
        "api": {"rate": 0.5, "burst": 1_000_000, "corsOrigins": ["https://a.example"], "logLevel": "debug"},
        "state": {"existingSecret": "mine", "snapshotUrl": "s3://bucket/part", "snapshotCredentials": "bucket-login"},
        "tls": {"mode": "off"},
    }
    pod = pods(rendered(values))["retl-api"]
    assert container(pod)["args"][2:] == ["--rate=0.5", "--burst=1000000", "--cors-origin=https://a.example"]
    told = environment(pod)
    assert told["RETL_STATE_KEY"] == {"secretKeyRef": {"name": "mine", "key": "key"}}
    assert told["RETL_SNAPSHOT_URL"] == "s3://bucket/part"
    assert told["RETL_CONTROLLER_ACCOUNT"] == f"{SYSTEM}/retl-controller"
    assert container(pod)["envFrom"] == [{"secretRef": {"name": "bucket-login"}}]
    assert pod["spec"]["volumes"] == [
        {"name": "state", "secret": {"secretName": "mine", "items": [{"key": "url", "path": "url"}]}}
    ]


def test_images_come_from_the_registry_and_by_the_digest_that_values_name() -> None:
    digest = f"sha256:{'0' * 64}"
    values = {
        "imageRegistry": "images.example/data/",
        "image": {"digest": digest},
        "imagePullSecrets": [{"name": "login"}],
        "runner": {"image": {"repository": "team/runner"}},
        **BUNDLED,
    }
    found = pods(rendered(values))
    images = {name: container(pod)["image"] for name, pod in found.items()}
    operator = f"images.example/data/reverse-etl-operator@{digest}"
    assert images == {
        "retl-api": operator,
        "retl-controller": operator,
        "retl-migrate": operator,
        "retl-postgresql": "images.example/data/postgres:18",
    }
    assert environment(found["retl-controller"])["RETL_RUNNER_IMAGE"].startswith("images.example/data/team/runner:")
    assert {str(pod["spec"]["imagePullSecrets"]) for pod in found.values()} == {"[{'name': 'login'}]"}


def test_probes_ask_at_ports_that_the_container_has() -> None:
    for name, pod in pods(rendered()).items():
        ports = {port["name"] for port in container(pod).get("ports", ())}
        for probe in ("readinessProbe", "livenessProbe"):
            if name != "retl-migrate":
                assert container(pod)[probe]["httpGet"]["port"] in ports, (name, probe)


def test_services_send_to_pods_and_ports_that_are_there() -> None:
    objects = rendered(BUNDLED)
    found = pods(objects)
    services = [each for each in objects if each["kind"] == "Service"]
    assert {"retl-api", "retl-postgresql"} <= {each["metadata"]["name"] for each in services}
    for service in services:
        selector = service["spec"]["selector"].items()
        [pod] = [pod for pod in found.values() if selector <= pod["metadata"]["labels"].items()]
        ports = {port["name"] for port in container(pod)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, service["metadata"]["name"]


def test_the_apis_service_has_the_address_and_ports_that_values_say() -> None:
    values = {"api": {"service": {"type": "NodePort", "clusterIP": "10.0.0.9", "port": 80, "statePort": 90}}}
    objects = rendered(values)
    service = one(objects, "Service", "retl-api")["spec"]
    assert (service["type"], service["clusterIP"]) == ("NodePort", "10.0.0.9")
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(80, "http"), (90, "state")]
    assert environment(pods(objects)["retl-controller"])["RETL_STATE_URL"].endswith(":90")


def test_a_budget_lets_one_pod_go_at_a_time_and_can_be_left_out() -> None:
    objects = rendered({"controller": {"podDisruptionBudget": False}})
    [budget] = [each for each in objects if each["kind"] == "PodDisruptionBudget"]
    assert (budget["metadata"]["name"], budget["spec"]["maxUnavailable"]) == ("retl-api", 1)
    selector = budget["spec"]["selector"]["matchLabels"].items()
    assert [name for name, pod in pods(objects).items() if selector <= pod["metadata"]["labels"].items()] == [
        "retl-api"
    ]


def test_the_ingress_has_what_people_may_see_and_nothing_of_the_cluster() -> None:
    ingress = {
        "enabled": True,
        "className": "web",
        "host": "retl.example",
        "tlsSecret": "cert",
        "annotations": {"a": "b"},
    }
    made = one(rendered({"api": {"ingress": ingress}}), "Ingress", "retl-api")
    [rule] = made["spec"]["rules"]
    paths = {each["path"]: each["pathType"] for each in rule["http"]["paths"]}
    assert paths == {
        "/api": "Prefix",
        "/docs": "Exact",
        "/docs.css": "Exact",
        "/docs.js": "Exact",
        "/openapi.json": "Exact",
    }
    assert {each["backend"]["service"]["port"]["name"] for each in rule["http"]["paths"]} == {"http"}
    assert (rule["host"], made["spec"]["ingressClassName"]) == ("retl.example", "web")
    assert made["spec"]["tls"] == [{"secretName": "cert", "hosts": ["retl.example"]}]
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert not [each for each in rendered() if each["kind"] == "Ingress"]


def test_the_migration_runs_before_pods_are_replaced_and_after_the_bundled_database_is_there() -> None:
    hooks = {"pre-install,pre-upgrade": rendered(), "post-install,pre-upgrade": rendered(BUNDLED)}
    for when, objects in hooks.items():
        job = one(objects, "Job", "retl-migrate")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == when
        [rule] = job["spec"]["podFailurePolicy"]["rules"]
        assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2])
        pod = job["spec"]["template"]["spec"]
        assert container(job["spec"]["template"])["args"] == ["migrate", "--state-url-file=/etc/retl/state/url"]
        # Before the installation there is no account of the operator's yet, and it needs none.
        assert (pod["automountServiceAccountToken"], pod.get("serviceAccountName")) == (False, None)
    assert not [
        each for each in rendered({"state": {"existingSecret": "a", "migrateHook": False}}) if each["kind"] == "Job"
    ]


def test_the_bundled_database_has_a_login_and_a_key_that_the_api_takes() -> None:
    objects = rendered(BUNDLED)
    secret = one(objects, "Secret", "retl-state")
    told = decoded(secret)
    parse_key(told["key"])
    assert told["url"] == f"postgresql://retl:{told['password']}@retl-postgresql.{SYSTEM}.svc:5432/retl"
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    pod = pods(objects)["retl-postgresql"]
    assert environment(pod)["POSTGRES_PASSWORD"] == {"secretKeyRef": {"name": "retl-state", "key": "password"}}
    assert environment(pod)["PGDATA"].startswith(container(pod)["volumeMounts"][0]["mountPath"])
    [claim] = one(objects, "StatefulSet", "retl-postgresql")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert not [each for each in rendered() if each["kind"] == "StatefulSet"]


def certificate(values: Values) -> dict[str, str]:
    return decoded(one(rendered(values), "Secret", "retl-state-tls"))


@pytest.mark.parametrize("name", [f"retl-api.{SYSTEM}.svc", f"retl-api.{SYSTEM}", "localhost"])
def test_the_charts_certificate_is_good_for_the_names_of_the_service(name: str, tmp_path: Path) -> None:
    made = certificate({"tls": {"mode": "chart"}})
    (tmp_path / "pair").write_text(made["tls.crt"] + made["tls.key"])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "pair")
    asking = ssl.create_default_context(cadata=made["ca.crt"])
    asking.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does of itself
    here, there = socket.socketpair()
    with here, there:
        server = threading.Thread(target=lambda: serving.wrap_socket(there, server_side=True).unwrap())
        server.start()
        with asking.wrap_socket(here, server_hostname=name) as shaken:
            assert shaken.version() == "TLSv1.3"
            shaken.unwrap()
        server.join(5)


TLS_MODES = {
    "chart": ({"mode": "chart"}, "retl-state-tls"),
    "certManager": ({"mode": "certManager"}, "retl-state-tls"),
    "secret": ({"mode": "secret", "existingSecret": "mine"}, "mine"),
}


@pytest.mark.parametrize("mode", TLS_MODES)
def test_the_api_has_the_key_and_the_controller_only_the_ca(mode: str) -> None:
    tls, secret = TLS_MODES[mode]
    found = pods(rendered({"tls": tls}))
    mounted = {name: found[name]["spec"]["volumes"][-1]["secret"] for name in ("retl-api", "retl-controller")}
    assert {name: each["secretName"] for name, each in mounted.items()} == dict.fromkeys(mounted, secret)
    assert [item["key"] for item in mounted["retl-api"]["items"]] == ["tls.crt", "tls.key"]
    assert [item["key"] for item in mounted["retl-controller"]["items"]] == ["ca.crt"]
    assert {"--state-tls-cert=/etc/retl/tls/tls.crt", "--state-tls-key=/etc/retl/tls/tls.key"} <= set(
        container(found["retl-api"])["args"]
    )
    assert "--state-ca-file=/etc/retl/tls/ca.crt" in container(found["retl-controller"])["args"]
    assert environment(found["retl-controller"])["RETL_STATE_URL"] == f"https://retl-api.{SYSTEM}.svc:8081"
    assert found["retl-api"]["metadata"]["annotations"]["reverseetl.io/state-scheme"] == "https"


def test_without_tls_nothing_of_it_is_there() -> None:
    objects = rendered({"tls": {"mode": "off"}})
    found = pods(objects)
    assert found["retl-api"]["metadata"]["annotations"]["reverseetl.io/state-scheme"] == "http"
    assert "tls" not in yaml.safe_dump(
        [container(found["retl-api"])["args"], container(found["retl-controller"])["args"]]
    )
    assert not [each for each in objects if each["metadata"]["name"].startswith("retl-state-tls")]


def test_cert_manager_signs_with_a_ca_that_outlasts_the_certificate_or_with_the_issuer_of_the_values() -> None:
    objects = rendered({"tls": {"mode": "certManager"}})
    ca = one(objects, "Certificate", "retl-state-tls-ca")
    issuer = one(objects, "Issuer", ca["metadata"]["name"])
    leaf = one(objects, "Certificate", "retl-state-tls")
    assert (ca["spec"]["isCA"], issuer["spec"]["ca"]["secretName"]) == (True, ca["spec"]["secretName"])
    assert leaf["spec"]["issuerRef"] == {"name": issuer["metadata"]["name"], "kind": "Issuer"}
    assert f"retl-api.{SYSTEM}.svc" in leaf["spec"]["dnsNames"]
    objects = rendered({"nameOverride": "n" * 40, "tls": {"mode": "certManager"}}, "-n", "s" * 63)
    long = one(objects, "Certificate", f"{'n' * 40}-state-tls-ca")
    assert len(long["spec"]["commonName"]) == 64, "cert-manager refuses a longer one"
    reference = {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    [only] = [
        each
        for each in rendered({"tls": {"mode": "certManager", "issuerRef": reference}})
        if each["apiVersion"].startswith("cert-manager.io/")
    ]
    assert only["spec"]["issuerRef"] == reference


def test_kinds_stay_when_the_release_goes_unless_values_say_otherwise() -> None:
    def kinds(values: Values) -> list[Any]:
        found = [each for each in rendered(values) if each["kind"] == "CustomResourceDefinition"]
        return [each["metadata"]["annotations"].get("helm.sh/resource-policy") for each in found]

    assert kinds({}) == ["keep"] * 5
    assert kinds({"crds": {"keep": False}}) == [None] * 5
    assert kinds({"crds": {"install": False}}) == []


def test_all_objects_are_called_after_the_name_and_carry_the_common_labels() -> None:
    values = {"nameOverride": "sales", "commonLabels": {"team": "data"}, **BUNDLED, "crds": {"install": False}}
    for each in rendered(values):
        assert re.match(r"sales(-|$)", each["metadata"]["name"]), each["metadata"]["name"]
        assert each["metadata"]["labels"]["team"] == "data", each["metadata"]["name"]
