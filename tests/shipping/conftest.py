"""A control plane on which nothing of the project is yet, for the chart to be installed on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart import STATE_KEY, SYSTEM, Helm, Values
from tests.cluster.controlplane import ControlPlane
from tests.shipping.foreign import foreign_crds
from tests.shipping.schemas import write_schemas

INSTALLED: Values = {"state": {"existingSecret": "state-database", "migrateHook": False}}


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """Kubernetes with the kinds of Prometheus Operator and cert-manager, and the operator's namespace."""
    with ControlPlane() as started:
        files = [argument for path in foreign_crds() for argument in ("-f", str(path))]
        started.kubectl("create", *files)
        started.kubectl("create", "namespace", SYSTEM)
        yield started


@pytest.fixture(scope="session")
def helm(plane: ControlPlane) -> Helm:
    return Helm(plane.kubeconfig)


@pytest.fixture(scope="session")
def installed(plane: ControlPlane, helm: Helm) -> Helm:
    """The chart with its defaults and the Secret that it needs; tests that change it bring it back.

    There is no node here: the hook that migrates the database would wait for its pod.
    """
    literals = ("--from-literal=url=postgresql://nobody@127.0.0.1:1/state", f"--from-literal=key={STATE_KEY}")
    plane.kubectl("create", "secret", "generic", "state-database", "-n", SYSTEM, *literals)
    helm.install(INSTALLED)
    for name in ("reverseetlsyncs", "syncruns", "syncsources", "syncmodels", "syncdestinations"):
        plane.kubectl("wait", "--for=condition=Established", f"crd/{name}.reverseetl.io", "--timeout=30s")
    return helm


@pytest.fixture(scope="session")
def schemas(plane: ControlPlane, installed: Helm, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What kubeconform takes as -schema-location: the schemas of this very API server."""
    directory: Path = tmp_path_factory.mktemp("schemas")
    return write_schemas(plane.kubectl, directory)
