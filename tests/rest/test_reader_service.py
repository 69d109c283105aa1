"""What people look at, over HTTP: it answers as the state database itself does, and shows each caller its namespace."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from retl.errors import InvalidInput, StateError
from retl.resources.run import RunCounts
from retl.state import reader_wire
from retl.state.reader_http import HttpStateReader
from retl.state.sql import SqlStateStore
from retl.state.store import Commit
from tests.rest.service import serving
from tests.unit.state.databases import hashes, letter, request, result

HERE = "growth"


@pytest.fixture
async def filled(database: SqlStateStore) -> SqlStateStore:
    """A store with one run of namespace growth that left a plan and three dead letters."""
    claim = await database.claim(request())
    payload = b'{"email":"ada@example.com","amount":0.10}'
    letters = [replace(letter(hashes(1)), payload=payload) for _ in range(3)]
    await database.save_plan(claim, b'{"run":"run-1","amount":0.10}')
    await database.commit(claim, Commit(1, RunCounts(read=3, rejected=3), dead_letters=letters))
    await database.finish(claim, result(counts=RunCounts(read=3, rejected=3)))
    return database


@pytest.fixture
async def reader(service: str) -> AsyncIterator[HttpStateReader]:
    found = HttpStateReader(service, "token-of-growth")
    yield found
    await found.close()


async def test_it_answers_as_the_database_does(filled: SqlStateStore, reader: HttpStateReader) -> None:
    everything = await filled.dead_letters(namespace=HERE)
    first, *rest = everything
    assert await reader.dead_letters(namespace=HERE) == everything
    assert await reader.dead_letters(namespace=HERE, limit=2, after=first.cursor) == rest
    assert await reader.dead_letters(namespace=HERE, sync=first.sync, code=first.code) == everything
    assert await reader.dead_letters(namespace=HERE, since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert await reader.dead_letter(namespace=HERE, id=first.id) == await filled.dead_letter(
        namespace=HERE, id=first.id
    )
    assert await reader.dead_letter(namespace=HERE, id="nothing") is None
    assert await reader.statistics(namespace=HERE) == await filled.statistics(namespace=HERE)
    assert await reader.statistics(namespace=HERE, sync="nothing") == await filled.statistics(
        namespace=HERE, sync="nothing"
    )
    assert await reader.runs(namespace=HERE) == await filled.runs(namespace=HERE) != []
    [run] = await filled.runs(namespace=HERE)
    assert await reader.plan(namespace=HERE, run=run.name) == b'{"run":"run-1","amount":0.10}'
    assert await reader.plan(namespace=HERE, run="nothing") is None


async def test_it_dismisses_and_erases_as_the_database_does(filled: SqlStateStore, reader: HttpStateReader) -> None:
    first, *_ = await filled.dead_letters(namespace=HERE)
    assert await reader.resolve(namespace=HERE, ids=[first.id, "nothing"]) == 1
    assert [each.id for each in await reader.dead_letters(namespace=HERE, resolved=True)] == [first.id]
    assert await reader.erase(namespace=HERE, field="email", value="ada@example.com") == 3
    assert (await filled.statistics(namespace=HERE)).open == 0


async def test_another_namespace_has_nothing_of_it(filled: SqlStateStore, service: str) -> None:
    [run] = await filled.runs(namespace=HERE)
    stranger = HttpStateReader(service, "token-of-sales")
    [first, *_] = await filled.dead_letters(namespace=HERE)
    assert await stranger.dead_letters(namespace=HERE) == []
    assert await stranger.dead_letter(namespace=HERE, id=first.id) is None
    assert await stranger.plan(namespace=HERE, run=run.name) is None
    assert await stranger.runs(namespace=HERE) == []
    assert await stranger.resolve(namespace=HERE, ids=[first.id]) == 0
    assert await stranger.erase(namespace=HERE, field="email", value="ada@example.com") == 0
    await stranger.close()
    assert (await filled.statistics(namespace=HERE)).open == 3


@pytest.mark.parametrize(("token", "status"), [("garbage", "401"), ("token-of-operators", "403")])
async def test_who_is_unknown_or_the_controller_is_refused(
    filled: SqlStateStore, service: str, token: str, status: str
) -> None:
    refused = HttpStateReader(service, token)
    with pytest.raises(StateError, match=status):
        await refused.dead_letters(namespace=HERE)
    with pytest.raises(StateError, match=status):
        await refused.plan(namespace=HERE, run="run-1")
    await refused.close()


async def test_what_is_of_a_namespace_that_had_this_ones_name_is_hidden_and_can_be_erased(
    filled: SqlStateStore,
) -> None:
    async def a_moment_ago(namespace: str) -> datetime:
        return datetime.now(UTC)

    async with serving(filled, made=a_moment_ago) as service:
        reader = HttpStateReader(service, "token-of-growth")
        assert await reader.dead_letters(namespace=HERE) == []
        assert await reader.runs(namespace=HERE) == []
        assert (await reader.statistics(namespace=HERE)).open == 0
        [entry, *_] = await filled.dead_letters(namespace=HERE)
        assert await reader.dead_letter(namespace=HERE, id=entry.id) is None
        assert await reader.erase(namespace=HERE, field="email", value="ada@example.com") == 3
        await reader.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead-letters?limit=0", ""),
        ("GET", f"/dead-letters?limit={reader_wire.MAX_PAGE + 1}", ""),
        ("GET", "/dead-letters?since=2026-01-01T00:00:00", ""),
        ("GET", "/dead-letters?after=nowhere", ""),
        ("POST", "/dead-letters/resolutions", "{}"),
        ("POST", "/dead-letters/erasures", '{"field":"","value":"x"}'),
    ],
)
async def test_what_cannot_be_meant_is_refused_in_words(service: str, method: str, path: str, body: str) -> None:
    asked = f"{service}{reader_wire.PREFIX}{path}"
    async with httpx.AsyncClient(headers={"Authorization": "Bearer token-of-growth"}, trust_env=False) as client:
        response = await client.request(method, asked, content=body)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")


async def test_a_cursor_that_is_none_is_wrong_input(reader: HttpStateReader) -> None:
    with pytest.raises(InvalidInput, match="after: is no cursor"):
        await reader.dead_letters(namespace=HERE, after="nowhere")


async def test_a_service_that_is_not_there_is_named() -> None:
    nobody = HttpStateReader("http://127.0.0.1:1", "token-of-growth")
    with pytest.raises(StateError, match=r"state service http://127\.0\.0\.1:1: no answer"):
        await nobody.runs(namespace=HERE)
    await nobody.close()
