"""A cluster as tests see it: one that is started here, or one that somebody already has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import Kubectl
from tests.cluster.node import ProcessNode

PROJECT = Path(__file__).parents[2]
EXTERNAL_KUBECONFIG = "RETL_TEST_KUBECONFIG"
BASE = PROJECT / "deploy" / "kustomize" / "base"
"""What the chart gives, as files."""
PERMISSIONS = ("namespace.yaml", "rbac-*.yaml")
"""Of BASE: the operator's ServiceAccounts in namespace `retl-system`, what they may do, and the roles of people."""
POLICIES = ("policies-*.yaml",)
"""Of BASE: what nobody may, whatever their rights."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with the project's CRDs.

    `control_plane` and `node` are None when the cluster is somebody else's: nothing there can be killed by a test.
    """

    kubeconfig: Path
    kubectl: Kubectl
    control_plane: ControlPlane | None = None
    node: ProcessNode | None = None


def project_crds() -> Path | None:
    """The project's CustomResourceDefinitions; None while there are none."""
    directory = PROJECT / "crds"
    return directory if any(directory.glob("*.yaml")) else None


def based(*patterns: str) -> list[str]:
    """Files of BASE as arguments of `kubectl apply`."""
    files = [path for pattern in patterns for path in sorted(BASE.glob(pattern))]
    assert files, f"{BASE} has no {', '.join(patterns)}"
    return [argument for path in files for argument in ("-f", str(path))]


@contextmanager
def open_cluster(users: Mapping[str, Sequence[str]] | None = None) -> Iterator[Cluster]:
    """The cluster of $RETL_TEST_KUBECONFIG, else a control plane with a process node for as long as the block lasts."""
    crds = project_crds()
    if external := os.environ.get(EXTERNAL_KUBECONFIG):
        kubectl = Kubectl(Path(external).resolve())
        if crds is not None:
            kubectl.apply_crds(crds)
        yield Cluster(kubectl.kubeconfig, kubectl)
        return
    with ControlPlane(crds=crds, users=users) as plane, ProcessNode(plane.kubeconfig) as node:
        yield Cluster(plane.kubeconfig, plane.kubectl, plane, node)
