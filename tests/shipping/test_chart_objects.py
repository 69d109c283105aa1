"""What the chart renders is what the API server knows, what linters let pass, and what it is installed as."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import CHART, PROJECT, SYSTEM, Helm, rendered
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.programs import program

EXAMPLES = sorted(CHART.glob("examples/*.yaml"))
example = pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)

TESTED_BY = {
    "shipping/test_chart_install.py": {"NOTES.txt", "preconditions.yaml"},
    "shipping/test_chart_workloads.py": {
        *("_names.tpl", "api.yaml", "controller.yaml", "crds.yaml", "ingress.yaml"),
        *("migrate.yaml", "pdb.yaml", "postgresql.yaml", "tls.yaml"),
    },
    "shipping/test_monitoring_objects.py": {
        *("monitoring/dashboard.yaml", "monitoring/rules.yaml"),
        *("monitoring/service.yaml", "monitoring/servicemonitor.yaml"),
    },
    "shipping/test_namespaced_rights.py": {"rbac/controller.yaml", "rbac/dead-letter-readers.yaml"},
    "shipping/test_network.py": {"flowschema.yaml", "networkpolicy.yaml"},
    "shipping/test_policies.py": {"policies/runners.yaml"},
    "cluster/test_rest_policies.py": {
        *("policies/approval.yaml", "policies/gitops.yaml", "rbac/api.yaml", "rbac/user-roles.yaml"),
    },
}
"""The templates of which each module shows what they make, or that they do what they are for."""

ALL_RIGHT = 10
"""Grade of kube-score; 1 is critical, 5 a warning, 7 almost right."""
LET_PASS = {
    "container-image-pull-policy": "tags are never moved, and digests cannot be",
    "container-ephemeral-storage-request-and-limit": "the only volumes on the node's disk have a sizeLimit",
    "deployment-has-host-podantiaffinity": "topology spread constraints spread over nodes, and zones as well",
    "networkpolicy-targets-pod": "that of runners is for pods that the controller makes",
    "deployment-replicas": "to try it out, one of each is enough",
}
"""Checks of kube-score that nothing here has to pass, with the reason."""
LET_PASS_OF = {
    "postgresql": {
        "container-security-context-user-group-id": "999 is the user of the image, and owns its files",
        "pod-probes": "no livenessProbe: what kills a server that recovers makes it recover for longer",
    },
    "migrate": {"pod-networkpolicy": "it runs before the policies of its release are there"},
}


def test_the_chart_has_the_version_of_the_program() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], str(chart["appVersion"])) == (project["version"], project["version"])


def test_each_template_has_tests() -> None:
    there = {str(path.relative_to(CHART / "templates")) for path in CHART.glob("templates/**/*.*")}
    assert there == set().union(*TESTED_BY.values())
    assert [path for path in TESTED_BY if not (PROJECT / "tests" / path).exists()] == []


@example
def test_helm_finds_nothing_to_say_against_the_chart(helm: Helm, values: Path) -> None:
    helm("lint", "--strict", CHART, "--values", values)


def test_every_object_fits_the_schemas_of_the_api_server(schemas: str) -> None:
    documents = dumped(each for values in EXAMPLES for each in of_example(values))
    command = [str(program("kubeconform")), "-strict", "-schema-location", schemas, "-"]
    done = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@example
def test_kube_score_finds_only_what_there_is_a_reason_for(values: Path) -> None:
    command = [str(program("kube-score")), "score", "--kubernetes-version", "v1.32", "--output-format", "json"]
    # No CPU limits: a controller that is held back cannot renew its Lease.
    command += ["--ignore-container-cpu-limit", "-"]
    documents = dumped(of_example(values))
    done = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=60)
    found = {
        (each["object_name"], check["check"]["id"]): [comment["summary"] for comment in check["comments"] or ()]
        for each in json.loads(done.stdout)
        for check in each["checks"]
        if not check["skipped"] and check["grade"] < ALL_RIGHT
    }
    for name, check in list(found):
        if check in {**LET_PASS, **LET_PASS_OF.get(name.rpartition("-")[2], {})}:
            del found[name, check]
    assert found == {}


@pytest.mark.skipif(shutil.which("kube-linter") is None, reason="there is no kube-linter on PATH")
@example
def test_kube_linter_finds_nothing(values: Path, tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text(dumped(of_example(values)))
    done = subprocess.run(["kube-linter", "lint", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@example
def test_the_api_server_takes_every_object(plane: ControlPlane, installed: Helm, values: Path) -> None:
    objects = [each for each in of_example(values) if each["kind"] != "CustomResourceDefinition"]  # they are there
    for name in ("growth", "growth-staging"):
        if name not in plane.kubectl("get", "namespaces", "--output=name"):
            plane.kubectl("create", "namespace", name)
    documents = dumped(objects)
    command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-", "--output=name")
    taken = plane.kubectl(*command, input=documents).split()
    assert len(taken) == len(objects)


def test_every_pod_is_let_into_a_namespace_that_takes_only_restricted_ones(plane: ControlPlane) -> None:
    namespace = "restricted"
    plane.kubectl("create", "namespace", namespace)
    plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    made: list[dict[str, Any]] = []
    for each in of_example(CHART / "examples" / "values-evaluation.yaml"):
        if template := each.get("spec", {}).get("template"):
            metadata = {**template["metadata"], "name": each["metadata"]["name"]}
            spec = {**template["spec"], "serviceAccountName": "default", "volumes": volumes(each)}
            made.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    assert len(made) == 4
    documents = dumped(made)
    plane.kubectl("create", f"--namespace={namespace}", "--dry-run=server", "-f", "-", input=documents)
    made[0]["spec"]["hostNetwork"] = True
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        plane.kubectl("create", f"--namespace={namespace}", "--dry-run=server", "-f", "-", input=json.dumps(made[0]))


def volumes(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """The volumes of its pods, with those that a StatefulSet adds."""
    spec = workload["spec"]
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
    claimed = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return [*spec["template"]["spec"].get("volumes", ()), *claimed]


def dumped(objects: Iterable[dict[str, Any]]) -> str:
    """The objects as YAML."""
    return yaml.dump_all(objects, Dumper=yaml.CSafeDumper)


def of_example(path: Path) -> list[dict[str, Any]]:
    """The chart's objects with the values of a file."""
    return rendered({"state": {}, **yaml.safe_load(path.read_text())})


def test_the_controller_may_do_what_it_is_installed_with_and_no_more(plane: ControlPlane, installed: Helm) -> None:
    as_controller = ("--as", f"system:serviceaccount:{SYSTEM}:retl-controller", "-n", "default")
    assert plane.kubectl("auth", "can-i", "create", "jobs.batch", *as_controller).strip() == "yes"
    rules = plane.kubectl("auth", "can-i", "--list", *as_controller)
    assert "pods/exec" not in rules
