"""What the chart renders is what the API server knows, and what it is installed as."""

from __future__ import annotations

import subprocess
import tomllib

import yaml

from tests.chart import CHART, PROJECT, SYSTEM, Helm, rendered
from tests.cluster.controlplane import ControlPlane
from tests.programs import program


def test_the_chart_has_the_version_of_the_program() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], str(chart["appVersion"])) == (project["version"], project["version"])


def test_helm_finds_nothing_to_say_against_the_chart(helm: Helm) -> None:
    helm("lint", "--strict", CHART)


def test_every_object_fits_the_schemas_of_the_api_server(schemas: str) -> None:
    documents = yaml.safe_dump_all(rendered())
    command = [str(program("kubeconform")), "-strict", "-schema-location", schemas, "-"]
    done = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_controller_may_do_what_it_is_installed_with_and_no_more(plane: ControlPlane, installed: Helm) -> None:
    as_controller = ("--as", f"system:serviceaccount:{SYSTEM}:retl-controller", "-n", "default")
    assert plane.kubectl("auth", "can-i", "create", "jobs.batch", *as_controller).strip() == "yes"
    rules = plane.kubectl("auth", "can-i", "--list", *as_controller)
    assert "pods/exec" not in rules
