"""The REST API as it runs in a cluster: `retl api` with the rights of its ServiceAccount, and people of every role."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import pytest

from retl.state.sql import SqlStateStore
from tests.cluster.cluster import Cluster
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.objects import Namespace, object_of, warehouse
from tests.cluster.processes import Program, free_ports, tail
from tests.rest.process import RETL

OPERATOR_NAMESPACE = "retl-system"
Role = Literal["viewer", "operator", "admin", "nobody", "other"]
"""A ServiceAccount `retl-<role>` of the workspace, with that role or with none; `other` is admin of the other one."""
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin", "nobody", "other")
ACCOUNTS = {
    "name": "Accounts",
    "sourceQuery": "model:active-accounts",
    "destinationId": "conn_sf_prod",
    "objectName": "Account",
    "syncMode": "upsert",
    "fieldMappings": [{"source": "id", "destination": "Id", "key": True}],
}
"""Body of POST /api/reverse-etl/syncs for a sync of the workspace."""


@dataclass
class Rest:
    """A running API pod beside one workspace.

    Attributes:
        namespace: the workspace: SyncSource warehouse (the default one), SyncModel active-accounts, SyncDestinations
            sf-prod and http.
        other: another workspace, empty.
        url: of the public port.
        program: the pod's process; its log may be read, and it may be stopped and started by tests of its own.
    """

    cluster: Cluster
    namespace: Namespace
    other: Namespace
    url: str
    internal_url: str
    state_url: str
    program: Program
    tokens: Mapping[Role, str] = field(repr=False)

    def as_(self, role: Role | None) -> httpx.AsyncClient:
        """A client with the token of a role, or with none; open it with `async with`."""
        credential = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        return self.client(credential)

    def client(self, headers: Mapping[str, str]) -> httpx.AsyncClient:
        """A client that sends these headers."""
        return httpx.AsyncClient(base_url=self.url, headers=dict(headers), trust_env=False, timeout=30)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[SqlStateStore]:
        """The pod's state database, to put history and dead letters there."""
        store = await SqlStateStore.open(self.state_url)
        try:
            yield store
        finally:
            await store.close()

    @property
    def uid(self) -> str:
        """The workspace's id in answers."""
        return uid_of(self.cluster, self.namespace.name)

    def log(self) -> str:
        return tail(self.program.log, 200)


@pytest.fixture(scope="module")
def rest(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """The API of a fresh workspace, for all tests of a module."""
    with serving(cluster, tmp_path_factory.mktemp("rest")) as running:
        yield running


@contextmanager
def serving(cluster: Cluster, directory: Path, *arguments: str, state_url: str = "") -> Iterator[Rest]:
    """An API pod with further arguments, for as long as the block lasts; on SQLite if no other database is named."""
    kubeconfig = service_account_kubeconfig(cluster, "retl-api", directory)
    suffix = secrets.token_hex(4)
    names = [f"rest-{suffix}", f"rest-{suffix}-other"]
    namespace, other = (_workspace(cluster, name) for name in names)
    namespace.apply(*connections())
    state_url = state_url or f"sqlite:///{directory}/state.db"
    port, internal_port = free_ports(2)
    program = api_program(directory / "api.log", kubeconfig, state_url, (port, internal_port), arguments)
    program.start()
    try:
        url = f"http://127.0.0.1:{port}"
        program.wait_ready(lambda: ready(url))
        tokens = {role: _token(cluster, other.name if role == "other" else namespace.name, role) for role in ROLES}
        yield Rest(cluster, namespace, other, url, f"http://127.0.0.1:{internal_port}", state_url, program, tokens)
    finally:
        program.stop()
        cluster.kubectl("delete", "namespace", *names, "--wait=false")


def api_program(
    log: Path, kubeconfig: Path, state_url: str, ports: tuple[int, int], arguments: tuple[str, ...] = ()
) -> Program:
    """`retl api` on local ports (public, internal), not started yet; keys are kept where the operator lives."""
    command = [
        *(str(RETL), "api", "--host", "127.0.0.1", "--port", str(ports[0]), "--internal-port", str(ports[1])),
        *("--state", state_url, "--kubeconfig", str(kubeconfig), "--keys-namespace", OPERATOR_NAMESPACE),
        # Tests ask as fast as they can; what a limit does is tested where the limits are.
        *("--rate", "10000", "--burst", "10000"),
    ]
    return Program("api", [*command, *arguments], log, environment=os.environ | {"RETL_STATE_KEY": ""})


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def uid_of(cluster: Cluster, namespace: str) -> str:
    return cluster.kubectl("get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}")


def connections() -> list[dict[str, object]]:
    """What syncs refer to."""
    source = warehouse()
    source["metadata"]["labels"] = {"reverseetl.io/default-source": "true"}
    query = {"sourceRef": {"name": "warehouse"}, "sql": "SELECT id, name, email FROM accounts", "primaryKey": ["id"]}
    http = {"connector": "http", "config": {"url": "http://127.0.0.1:1/accounts"}}
    sf_prod = object_of("SyncDestination", "sf-prod", http)
    sf_prod["metadata"]["annotations"] = {"reverseetl.io/default-object": "Account"}
    return [
        source,
        object_of("SyncModel", "active-accounts", query),
        sf_prod,
        object_of("SyncDestination", "http", http),
    ]


def _workspace(cluster: Cluster, name: str) -> Namespace:
    """A namespace with an account of each role that is any there."""
    cluster.kubectl("create", "namespace", name)
    for role in ROLES:
        cluster.kubectl("create", "serviceaccount", f"retl-{role}", "-n", name)
    for role in ("viewer", "operator", "admin"):
        bind(cluster, name, role, f"{name}:retl-{role}")
    if name.endswith("-other"):
        bind(cluster, name, "admin", f"{name}:retl-other")
    return Namespace(cluster, name)


def bind(cluster: Cluster, namespace: str, role: str, account: str) -> None:
    """Give a ServiceAccount (NAMESPACE:NAME) a role in a workspace."""
    name = f"{role}-{account.replace(':', '-')}"
    cluster.kubectl(
        *("create", "rolebinding", name, "-n", namespace, f"--clusterrole=retl-{role}", f"--serviceaccount={account}")
    )


def _token(cluster: Cluster, namespace: str, role: str) -> str:
    return cluster.kubectl("create", "token", f"retl-{role}", "-n", namespace, "--duration=2h").strip()
