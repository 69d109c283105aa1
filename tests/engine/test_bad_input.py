"""Sources, destinations, disks and state stores that misbehave: the run says so, and the next one makes it good.

How replies are read is in tests/destinations, what becomes of odd values in test_values.
"""

import asyncio
import hashlib
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retl.engine import pauses
from retl.resources.run import RunCounts
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse
from tests.postgres import free_port
from tests.rest.service import serving

ROWS = 100


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """100 accounts to an endpoint, 10 in a batch, one batch at a time."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        f"INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, {ROWS}) i",
    )
    made = to_endpoint(warehouse, endpoint, state, tmp_path)
    made.more = {"delivery": {"batchSize": 10, "maxAttempts": 2, "maxInFlight": 1, "timeout": "2s"}}
    return made


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


# ---- the source


@pytest.mark.parametrize("kind", ["parquet", "json"])
async def test_a_file_that_ends_in_the_middle_fails_the_run_before_anything_is_sent(
    sync: Sync, endpoint: Endpoint, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"accounts.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"id": range(50_000), "name": ["x"] * 50_000}), file)
        file.write_bytes(file.read_bytes()[:-1000])
    else:
        file.write_text("".join(f'{{"id": {i}, "name": "x"}}\n' for i in range(50_000)) + '{"id": 50000, "na')
    sync.source_name, sync.source = "duckdb", {"files": {"accounts": str(file)}}
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "SourceFailed", False)
    assert endpoint.requests == []


async def test_ten_thousand_columns_are_refused_in_words(sync: Sync, endpoint: Endpoint, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], **{f"c{i}": [i] for i in range(9_999)}}), tmp_path / "wide.parquet")
    sync.source_name, sync.source = "duckdb", {"files": {"accounts": str(tmp_path / "wide.parquet")}}
    sync.more["allColumns"] = {}
    result = await sync.run()
    assert (result.status, result.reason) == ("Failed", "InvalidInput")
    assert "10000 columns" in result.message
    assert len(result.message) < 500
    assert endpoint.requests == []


async def test_values_of_a_megabyte_arrive_as_they_are(sync: Sync, warehouse: Warehouse, endpoint: Endpoint) -> None:
    warehouse.run("UPDATE accounts SET name = repeat(md5(id::text), 32768) WHERE id <= 40")
    assert (await sync.run()).counts == RunCounts(read=ROWS, created=ROWS)
    for key in range(1, 41):
        assert endpoint.records[str(key)]["name"] == hashlib.md5(str(key).encode()).hexdigest() * 32768


# ---- the destination

GARBAGE = Answer(raw=b"\x16\x03\x01\x02\x00 what?\r\n\r\n")
CUT = Answer(raw=b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"resu')
PAGE = Answer(200, {"Content-Type": "text/html"}, "<html><body>Please log in</body></html>")


@pytest.mark.parametrize("answer", [GARBAGE, CUT, PAGE], ids=["garbage", "a body cut off", "a web page"])
@pytest.mark.parametrize("written", [False, True], ids=["nothing was written", "all was written"])
async def test_an_answer_that_nobody_can_read_leaves_doubt_and_no_gap(
    sync: Sync, endpoint: Endpoint, answer: Answer, written: bool
) -> None:
    endpoint.answers = deque([None] * 3)
    endpoint.always = Answer(answer.status, answer.headers, answer.body, answer.raw, write=written)
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationUnavailable", True)
    assert result.counts == RunCounts(read=ROWS, created=30, unknown=10, skipped=60)
    endpoint.always = None
    again = await sync.run()
    assert (again.status, again.dead_letters) == ("Succeeded", 0)
    assert again.counts.unchanged == 30
    assert len(endpoint.records) == ROWS


async def test_an_endpoint_that_redirects_in_circles_is_called_once(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.always = Answer(302, {"Location": "/accounts"})
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationFailed", False)
    assert "redirects to /accounts" in result.message
    assert endpoint.requests == [10]


async def test_an_endpoint_that_never_answers_ends_the_run_after_its_attempts(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    sync.more["delivery"] |= {"timeout": "1s", "maxInFlight": 4}
    async with asyncio.timeout(30):
        result = await sync.run()
    assert (result.status, result.reason) == ("Failed", "DestinationUnavailable")
    assert result.counts == RunCounts(read=ROWS, unknown=40, skipped=60), "no more than was in flight"
    endpoint.gate.set()
    assert (await sync.run()).counts.created == ROWS


# ---- the disk


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of that size at a directory."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full soon")
async def test_a_full_disk_is_said_to_be_full_and_the_next_run_begins_on_a_clean_one(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run(
        "INSERT INTO accounts SELECT i, string_agg(md5(i::text || j), '') "
        "FROM generate_series(101, 20000) i, generate_series(1, 10) j GROUP BY i"
    )
    sync.more["delivery"] = {}
    with small_disk(sync.staging, "2m"):
        result = await sync.run()
        assert (result.status, result.reason) == ("Failed", "RunnerExhausted")
        assert "the runner's disk is full" in result.message
        assert endpoint.requests == []
        assert (await sync.run()).reason == "RunnerExhausted", "not for what the first run left behind"
    assert (await sync.run()).counts == RunCounts(read=20_000, created=20_000)


# ---- the state store


async def test_a_state_store_that_is_gone_for_a_while_is_waited_for(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-of-tests")
    port = free_port()
    remote = HttpStateStore(f"http://127.0.0.1:{port}", tmp_path / "token", patience=timedelta(seconds=30))
    sync.state = remote
    async with serving(state, port):
        running = asyncio.ensure_future(sync.run())
        for _ in range(3):
            await endpoint.arrived.acquire()
        endpoint.gate.clear()
    endpoint.gate.set()
    await asyncio.sleep(2)  # for this long, nobody listens
    assert not running.done()
    async with serving(state, port):
        result = await running
        assert (result.status, result.counts) == ("Succeeded", RunCounts(read=ROWS, created=ROWS))
        assert (await sync.run()).counts == RunCounts(read=ROWS, unchanged=ROWS)
    await remote.close()
    assert set(endpoint.writes.values()) == {1}


async def test_a_state_store_that_does_not_come_back_fails_the_run_and_loses_nothing(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-of-tests")
    port = free_port()
    remote = HttpStateStore(f"http://127.0.0.1:{port}", tmp_path / "token", patience=timedelta(seconds=1))
    sync.state = remote
    spec: dict[str, Any] = {"uid": "the-run", "name": "the-run"}
    async with serving(state, port):
        running = asyncio.ensure_future(sync.run(**spec))
        for _ in range(3):
            await endpoint.arrived.acquire()
        endpoint.gate.clear()
    endpoint.gate.set()
    result = await running
    assert (result.status, result.reason, result.retriable) == ("Failed", "StateUnavailable", True)
    async with serving(state, port):
        again = await sync.run(**spec, attempt=2)
    await remote.close()
    assert (again.status, again.counts.unchanged + again.counts.created) == ("Succeeded", ROWS)
    assert len(endpoint.records) == ROWS
