"""The cluster's state service, as far as people may read it: dead letters and plans of one namespace.

Who may have a token of a ServiceAccount of the namespace speaks for the namespace. The service is inside the cluster,
so it is reached through the API server, unless its address is given.
"""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from retl.cli.cluster.client import Cluster, ClusterError
from retl.cli.cluster.forward import forwarded
from retl.cli.cluster.options import ENV_STATE_URL, OPERATOR_NAMESPACE
from retl.resources.kinds import Manifest
from retl.runspec.pod import ENV_STATE_CA_FILE, STATE_AUDIENCE
from retl.state.reader_http import HttpStateReader
from retl.state.trust import CaFile, verification

ACCOUNT = "default"
"""Any ServiceAccount of the namespace would do; this one is always there."""
API_PODS = "app.kubernetes.io/component=api"
STATE_PORT = 8081
STATE_SCHEME = "reverseetl.io/state-scheme"
"""Annotation of the API pod: https where its state service speaks TLS."""


@dataclass(frozen=True, slots=True)
class StatePlace:
    """Where the state service is.

    Attributes:
        url: its address; None looks for the API pod.
        operator_namespace: where that pod is.
    """

    url: str | None = None
    operator_namespace: str = OPERATOR_NAMESPACE

    def words(self) -> list[str]:
        """The options again, for a command that a person is told to type."""
        if self.url is not None:
            return [] if self.url == os.environ.get(ENV_STATE_URL) else ["--state-url", self.url]
        other = self.operator_namespace != OPERATOR_NAMESPACE
        return ["--operator-namespace", self.operator_namespace] if other else []


@asynccontextmanager
async def reader(cluster: Cluster, place: StatePlace) -> AsyncIterator[HttpStateReader]:
    """What people may look at of the namespace.

    Raises:
        ClusterError: no token is given, or the API pod cannot be found or reached.
    """
    token = await cluster.token(ACCOUNT, STATE_AUDIENCE)
    if place.url is not None:
        async with _opened(place.url, token, _verification(place.url)) as found:
            yield found
        return
    pod = await _api_pod(cluster, place.operator_namespace)
    name = pod["metadata"]["name"]
    async with (
        forwarded(cluster, place.operator_namespace, name, _port(pod)) as address,
        # The API server vouches for the pod at the other end, so its certificate need not.
        _opened(f"{_scheme(pod)}://{address}", token, verify=False) as found,
    ):
        yield found


@asynccontextmanager
async def _opened(url: str, token: str, verify: ssl.SSLContext | bool) -> AsyncIterator[HttpStateReader]:
    found = HttpStateReader(url, token, verify)
    try:
        yield found
    finally:
        await found.close()


async def _api_pod(cluster: Cluster, namespace: str) -> Manifest:
    ready = [pod for pod in await cluster.list("Pod", namespace=namespace, labels=API_PODS) if _is_ready(pod)]
    if ready:
        return ready[0]
    raise ClusterError(
        f"{cluster.where}: there is no API pod that is ready ({API_PODS}) in namespace {namespace!r}; "
        "name the operator's namespace with --operator-namespace, or the state service with --state-url"
    )


def _verification(url: str) -> ssl.SSLContext | bool:
    file = os.environ.get(ENV_STATE_CA_FILE)
    ca = CaFile(Path(file), ENV_STATE_CA_FILE).text() if file else None
    return verification(url, ca, ENV_STATE_CA_FILE)


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _scheme(pod: Manifest) -> str:
    annotations = pod["metadata"].get("annotations") or {}
    return "https" if annotations.get(STATE_SCHEME) == "https" else "http"


def _port(pod: Manifest) -> int:
    """The port that the pod calls `state`, else the one that it has by default."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == "state"), STATE_PORT)
