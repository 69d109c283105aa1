"""The service layer of the REST API without HTTP: workspaces as people see them, of a pod that this process plays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver import access
from retl.apiserver.transport import Transport
from retl.resources.run import RunCounts
from retl.rest.callers.caller import Caller
from retl.rest.callers.namespaces import Namespaces
from retl.rest.callers.rights import Review
from retl.rest.problems import Problem
from retl.rest.service.interface import Workspace
from retl.rest.service.values import MappingWish, RunRecord, SyncRecord, SyncWish, Write
from retl.rest.service.workspaces import ClusterWorkspaces
from retl.runspec.result import RunResult
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.store import NO_ROW, ClaimRequest, Commit, NewDeadLetter
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.rest_api import Rest, Role

WISH = SyncWish(
    name="Accounts to Salesforce",
    query="model:active-accounts",
    destination="conn_sf_prod",
    object="Account",
    mappings=[MappingWish("External_Id__c", "id", key=True), MappingWish("Name", "upper(name)")],
    sql_columns=True,
    mode="upsert",
)
NOTHING = SyncWish(sql_columns=True)
PLAIN = Write()


@pytest.fixture(scope="module")
def pod(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kubeconfig of the pod's ServiceAccount."""
    return service_account_kubeconfig(rest.cluster, "retl-api", tmp_path_factory.mktemp("pod"))


class People:
    """Opens the workspace as somebody; each `pod` has its own memory, as each process has."""

    def __init__(self, rest: Rest, workspaces: Callable[[], ClusterWorkspaces]) -> None:
        self._rest = rest
        self._new = workspaces
        self._workspaces = workspaces()

    def restart(self) -> None:
        """Forget everything that a process knows."""
        self._workspaces = self._new()

    async def as_(self, role: Role, workspace: str | None = None) -> Workspace:
        space = self._rest.other if role == "other" else self._rest.namespace
        account = f"system:serviceaccount:{space.name}:retl-{role}"
        headers = {"Authorization": f"Bearer {self._rest.tokens[role]}"}
        caller = Caller(account, space.name, headers)
        return await self._workspaces.open(caller, workspace or self._rest.namespace.name)


@pytest.fixture
async def people(rest: Rest, pod: Path) -> AsyncIterator[People]:
    async with opened(rest, pod) as found:
        yield found


@asynccontextmanager
async def opened(rest: Rest, pod: Path) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(rest.store())
        known = await access.load(pod, None)
        own, bare = (
            Transport(ApiClient(configuration), timedelta(seconds=10))
            for configuration in (known, access.anonymous(known))
        )
        stack.push_async_callback(own.close)
        stack.push_async_callback(bare.close)

        def workspaces() -> ClusterWorkspaces:
            review = Review(own, bare)
            return ClusterWorkspaces(own, bare, lambda: store, Namespaces(own, review), review)

        yield People(rest, workspaces)


async def refused(request: Coroutine[Any, Any, object]) -> Problem:
    """The problem that a request ends with."""
    with pytest.raises(Problem) as caught:
        await request
    return caught.value


def operator_id(rest: Rest) -> UUID:
    return Caller(f"system:serviceaccount:{rest.namespace.name}:retl-operator", None, {}).id


async def remember(rest: Rest, sync: SyncRecord, run: RunRecord) -> None:
    """Have the state database know a run that has succeeded."""
    await _ran(rest, sync, RunIdentity(name=run.name, uid=str(run.uid), attempt=1, created_at=run.created_at), [])


async def reject(rest: Rest, sync: SyncRecord, count: int) -> None:
    """Have the state database keep so many dead letters of a sync."""
    letters = [
        NewDeadLetter(bytes([number] * 16), NO_ROW, "CONFLICT", "it is there already", {"Id": str(number)})
        for number in range(count)
    ]
    await _ran(rest, sync, RunIdentity(name=f"{sync.sync.name}-1", uid=str(uuid4()), attempt=1), letters)


async def _ran(rest: Rest, sync: SyncRecord, run: RunIdentity, letters: Sequence[NewDeadLetter]) -> None:
    identity = SyncIdentity(namespace=rest.namespace.name, name=sync.sync.name, uid=str(sync.uid), generation=1)
    counts = RunCounts(read=5 + len(letters), created=5, rejected=len(letters))
    async with rest.store() as store:
        claim = await store.claim(ClaimRequest(run=run, sync=identity, baseline="{}", owner="pod"))
        await store.commit(claim, Commit(sequence=1, counts=counts, dead_letters=letters))
        await store.finish(claim, RunResult(run=run.name, sync=sync.sync.name, status="Succeeded", counts=counts))
