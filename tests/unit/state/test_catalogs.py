"""What checks found, kept by connection; and how far runs say they are."""

from datetime import UTC, datetime, timedelta

import pytest

from retl.resources.run import RunCounts, RunProgress
from retl.runspec.catalog import Catalog, CatalogField, CatalogObject
from retl.state.catalogs import FORGOTTEN, Whose
from retl.state.store import Commit
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, request, result

pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
CRM = Whose(NAMESPACE, "uid-of-crm", "SyncDestination", "crm")


def catalog(**objects: list[str]) -> Catalog:
    return Catalog(
        objects=[
            CatalogObject(name=name, fields=[CatalogField(name=f) for f in fields]) for name, fields in objects.items()
        ]
    )


async def found(backend: Backend, whose: Whose = CRM) -> Catalog | None:
    text = await backend.database.catalog(whose.namespace, whose.uid)
    return None if text is None else Catalog.model_validate_json(text)


async def test_the_newest_catalog_is_kept_and_what_changed_is_told(backend: Backend) -> None:
    database = backend.database
    assert await found(backend) is None
    assert await database.put_catalog(CRM, catalog(Account=["Id", "Name"])) == []
    assert await database.put_catalog(CRM, catalog(Account=["Id", "Name"])) == []
    changes = await database.put_catalog(CRM, catalog(Account=["Id", "Phone"]))
    assert changes == ["Account.Name is gone", "Account.Phone is new"]
    assert await found(backend) == catalog(Account=["Id", "Phone"])


async def test_a_catalog_is_its_namespaces_own_whatever_uid_is_named(backend: Backend) -> None:
    other = Whose("finance", CRM.uid, CRM.kind, CRM.name)
    await backend.database.put_catalog(CRM, catalog(Account=["Id"]))
    await backend.database.put_catalog(other, catalog(Lead=["Id"]))
    assert await found(backend) == catalog(Account=["Id"])
    assert await found(backend, other) == catalog(Lead=["Id"])


async def test_a_catalog_that_nothing_renews_is_forgotten(backend: Backend) -> None:
    gone = Whose(NAMESPACE, "uid-of-gone", "SyncDestination", "gone")
    await backend.database.put_catalog(gone, catalog(Account=["Id"]))
    backend.clock.pass_by(FORGOTTEN + timedelta(seconds=1))
    await backend.database.put_catalog(CRM, catalog(Account=["Id"]))
    assert await found(backend, gone) is None
    assert await found(backend) is not None


async def test_progress_is_of_the_last_heartbeat_and_ends_with_the_run(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    assert await backend.database.progress([claim.run_uid]) == {}
    said = RunProgress(step="deliver", rows=7, total=10, updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    await backend.store.heartbeat(claim, RunCounts(read=7), said)
    await backend.store.heartbeat(claim, RunCounts(read=8))
    known = await backend.database.progress([claim.run_uid, "uid-of-nobody"])
    assert known == {claim.run_uid: said.model_copy(update={"updated_at": backend.clock.now})}
    assert await backend.database.progress([claim.run_uid], "finance") == {}
    await backend.store.finish(claim, result())
    assert await backend.database.progress([claim.run_uid]) == {}


async def test_a_further_attempt_does_not_begin_with_the_progress_of_the_one_before(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    said = RunProgress(step="deliver", rows=7, updated_at=backend.clock.now)
    await backend.store.heartbeat(claim, RunCounts(read=7), said)
    await backend.store.claim(request("run-1", attempt=2))
    assert await backend.database.progress([claim.run_uid]) == {}


async def test_a_run_ends_with_its_dead_letters_counted_by_code_and_a_repeated_end_says_the_same(
    backend: Backend,
) -> None:
    claim = await backend.store.claim(request("run-1"))
    letters = [letter(hashes(1)), letter(hashes(1)), letter(hashes(1), "RATE_LIMIT")]
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=letters))
    ended = await backend.store.finish(claim, result())
    assert ended.dead_letters_by_code == {"DESTINATION_VALIDATION": 2, "RATE_LIMIT": 1}
    assert ended.dead_letters == 3
    assert await backend.store.finish(claim, result()) == ended
