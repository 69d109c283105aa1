"""The state service as HTTP: who may do what, and what refusals look like."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from retl.errors import InvalidInput, StateError
from retl.resources.run import RunCounts
from retl.state import wire
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, Commit, Notes, SnapshotPart
from tests.rest.service import serving
from tests.unit.state.databases import hashes, letter, parts, request, result

HELD = "/internal/v1/syncs/uid-of-contacts/runs/uid-of-run-1/claims/1"


@pytest.fixture
async def http(service: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=service, headers={"Authorization": "Bearer token-of-growth"}, trust_env=False
    ) as client:
        yield client


@pytest.fixture
async def claim(database: SqlStateStore) -> Claim:
    """A claim that a runner of namespace growth holds; its paths start with HELD."""
    return await database.claim(request())


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and slug, once the shape of RFC 9457 is checked."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response.status_code, body["type"].removeprefix("https://reverseetl.io/problems/")


ROUTES = [
    ("POST", "/internal/v1/syncs/uid-of-contacts/claims"),
    ("GET", f"{HELD}/snapshot"),
    ("GET", f"{HELD}/waiting"),
    ("POST", f"{HELD}/letters"),
    ("POST", f"{HELD}/rates/account/calls"),
    ("POST", f"{HELD}/rates/account/refusals"),
    ("PUT", f"{HELD}/plan"),
    ("POST", f"{HELD}/commits"),
    ("PUT", f"{HELD}/compactions/7/parts/1"),
    ("POST", f"{HELD}/compactions/7"),
    ("POST", f"{HELD}/heartbeats"),
    ("POST", f"{HELD}/result"),
]
CATALOG = "/internal/v1/connections/uid-of-crm/catalog"
READS = [("PUT", CATALOG), ("GET", CATALOG), ("POST", "/internal/v1/progress")]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, *READS])
@pytest.mark.parametrize("header", [None, "Bearer", "Basic dG9rZW4=", "Bearer garbage"])
async def test_no_route_answers_without_a_valid_token(
    http: httpx.AsyncClient, claim: Claim, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    http.headers.pop("Authorization")
    response = await http.request(method, path, headers=headers, content=b"" if method != "GET" else None)
    assert problem(response) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES[1:])
@pytest.mark.parametrize("sync", ["uid-of-contacts", "uid-of-nothing"])
async def test_a_sync_of_another_namespace_is_answered_as_one_that_does_not_exist(
    http: httpx.AsyncClient, claim: Claim, method: str, path: str, sync: str
) -> None:
    response = await http.request(
        method,
        path.replace("uid-of-contacts", sync),
        headers={"Authorization": "Bearer token-of-sales"},
        content=b"" if method != "GET" else None,
    )
    assert problem(response) == (404, "not-found")
    assert response.json()["detail"] == "there is no such sync"


@pytest.mark.parametrize("namespace", ["growth", "sales"])
async def test_nobody_can_claim_a_sync_of_another_namespace_whatever_namespace_they_say_it_is_in(
    database: SqlStateStore, service: str, claim: Claim, tmp_path: Path, namespace: str
) -> None:
    await database.finish(claim, result())
    stranger = tmp_path / "stranger"
    stranger.write_text("token-of-sales")
    runner = HttpStateStore(service, stranger)
    with pytest.raises(StateError, match="there is no such sync"):
        await runner.claim(request(namespace=namespace))
    await runner.close()
    assert await database.runs(namespace="sales") == []


async def test_a_run_of_another_namespace_cannot_be_reached_by_naming_its_uid(
    database: SqlStateStore, service: str, claim: Claim, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    stranger.write_text("token-of-sales")
    runner = HttpStateStore(service, stranger)
    theirs = await runner.claim(request("run-1", sync="leads", namespace="sales"))
    assert theirs.run_uid == claim.run_uid
    await runner.finish(theirs, result("Failed"))
    await runner.close()
    [run] = await database.runs(namespace="growth")
    assert run.state == "Running"


def _commit_header(keys: int) -> bytes:
    """A commit that says to hold so many keys, and ends there."""
    whole = wire.pack_commit(Commit(1, RunCounts(), hashes(keys), hashes(keys)))
    return whole[: -2 * 16 * keys]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/internal/v1/syncs/uid-of-contacts/claims", b"{"),
        ("POST", "/internal/v1/syncs/uid-of-contacts/claims", b'{"owner": "me"}'),
        ("POST", f"{HELD}/commits", b""),
        ("POST", f"{HELD}/commits", b"\xff\xff\xff\xff"),
        ("POST", f"{HELD}/commits", b"\0\0\0\2{}"),
        ("POST", f"{HELD}/commits", _commit_header(keys=9)),
        ("POST", f"{HELD}/commits", wire.pack_commit(Commit(1, RunCounts(), hashes(1), hashes(1))) + b"!"),
        ("POST", f"{HELD}/commits", wire.pack_commit(Commit(1, RunCounts(), hashes(1), hashes(1)))[:-1]),
        ("POST", f"{HELD}/commits", wire.pack_commit(Commit(0, RunCounts()))),
        ("POST", f"{HELD}/commits", wire.pack_commit(Commit(-5, RunCounts()))),
        ("PUT", f"{HELD}/compactions/7/parts/1", b"odd"),
        ("PUT", f"{HELD}/compactions/0/parts/1", b""),
        ("PUT", f"{HELD}/compactions/7/parts/-1", b""),
        ("PUT", f"{HELD}/compactions/{2**70}/parts/1", b""),
        ("PUT", f"{HELD}/compactions/x/parts/1", b""),
        ("POST", f"{HELD}/compactions/7", b"{}"),
        ("POST", f"{HELD}/compactions/7", b'{"count": 3, "replaces": 1}'),
        ("PUT", f"{HELD}/compactions/7/parts/1", wire.pack_part(SnapshotPart(1, bytes(32), bytes(32), b"{}"))),
        ("POST", f"{HELD}/heartbeats", b"[]"),
        ("PUT", CATALOG, b"{}"),
        ("POST", "/internal/v1/progress", b"[]"),
        ("POST", f"{HELD}/letters", b'{"payload": "Both"}'),
        ("POST", f"{HELD}/rates/account/calls", b'{"calls": 1}'),
        ("POST", f"{HELD}/rates/account/calls", b'{"limit": {"requests": 1, "per": "1s"}, "calls": 0}'),
        ("POST", f"{HELD}/rates/account/refusals", b'{"pause": -1}'),
        ("POST", f"{HELD}/result", b'{"status": "Wonderful"}'),
    ],
)
async def test_what_cannot_be_read_is_refused_and_changes_nothing(
    http: httpx.AsyncClient, database: SqlStateStore, claim: Claim, method: str, path: str, body: bytes
) -> None:
    await database.commit(claim, Commit(99, RunCounts(), b"k" * 16, b"r" * 16))
    status, slug = problem(await http.request(method, path, content=body))
    assert (status, slug in ("invalid-input", wire.PROBLEM_UNREADABLE)) == (422, True)
    assert [part.keys for part in await parts(database, claim)] == [b"k" * 16]


async def test_a_value_is_never_quoted_back(http: httpx.AsyncClient, claim: Claim) -> None:
    response = await http.post(f"{HELD}/result", content=b'{"run": "r", "sync": "s", "status": "ada@example.com"}')
    assert problem(response) == (422, "unreadable-message")
    assert "ada@example.com" not in response.text


async def test_a_fence_that_is_no_number_is_refused(http: httpx.AsyncClient, claim: Claim) -> None:
    response = await http.get(HELD.replace("/1", "/one") + "/waiting")
    assert problem(response) == (422, "invalid-input")


async def test_a_body_beyond_the_limit_is_refused(
    service: str, token: Path, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 1_000)
    runner = HttpStateStore(service, token)
    await runner.commit(claim, Commit(1, RunCounts(), hashes(10), hashes(10)))
    with pytest.raises(InvalidInput, match="send at most 1000 bytes at once"):
        await runner.commit(claim, Commit(2, RunCounts(), hashes(1_000), hashes(1_000)))
    await runner.close()


async def test_a_runner_of_a_newer_version_is_told_so_and_may_try_again(service: str, token: Path) -> None:
    """While an operator is upgraded, an API pod of before may answer; the next attempt finds one of its own version."""
    asked = json.loads(wire.ClaimBody.of(request(), nonce="n" * 16).model_dump_json()) | {"ofNextYear": True}
    runner = HttpStateStore(service, token)
    with pytest.raises(StateError, match="it is of another version than this runner: ofNextYear") as told:
        await runner._send("POST", "/syncs/uid-of-contacts/claims", json.dumps(asked).encode())
    assert told.value.retriable
    await runner.close()


async def test_a_stale_fence_is_a_conflict_also_for_the_snapshot_stream(
    http: httpx.AsyncClient, database: SqlStateStore, claim: Claim
) -> None:
    await database.claim(request(attempt=2))
    assert problem(await http.get(f"{HELD}/snapshot")) == (409, "fenced")
    assert problem(await http.get(f"{HELD}/waiting")) == (409, "fenced")


async def test_a_busy_sync_is_a_conflict(http: httpx.AsyncClient, claim: Claim) -> None:
    asked = request("run-2")
    body = wire.ClaimBody.of(asked, nonce="n" * 16)
    response = await http.post("/internal/v1/syncs/uid-of-contacts/claims", content=body.model_dump_json())
    assert problem(response) == (409, "another-run-active")


async def test_the_sync_in_the_path_must_be_the_one_in_the_body(http: httpx.AsyncClient) -> None:
    asked = request()
    body = wire.ClaimBody.of(asked, nonce="n" * 16)
    response = await http.post("/internal/v1/syncs/uid-of-deals/claims", content=body.model_dump_json())
    assert problem(response) == (422, "invalid-input")


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(http: httpx.AsyncClient) -> None:
    assert problem(await http.get("/internal/v1/nothing")) == (404, "not-found")
    assert problem(await http.delete(f"{HELD}/commits")) == (405, "method-not-allowed")


async def test_the_state_service_is_not_on_the_public_port(database: SqlStateStore, service: str) -> None:
    async with serving(database, public=True) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get(f"{HELD}/waiting", headers={"Authorization": "Bearer token-of-growth"})
        assert problem(response) == (404, "not-found")


async def test_a_commit_survives_the_way_over_the_wire_byte_for_byte() -> None:
    commit = Commit(
        7,
        RunCounts(read=3, created=1, rejected=2),
        hashes(1),
        hashes(1),
        [
            letter(hashes(1)),
            letter(hashes(1), "NULL_KEY", row=hashes(1), attempts=4),
            replace(letter(hashes(1)), record=hashes(1), operation="delete", payload=None),
        ],
        b'{"id":1}\n',
        hashes(2),
        Notes("mapping", {"id": "int"}, "7"),
    )
    assert wire.unpack_commit(wire.pack_commit(commit)) == commit
