"""What holds for the API pod as a whole, whatever is asked."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from retl.rest.requests.limits import STREAMS
from tests.cluster.cluster import Cluster
from tests.cluster.objects import run_of, sync
from tests.cluster.rest_api import Rest, serving

SYNCS = "/api/reverse-etl/syncs"


@pytest.fixture
async def client(rest: Rest) -> AsyncIterator[httpx.AsyncClient]:
    async with rest.as_("operator") as client:
        yield client


async def test_every_answer_has_the_id_that_was_sent_or_one_of_its_own(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", SYNCS, "/nothing", f"{SYNCS}/x"):
        answer = await client.get(path, headers={"X-Request-ID": "from-a.client_1"})
        assert answer.headers["x-request-id"] == "from-a.client_1"
        if answer.status_code >= 400:
            assert answer.json()["instance"] == "urn:retl:request:from-a.client_1"
    for odd in ("a b", "", "x" * 65, "é"):
        answer = await client.get("/healthz", headers={b"X-Request-ID": odd.encode()})
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("body", "media", "status", "slug"),
    [
        (b'{"name": "' + b"a" * 1024 * 1024 + b'"}', "application/json", 413, "content-too-large"),
        (b"name: a", "application/yaml", 415, "unsupported-media-type"),
        (b'{"name": "a", "name": "b"}', "application/json", 422, "malformed-json"),
        (b"[" * 100_000, "application/json", 422, "malformed-json"),
        (b"{}", "application/json", 422, "invalid-input"),
    ],
)
async def test_a_body_that_cannot_be_is_a_problem(
    client: httpx.AsyncClient, body: bytes, media: str, status: int, slug: str
) -> None:
    answer = await client.post(SYNCS, content=body, headers={"Content-Type": media})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"].endswith(slug)


async def test_a_body_in_pieces_is_cut_off_where_it_is_too_long(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2_000):
            yield b" " * 1024

    answer = await client.post(SYNCS, content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_whoever_is_not_known_learns_nothing_of_their_body(rest: Rest) -> None:
    async with rest.as_(None) as nobody:
        answer = await nobody.post(SYNCS, content=b"{", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="reverse-etl"'


async def test_a_path_says_all_the_methods_that_it_takes(client: httpx.AsyncClient) -> None:
    answer = await client.patch(SYNCS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_the_access_log_tells_who_asked_what_and_no_credential(rest: Rest, client: httpx.AsyncClient) -> None:
    path = f"/api/v1/workspaces/{rest.namespace.name}/syncs"
    await client.get(path, headers={"X-Request-ID": "in-the-log"})
    await client.get("/a%0Ab%20status=200", headers={"X-Request-ID": "forged"})
    caller = f"system:serviceaccount:{rest.namespace.name}:retl-operator"
    async with asyncio.timeout(10):  # a line is written once its answer has been sent
        while "id=forged" not in (log := rest.log()):  # noqa: ASYNC110 - a file of another process tells no event
            await asyncio.sleep(0.05)
    line = next(line for line in log.splitlines() if line.endswith("id=in-the-log"))
    assert f"method=GET path={path} status=200 seconds=0." in line
    assert f" caller={caller} key=- workspace={rest.namespace.name} " in line
    assert "path=/a%0Ab%20status%3D200 status=404" in log
    assert rest.tokens["operator"] not in log


async def test_metrics_count_routes_and_not_ids(client: httpx.AsyncClient) -> None:
    await client.get(f"{SYNCS}/retl_sync_{'0' * 26}")
    await client.get(f"/v1{SYNCS}/retl_sync_{'0' * 26}")
    metrics = (await client.get("/metrics")).text
    for prefix in ("", "/v1"):
        assert f'code="404",method="GET",port="public",route="{prefix}{SYNCS}/{{id}}"' in metrics
    assert "retl_sync_000" not in metrics


async def test_whoever_asks_too_fast_is_told_when_to_come_back(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--rate", "0.1", "--burst", "3") as slow:
        async with slow.as_("viewer") as viewer, slow.as_("operator") as operator:
            answers = [await viewer.get(SYNCS) for _ in range(4)]
            other = await operator.get(SYNCS)
            metrics = (await viewer.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert other.status_code == 200
    assert "retl_api_throttled_total 1.0" in metrics


async def test_an_address_that_guesses_credentials_has_to_wait_whatever_name_it_gives_itself(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path) as guessed:
        async with guessed.client({"Authorization": "Bearer guess"}) as client:
            named = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(60)]
            statuses = [(await client.get(SYNCS, headers=each)).status_code for each in named]
    assert statuses[:20] == [401] * 20
    assert 429 in statuses


async def test_a_pod_that_is_told_to_leave_ends_streams_at_once_and_goes(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as leaving:
        leaving.namespace.apply(sync("accounts", destinationRef={"name": "http"}))
        leaving.namespace.create(run_of("accounts"))
        async with leaving.as_("viewer") as client:
            [run] = (await client.get("/api/reverse-etl/runs")).json()["data"]
            async with client.stream("GET", f"/api/reverse-etl/runs/{run['id']}/events") as stream:
                lines = stream.aiter_lines()
                assert stream.headers["content-type"].startswith("text/event-stream")
                told = [await anext(lines) for _ in range(3)]
                assert told[:1] == ["retry: 3000"]
                assert "event: run" in told
                assert "retl_api_streams 1.0" in (await client.get("/metrics")).text
                await _use_up_streams(client, f"/api/reverse-etl/runs/{run['id']}/events")
                started = asyncio.get_running_loop().time()
                leaving.program.stop(signal.SIGTERM, patience=20)
                rest = [line async for line in lines]
                assert "event: end" not in rest
                assert asyncio.get_running_loop().time() - started < 10
        assert "Traceback" not in leaving.log()


async def _use_up_streams(client: httpx.AsyncClient, events: str) -> None:
    """With one that is open already."""
    async with AsyncExitStack() as more:
        for _ in range(STREAMS - 1):
            assert (await more.enter_async_context(client.stream("GET", events))).status_code == 200
        refused = await client.get(events)
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many requests")
