"""From one version of the chart to the next and back, with syncs there: they stay as they are, and what fails stops.

The older version is today's chart under an older number, whose syncs lack a field. The tests are one story, in this
order.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import CHART, RELEASE, STATE_KEY, SYSTEM, Helm, HelmError, Values
from tests.cluster.controlplane import ControlPlane
from tests.shipping.test_crd_compatibility import read, spec
from tools.release import version

OLDER = "0.0.9"
CRD = "reverseetlsyncs.reverseetl.io"
FIELD = "displayName"
VALUES: Values = {
    "state": {"existingSecret": "state-database", "migrateHook": False},
    "controller": {"replicas": 3},
    "tls": {"mode": "chart"},
}
OBJECTS = Path(__file__).parent / "crds-0.1.0" / "objects.yaml"
STATUS = {"observedGeneration": 1, "deadLetters": 7, "lastSuccessTime": "2026-11-22T10:00:00Z"}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Kubernetes with nothing but the operator's namespace and its Secret."""
    with ControlPlane() as started:
        started.kubectl("create", "namespace", SYSTEM)
        literals = ("--from-literal=url=postgresql://nobody@127.0.0.1:1/state", f"--from-literal=key={STATE_KEY}")
        started.kubectl("create", "secret", "generic", "state-database", "-n", SYSTEM, *literals)
        yield started


@pytest.fixture(scope="module")
def helm(plane: ControlPlane) -> Helm:
    return Helm(plane.kubeconfig)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the version before."""
    chart = tmp_path_factory.mktemp("older") / CHART.name
    shutil.copytree(CHART, chart)
    manifest = chart / "Chart.yaml"
    manifest.write_text(re.sub(r"^(version|appVersion): .*$", rf"\1: {OLDER}", manifest.read_text(), flags=re.M))
    crd = chart / "files" / "crds" / "reverseetl.io_reverseetlsyncs.yaml"
    definition = read(crd)
    del spec(definition)["properties"][FIELD]
    crd.write_text(yaml.safe_dump(definition))
    return chart


def get(plane: ControlPlane, kind: str, name: str, namespace: str = SYSTEM) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plane.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
    return found


def kept(plane: ControlPlane) -> dict[str, Any]:
    """What belongs to people: of each object its identity, wishes and status."""
    kinds = "syncsources,syncmodels,syncdestinations,reverseetlsyncs,syncruns"
    found = json.loads(plane.kubectl("get", kinds, "-n", "default", "-o", "json"))["items"]
    return {
        each["metadata"]["uid"]: (each["metadata"]["generation"], each["spec"], each.get("status")) for each in found
    }


def deployed(plane: ControlPlane) -> dict[str, tuple[str, int, int]]:
    """Image, replicas and generation of each Deployment."""
    found = json.loads(plane.kubectl("get", "deployments", "-n", SYSTEM, "-o", "json"))["items"]
    return {
        each["metadata"]["name"]: (
            each["spec"]["template"]["spec"]["containers"][0]["image"],
            each["spec"]["replicas"],
            each["metadata"]["generation"],
        )
        for each in found
    }


def release(helm: Helm) -> tuple[str, str]:
    """State of the release, and the version of the chart that it is of."""
    [found] = json.loads(helm("history", RELEASE, "-n", SYSTEM, "--max", "1", "-o", "json"))
    return found["status"], found["chart"].removeprefix(f"{CHART.name}-")


def upgrade(helm: Helm, *arguments: str) -> None:
    """To today's chart, as docs/operate/upgrade.md says."""
    helm("upgrade", RELEASE, CHART, "-n", SYSTEM, "--reset-then-reuse-values", *arguments)


@pytest.fixture(scope="module")
def before(plane: ControlPlane, helm: Helm, older: Path) -> dict[str, Any]:
    """What people have, with the older version installed: objects of all kinds, one with a status."""
    helm.install(VALUES, chart=older)
    plane.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")
    objects = list(yaml.load_all(OBJECTS.read_text(), yaml.CSafeLoader))
    for each in objects:
        each["spec"].pop(FIELD, None)
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump_all(objects))
    status = json.dumps({"status": STATUS})
    sync = "reverseetlsync/accounts-to-crm"
    plane.kubectl("patch", sync, "-n", "default", "--subresource=status", "--type=merge", "-p", status)
    return kept(plane)


def certificate(plane: ControlPlane) -> dict[str, str]:
    data: dict[str, str] = get(plane, "secret", "retl-state-tls")["data"]
    return data


def test_an_upgrade_brings_new_kinds_and_pods_and_leaves_syncs_values_and_certificate(
    plane: ControlPlane, helm: Helm, before: dict[str, Any]
) -> None:
    shown = certificate(plane)
    assert FIELD not in spec(get(plane, "crd", CRD))["properties"]
    assert deployed(plane)["retl-controller"][:2] == (f"reverse-etl-operator:{OLDER}", 3)

    upgrade(helm)

    assert release(helm) == ("deployed", version())
    assert FIELD in spec(get(plane, "crd", CRD))["properties"]
    assert kept(plane) == before
    assert any(status == STATUS for _, _, status in before.values())
    assert deployed(plane)["retl-controller"][:2] == (f"reverse-etl-operator:{version()}", 3)
    assert certificate(plane) == shown


def _fail_migration(plane: ControlPlane) -> None:
    """There is no node, so the hook's pod never starts; its Job is told to give up."""
    given_up = json.dumps({"spec": {"activeDeadlineSeconds": 1}})
    plane.kubectl("wait", "--for=create", "job/retl-migrate", "-n", SYSTEM, "--timeout=30s")
    plane.kubectl("patch", "job", "retl-migrate", "-n", SYSTEM, "--type=merge", "-p", given_up)


def test_a_migration_that_fails_stops_the_upgrade_before_any_pod_is_replaced(
    plane: ControlPlane, helm: Helm, before: dict[str, Any]
) -> None:
    pods = deployed(plane)
    values = ("--set", "state.migrateHook=true", "--set", "image.tag=next", "--timeout", "60s")
    with ThreadPoolExecutor(1) as aside:
        failed = aside.submit(_fail_migration, plane)
        with pytest.raises(HelmError, match="pre-upgrade hooks failed"):
            upgrade(helm, *values)
        failed.result()
    assert release(helm) == ("failed", version())
    assert (deployed(plane), kept(plane)) == (pods, before)

    upgrade(helm, "--set", "state.migrateHook=false", "--set", "image.tag=")
    assert release(helm) == ("deployed", version())


def test_a_roll_back_brings_the_pods_of_before_and_leaves_all_syncs(
    plane: ControlPlane, helm: Helm, before: dict[str, Any]
) -> None:
    shown = certificate(plane)
    named = json.dumps({"spec": {FIELD: "Accounts of sales"}})
    plane.kubectl("patch", "reverseetlsync/accounts-to-crm", "-n", "default", "--type=merge", "-p", named)

    helm("rollback", RELEASE, "1", "-n", SYSTEM)

    assert release(helm) == ("deployed", OLDER)
    assert deployed(plane)["retl-controller"][:2] == (f"reverse-etl-operator:{OLDER}", 3)
    assert kept(plane).keys() == before.keys()
    assert {uid: status for uid, (_, _, status) in kept(plane).items()} == {
        uid: status for uid, (_, _, status) in before.items()
    }
    assert certificate(plane) == shown
    upgrade(helm)
    assert release(helm) == ("deployed", version())
