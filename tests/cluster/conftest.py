"""Fixtures for tests that need a real Kubernetes API; other folders import them from here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import EXTERNAL_KUBECONFIG, Cluster, open_cluster
from tests.cluster.controllers import account, at_work, controller, shop  # noqa: F401 - fixtures
from tests.cluster.controlplane import ControlPlane
from tests.cluster.node import ProcessNode
from tests.cluster.objects import Namespace
from tests.cluster.rest_api import rest  # noqa: F401 - fixture
from tests.cluster.rest_people import people, pod  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One cluster for the whole session; a toolchain or build that is impossible is an error, not a skip."""
    with open_cluster() as opened:
        yield opened


@pytest.fixture
def control_plane(cluster: Cluster) -> ControlPlane:
    """The control plane of `cluster`, for tests that restart its parts."""
    if cluster.control_plane is None:
        pytest.skip(f"needs a control plane of its own; {EXTERNAL_KUBECONFIG} names somebody else's")
    return cluster.control_plane


@pytest.fixture
def node(cluster: Cluster) -> ProcessNode:
    """The process node of `cluster`, for tests that kill, evict or lose pods."""
    if cluster.node is None:
        pytest.skip(f"needs the process node; the cluster of {EXTERNAL_KUBECONFIG} has nodes of its own")
    return cluster.node


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace with its default ServiceAccount; deleted afterwards, without waiting for the end of that."""
    made = Namespace(cluster, f"test-{secrets.token_hex(4)}").make()
    yield made.name
    made.drop()
