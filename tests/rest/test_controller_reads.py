"""What the controller reads of the state service, and what it may not do there."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from retl.controller import state_reads
from retl.controller.state_reads import StateReads
from retl.resources.run import RunCounts, RunProgress
from retl.runspec.catalog import Catalog, CatalogField, CatalogObject
from retl.runspec.check import CheckSpec
from retl.runspec.spec import Connection
from retl.state import wire
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from tests.postgres import free_port
from tests.rest.service import serving
from tests.rest.test_state_service import ROUTES, problem
from tests.unit.state.databases import request

CRM = CheckSpec(
    kind="SyncDestination",
    namespace="growth",
    number=1,
    connection=Connection(name="crm", uid="uid-of-crm", connector="http"),
)


def catalog(*fields: str) -> Catalog:
    return Catalog(objects=[CatalogObject(name="account", fields=[CatalogField(name=name) for name in fields])])


@pytest.fixture
def controller_token(tmp_path: Path) -> Path:
    path = tmp_path / "controller-token"
    path.write_text("token-of-operators")
    return path


async def test_a_catalog_that_a_check_handed_in_can_be_read_by_the_controller_and_its_own_namespace_alone(
    service: str, token: Path, controller_token: Path, tmp_path: Path
) -> None:
    runner = HttpStateStore(service, token)
    assert await runner.put_catalog(CRM, catalog("Id", "Name")) == []
    assert await runner.put_catalog(CRM, catalog("Id")) == ["account.Name is gone"]
    await runner.close()
    stranger = tmp_path / "stranger"
    stranger.write_text("token-of-sales")
    digest = catalog("Id").digest()
    found = []
    for who in (controller_token, token, stranger):
        reads = StateReads(service, who)
        found.append(await reads.catalog("growth", "uid-of-crm", digest))
        await reads.close()
    assert found == [catalog("Id"), catalog("Id"), None]


async def test_the_controller_may_read_and_nothing_else(service: str, database: SqlStateStore) -> None:
    await database.claim(request())
    async with httpx.AsyncClient(
        base_url=service, headers={"Authorization": "Bearer token-of-operators"}, trust_env=False
    ) as http:
        for method, path in [*ROUTES, ("PUT", "/internal/v1/connections/uid-of-crm/catalog")]:
            answer = await http.request(method, path, content=b"" if method != "GET" else None)
            assert problem(answer) == (403, "forbidden"), path


async def test_progress_comes_in_one_answer_of_all_namespaces_for_the_controller_alone(
    service: str, database: SqlStateStore, token: Path, controller_token: Path
) -> None:
    said = RunProgress(step="deliver", rows=7, total=10, updated_at=datetime.now(UTC))
    for name, namespace in (("contacts", "growth"), ("leads", "sales")):
        claim = await database.claim(request(f"run-of-{name}", sync=name, namespace=namespace))
        await database.heartbeat(claim, RunCounts(), said)
    uids = ["uid-of-run-of-contacts", "uid-of-run-of-leads", "uid-of-nobody"]
    controller, runner = StateReads(service, controller_token), StateReads(service, token)
    everything, own = await controller.progress(uids), await runner.progress(uids)
    await controller.close()
    await runner.close()
    assert set(everything) == set(uids[:2])
    assert {(seen.step, seen.rows, seen.total) for seen in everything.values()} == {("deliver", 7, 10)}
    assert set(own) == {"uid-of-run-of-contacts"}


async def test_a_catalog_is_asked_for_once_for_each_digest(
    service: str, database: SqlStateStore, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, reads = HttpStateStore(service, token), StateReads(service, token)
    await runner.put_catalog(CRM, catalog("Id"))
    first = await reads.catalog("growth", "uid-of-crm", catalog("Id").digest())
    monkeypatch.setattr(database, "catalog", None)  # whoever asks again gets an error
    assert await reads.catalog("growth", "uid-of-crm", catalog("Id").digest()) is first
    monkeypatch.undo()
    await runner.put_catalog(CRM, catalog("Id", "Name"))
    assert await reads.catalog("growth", "uid-of-crm", catalog("Id", "Name").digest()) == catalog("Id", "Name")
    await runner.close()
    await reads.close()


async def test_many_that_want_to_know_at_once_ask_once(
    service: str, database: SqlStateStore, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, reads = HttpStateStore(service, token), StateReads(service, token)
    await runner.put_catalog(CRM, catalog("Id"))
    asked, read = [], database.catalog

    async def counted(namespace: str, uid: str) -> str | None:
        asked.append(uid)
        return await read(namespace, uid)

    monkeypatch.setattr(database, "catalog", counted)
    digest = catalog("Id").digest()
    found = await asyncio.gather(*(reads.catalog("growth", "uid-of-crm", digest) for _ in range(50)))
    assert found == [catalog("Id")] * 50
    assert asked == ["uid-of-crm"]
    await runner.close()
    await reads.close()


async def test_memory_is_bounded_and_what_was_looked_at_longest_ago_goes_first(
    service: str, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_reads, "KEPT_FIELDS", 5)
    runner, reads = HttpStateStore(service, token), StateReads(service, token)
    digest = catalog("Id", "Name").digest()
    for uid in ("a", "b"):
        of = CRM.model_copy(update={"connection": CRM.connection.model_copy(update={"uid": uid})})
        await runner.put_catalog(of, catalog("Id", "Name"))
    kept = {uid: await reads.catalog("growth", uid, digest) for uid in ("a", "b")}
    assert await reads.catalog("growth", "b", digest) is kept["b"]
    assert await reads.catalog("growth", "a", digest) is not kept["a"]
    await runner.close()
    await reads.close()


async def test_a_service_that_does_not_answer_is_left_alone_for_a_while_and_not_complained_of_again_and_again(
    database: SqlStateStore, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    runner, reads = HttpStateStore(url, token), StateReads(url, token, clock=lambda: now[0])
    digest = catalog("Id").digest()
    for _ in range(3):
        assert await reads.catalog("growth", "uid-of-crm", digest) is None
        now[0] += state_reads.REST_SECONDS
    assert await reads.catalog("growth", "uid-of-crm", digest) is None
    assert caplog.text.count("the state service cannot be asked") == 1
    async with serving(database, port):
        await runner.put_catalog(CRM, catalog("Id"))
        assert await reads.catalog("growth", "uid-of-crm", digest) is None
        now[0] += state_reads.REST_SECONDS
        assert await reads.catalog("growth", "uid-of-crm", digest) == catalog("Id")
    await runner.close()
    await reads.close()


async def test_without_a_token_nothing_is_read_and_nothing_is_raised(service: str, tmp_path: Path) -> None:
    reads = StateReads(service, tmp_path / "no-token")
    assert await reads.progress(["uid"]) == {}
    await reads.close()


async def test_a_catalog_has_a_limit(service: str, token: Path) -> None:
    async with httpx.AsyncClient(
        base_url=service, headers={"Authorization": "Bearer token-of-growth"}, trust_env=False
    ) as http:
        large = b" " * (wire.MAX_CATALOG + 1)
        answer = await http.put("/internal/v1/connections/uid-of-crm/catalog", content=large)
        assert problem(answer) == (413, "content-too-large")
