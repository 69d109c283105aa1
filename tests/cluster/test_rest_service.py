"""The service layer of the REST API against a real API server: what it makes, changes and refuses, as the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver import access
from retl.apiserver.transport import Transport
from retl.rest.callers.caller import Caller
from retl.rest.callers.namespaces import Namespaces
from retl.rest.callers.rights import Review
from retl.rest.problems import Problem
from retl.rest.service.interface import Workspace
from retl.rest.service.values import (
    MappingWish,
    PageAsked,
    RunFilter,
    RunOrder,
    ScheduleWish,
    SyncFilter,
    SyncRecord,
    SyncWish,
    Write,
)
from retl.rest.service.workspaces import ClusterWorkspaces
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.rest_api import Rest, Role, rest  # noqa: F401 - fixture

WISH = SyncWish(
    name="Accounts to Salesforce",
    query="model:active-accounts",
    destination="conn_sf_prod",
    object="Account",
    mappings=[MappingWish("External_Id__c", "id", key=True), MappingWish("Name", "upper(name)")],
    sql_columns=True,
    mode="upsert",
)
PLAIN = Write()


@pytest.fixture(scope="module")
def pod(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """kubeconfig of the pod's ServiceAccount."""
    return service_account_kubeconfig(rest.cluster, "retl-api", tmp_path_factory.mktemp("pod"))


class People:
    """Opens the workspace as somebody; each `pod` has its own memory, as each process has."""

    def __init__(self, rest: Rest, workspaces: Callable[[], ClusterWorkspaces]) -> None:  # noqa: F811
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
async def people(rest: Rest, pod: Path) -> AsyncIterator[People]:  # noqa: F811
    async with opened(rest, pod) as found:
        yield found


@asynccontextmanager
async def opened(rest: Rest, pod: Path) -> AsyncIterator[People]:  # noqa: F811
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


async def refused(request: object) -> Problem:
    with pytest.raises(Problem) as caught:
        await request  # type: ignore[misc]
    return caught.value


async def test_a_new_sync_is_the_manifest_that_a_person_would_write(rest: Rest, people: People) -> None:  # noqa: F811
    admin = await people.as_("operator")
    made = await admin.create_sync(replace(WISH, schedule=ScheduleWish("15 */4 * * *")), PLAIN)
    spec = rest.namespace.get("ReverseETLSync", made.sync.name)["spec"]
    wanted = {
        "displayName": "Accounts to Salesforce",
        "modelRef": {"name": "active-accounts"},
        "destinationRef": {"name": "sf-prod"},
        "object": "Account",
        "mappings": [
            {"destination": "External_Id__c", "source": "id", "key": True},
            {"destination": "Name", "expression": "upper(name)"},
        ],
    }
    assert {name: spec[name] for name in wanted} == wanted
    assert spec["schedule"]["cron"] == "15 */4 * * *"
    assert made.sync.name == "accounts-to-salesforce"
    assert (made.query, list(made.primary_key)) == ("model:active-accounts", ["id"])
    assert made.model is not None
    assert made.destination is not None
    assert (made.model.name, made.destination.name) == ("active-accounts", "sf-prod")
    people.restart()
    viewer = await people.as_("viewer")
    assert await viewer.sync(made.uid) == replace(made, sync=(await viewer.sync(made.uid)).sync)
    listed = {each.uid: each for each in (await viewer.syncs(SyncFilter(), None)).items}
    assert listed[made.uid].model == made.model
    assert made.created_by == admin_id(rest)


def admin_id(rest: Rest) -> UUID:  # noqa: F811
    return Caller(f"system:serviceaccount:{rest.namespace.name}:retl-operator", None, {}).id


async def test_a_started_run_waits_and_is_found_by_its_id(rest: Rest, people: People) -> None:  # noqa: F811
    operator = await people.as_("operator")
    sync = await operator.create_sync(WISH, PLAIN)
    run = await operator.start(sync.uid, RunOrder(full_refresh=True), PLAIN)
    assert (run.state, run.full_refresh, run.sync, run.triggered_by) == ("Pending", True, sync.uid, admin_id(rest))
    people.restart()
    viewer = await people.as_("viewer")
    assert await viewer.run(run.uid, sync.uid) == run
    listed = await viewer.runs(RunFilter(sync=sync.uid), None)
    assert [each.uid for each in listed.items] == [run.uid]
