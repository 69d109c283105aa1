"""Batches that travel as jobs: submitted once, asked for by whichever runner is there, whatever happens between."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Batching,
    BatchRejected,
    Destination,
    Ended,
    JobResults,
    JobStatus,
    NotBegun,
    Outcome,
    Rejected,
    Running,
    Target,
    TryLater,
)
from retl.engine import pauses, pipeline
from retl.runspec.capabilities import Capabilities
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.sources.configs import DuckDBConfig
from retl.sources.duckdb import DuckDBSource
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore


class Vendor:
    """What outlives a runner: jobs and the records that they wrote."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.polled = asyncio.Event()
        self.ready = asyncio.Event()
        self.begun: set[str] = set()
        self.results: dict[str, Mapping[str, Outcome]] = {}
        self.refuses = False


class Jobbing(Destination):
    """A destination that takes batches as jobs when there are many rows."""

    name = "jobbing"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        self.capabilities = Capabilities(
            frozenset({"upsert", "append"}), 100, 100, "json", results="job", patience=timedelta(hours=1)
        )
        self.vendor = Vendor()
        self.fault: Exception | None = None

    async def open(self, target: Target) -> None:
        return

    def batching(self, operation: str, rows: int) -> Batching:
        return Batching(100, 100, asynchronous=rows > 10)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        return [self._take(json.loads(payload)) for payload in batch.payloads]

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        assert batch.payloads is not None
        handle = str(uuid.uuid4())
        self.vendor.jobs[handle] = [json.loads(payload) for payload in batch.payloads]
        await keep(handle)
        if self.fault is not None:
            raise self.fault
        self.vendor.begun.add(handle)
        return handle

    def marks(self, batch: Batch) -> Sequence[str]:
        assert batch.payloads is not None
        return [str(json.loads(payload)["id"]) for payload in batch.payloads]

    async def poll(self, handle: str) -> JobStatus:
        self.vendor.polled.set()
        if self.vendor.refuses:
            raise BatchRejected("DESTINATION_VALIDATION", "no such job")
        if handle not in self.vendor.begun:
            return NotBegun()
        return Ended() if self.vendor.ready.is_set() else Running(timedelta(milliseconds=5))

    async def collect(self, handle: str) -> JobResults:
        found = self.vendor.results
        if handle not in found:
            found[handle] = {str(r["id"]): self._take(r) for r in reversed(self.vendor.jobs[handle])}
        return JobResults(found[handle], ACKNOWLEDGED)

    async def close(self) -> None:
        return

    def _take(self, record: dict[str, Any]) -> Outcome:
        if record["name"] == "bad":
            return Rejected("DESTINATION_VALIDATION", "bad name")
        self.vendor.records[str(record["id"])] = record["name"]
        return ACKNOWLEDGED


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


class Scene:
    """Forty rows, one of them bad, and one vendor for all runs."""

    def __init__(self, directory: Path, state: SqlStateStore) -> None:
        self.state, self.directory, self.vendor = state, directory, Vendor()
        self.rows(40)
        self.fault: Exception | None = None
        self.patience = timedelta(hours=1)
        self.more: dict[str, Any] = {}

    def rows(self, count: int) -> None:
        sql = f"SELECT i AS id, CASE i WHEN 7 THEN 'bad' ELSE 'n' || i END AS name FROM range({count}) t(i)"
        duckdb.sql(f"COPY ({sql}) TO '{self.directory}/rows.parquet'")

    async def run(self, *, uid: str = "", attempt: int = 1, mode: str = "upsert", stop: bool = False) -> RunResult:
        destination = Jobbing(ConnectorConfig(), None)
        destination.vendor, destination.fault = self.vendor, self.fault
        destination.capabilities = Capabilities(
            frozenset({"upsert", "append"}), 100, 100, "json", results="job", patience=self.patience
        )
        uid = uid or str(uuid.uuid4())
        spec = RunSpec.model_validate(
            {
                "run": {"name": f"run-{uid[:8]}", "uid": uid, "attempt": attempt},
                "sync": {"namespace": "tests", "name": "sync", "uid": "sync-uid"},
                "source": {"name": "w", "uid": "s", "connector": "duckdb"},
                "query": {"table": "rows"},
                "destination": {"name": "d", "uid": "d", "connector": "http", "config": {"url": "http://x"}},
                "object": "accounts",
                "mode": mode,
                "primaryKey": ["id"],
                "mappings": [
                    {"source": "id", "destination": "id", "key": True},
                    {"source": "name", "destination": "name"},
                ],
                **self.more,
            }
        )
        source = DuckDBSource(DuckDBConfig(files={"rows": f"{self.directory}/rows.parquet"}), None)
        stopping = asyncio.Event()
        running = asyncio.ensure_future(
            pipeline.run(
                spec,
                source,
                destination,
                self.state,
                staging=self.directory / "staging",
                owner=this_process(),
                stop=stopping,
            )
        )
        if stop:
            await self.vendor.polled.wait()
            stopping.set()
        result = await running
        counts = result.counts.model_dump()
        assert counts.pop("read") == sum(counts.values())
        return result

    async def killed(self, uid: str, mode: str = "upsert") -> None:
        """A run that is gone while its job is under way."""
        running = asyncio.ensure_future(self.run(uid=uid, mode=mode))
        await self.vendor.polled.wait()
        running.cancel()
        await asyncio.wait({running})


@pytest.fixture
def scene(state: SqlStateStore, tmp_path: Path) -> Scene:
    return Scene(tmp_path, state)


async def test_many_rows_travel_as_a_job_and_each_is_told_its_own_outcome(scene: Scene) -> None:
    scene.vendor.ready.set()
    result = await scene.run()
    assert (result.counts.created, result.counts.rejected) == (39, 1)
    assert len(scene.vendor.jobs) == 1
    [letter] = await scene.state.dead_letters(namespace="tests")
    assert (letter.record_keys, letter.code) == ({"id": "7"}, "DESTINATION_VALIDATION")


async def test_few_rows_travel_without_a_job(scene: Scene) -> None:
    scene.rows(5)
    assert (await scene.run()).counts.created == 5
    assert not scene.vendor.jobs


@pytest.mark.parametrize("mode", ["upsert", "append"])
async def test_a_runner_that_follows_a_killed_one_asks_for_its_job_and_submits_none(scene: Scene, mode: str) -> None:
    uid = str(uuid.uuid4())
    await scene.killed(uid, mode)
    scene.vendor.ready.set()
    result = await scene.run(uid=uid, attempt=2, mode=mode)
    assert (result.counts.created + result.counts.updated, result.counts.rejected) == (39, 1)
    assert len(scene.vendor.jobs) == 1
    [letter] = await scene.state.dead_letters(namespace="tests")
    assert letter.record_keys == {"id": "7"}


async def test_rows_that_changed_meanwhile_are_sent_once_the_job_has_ended(scene: Scene) -> None:
    uid = str(uuid.uuid4())
    await scene.killed(uid)
    duckdb.sql(f"COPY (SELECT i AS id, 'new' || i AS name FROM range(5) t(i)) TO '{scene.directory}/rows.parquet'")
    scene.vendor.ready.set()
    result = await scene.run(uid=uid, attempt=2)
    assert result.counts.created == 5
    assert scene.vendor.records["3"] == "new3"


async def test_a_stopped_run_leaves_its_job_to_the_next_one(scene: Scene) -> None:
    assert (await scene.run(stop=True)).status == "Cancelled"
    scene.vendor.ready.set()
    assert (await scene.run()).counts.created == 39
    assert len(scene.vendor.jobs) == 1


async def test_the_next_run_asks_for_the_job_of_events_that_a_cursor_reads(scene: Scene) -> None:
    scene.more["changeDetection"] = {"strategy": "Cursor", "column": "id"}
    assert (await scene.run(mode="append", stop=True)).status == "Cancelled"
    scene.vendor.ready.set()
    counts = (await scene.run(mode="append")).counts
    assert (counts.created + counts.updated, counts.rejected, counts.unknown) == (39, 1, 0)
    assert len(scene.vendor.jobs) == 1


async def test_what_a_job_said_of_a_record_is_not_believed_once_the_record_was_sent_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid, wrote, write = str(uuid.uuid4()), asyncio.Event(), Jobbing.write

    async def write_and_hang(this: Jobbing, batch: Batch) -> Sequence[Outcome]:
        await write(this, batch)
        wrote.set()
        await asyncio.Event().wait()
        raise AssertionError

    await scene.killed(uid)
    scene.vendor.ready.set()
    duckdb.sql(f"COPY (SELECT i AS id, 'new' || i AS name FROM range(5) t(i)) TO '{scene.directory}/rows.parquet'")
    with monkeypatch.context() as patched:
        patched.setattr(Jobbing, "write", write_and_hang)
        running = asyncio.ensure_future(scene.run(uid=uid, attempt=2))
        await wrote.wait()
        running.cancel()
        await asyncio.wait({running})
    assert scene.vendor.records["3"] == "new3"
    scene.rows(40)
    await scene.run(uid=uid, attempt=3)
    assert scene.vendor.records["3"] == "n3"


async def test_a_job_of_which_the_destination_will_not_speak_is_given_up_in_time(scene: Scene) -> None:
    await scene.run(stop=True)
    scene.vendor.refuses = True
    assert (await scene.run()).counts.unknown == 0
    scene.patience = timedelta(0)
    assert (await scene.run()).counts.unknown == 40


async def test_a_job_that_never_began_is_submitted_anew(scene: Scene) -> None:
    scene.fault = TryLater("OUTCOME_UNKNOWN", "broke off")
    result = await scene.run(mode="append")
    assert (result.counts.created, result.counts.rejected, result.counts.unknown) == (0, 40, 0)
    scene.fault = None
    scene.vendor.ready.set()
    result = await scene.run(mode="append")
    assert (result.counts.created, result.counts.rejected) == (39, 1)


async def test_a_job_that_never_ends_is_given_up_with_its_outcome_unknown(scene: Scene) -> None:
    scene.patience = timedelta(0)
    result = await scene.run()
    assert result.counts.unknown == 40
    letters = await scene.state.dead_letters(namespace="tests")
    assert {letter.code for letter in letters} == {"OUTCOME_UNKNOWN"}
    assert "had not ended" in letters[0].message
