"""What survives a kill, and two processes at once, in the databases themselves."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from retl.errors import StateError
from retl.resources.run import RunCounts
from retl.state import dead_letters, runs, snapshots
from retl.state.database import Database
from retl.state.sql import SqlStateStore
from retl.state.store import LEASE, Commit
from retl.state.tables import commits, snapshot_parts
from tests.unit.state.databases import NAMESPACE, Clock, hashes, letter, parts, request, result

CHILD = Path(__file__).with_name("child.py")


async def test_a_commit_that_fails_at_any_step_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StateError("the disk is full")

    store = await SqlStateStore.open(url)
    old = await store.claim(request("run-1", baseline="old"))
    await store.commit(old, Commit(1, RunCounts(), b"o" * 16, b"o" * 16, [letter(b"d" * 16)]))
    await store.finish(old, result())
    claim = await store.claim(request("run-2", baseline="new"))
    commit = Commit(
        1, RunCounts(read=2, created=1, rejected=1), b"k" * 16, b"r" * 16, [letter(b"e" * 16)], resolved=b"d" * 16
    )
    for module, step in (
        (dead_letters, "rebaseline"),
        (snapshots, "append"),
        (dead_letters, "supersede"),
        (dead_letters, "put"),
        (runs, "counted"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, fail)
            with pytest.raises(StateError, match="disk is full"):
                await store.commit(claim, commit)
        [entry] = await store.dead_letters(namespace=NAMESPACE)
        assert entry.run == "run-1", f"after a failure in {step}"
        assert await parts(store, claim) == [], f"after a failure in {step}"
    await store.commit(claim, commit)
    assert [part.keys for part in await parts(store, claim)] == [b"k" * 16]
    await store.close()


@pytest.mark.parametrize(
    "step", ["retl.state.snapshots:append", "retl.state.dead_letters:put", "retl.state.runs:counted"]
)
async def test_a_kill_within_a_commit_loses_that_commit_only_and_it_can_be_sent_again(url: str, step: str) -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), "die-at", url, step)
    assert await child.wait() == -signal.SIGKILL
    store = await SqlStateStore.open(url)
    claim = await store.claim(request("run-1", attempt=2))
    assert [part.keys for part in await parts(store, claim)] == [b"1" * 16]
    assert await store.dead_letters(namespace=NAMESPACE) == []
    await store.commit(claim, Commit(1, RunCounts(), b"2" * 16, hashes(1), [letter(b"d" * 16)]))
    assert [part.keys for part in await parts(store, claim)] == [b"1" * 16, b"2" * 16]
    await store.close()


async def test_of_many_processes_that_open_a_new_database_and_claim_exactly_one_wins(url: str) -> None:
    """They race twice: to create the schema, and for the claim."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), "claim", url, f"run-{n}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for n in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
    answers = [(await child.communicate(b"go\n"))[0].decode().strip() for child in children]
    assert sorted(answers) == ["Busy", "Busy", "Busy", "Claim"]


async def test_commits_of_different_syncs_go_on_side_by_side(url: str) -> None:
    stores = [await SqlStateStore.open(url) for _ in range(3)]

    async def work(store: SqlStateStore, sync: str) -> int:
        claim = await store.claim(request(f"run-of-{sync}", sync=sync))
        for sequence in range(1, 11):
            await store.commit(claim, Commit(sequence, RunCounts(), hashes(50), hashes(50), [letter(hashes(1))]))
        return len(await parts(store, claim))

    assert await asyncio.gather(*(work(store, f"sync-{n}") for n, store in enumerate(stores))) == [10, 10, 10]
    assert len(await stores[0].dead_letters(namespace=NAMESPACE)) == 30
    for store in stores:
        await store.close()


async def test_many_runs_leave_no_more_rows_than_a_few(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT", 5)
    clock = Clock()
    store = await SqlStateStore.open(url, clock=clock)
    for number in range(30):
        clock.pass_by(LEASE)  # overtakes the runs that did not end
        claim = await store.claim(request(f"run-{number}"))
        for sequence in (1, 2, 3):
            await store.commit(claim, Commit(sequence, RunCounts(), hashes(1), hashes(1)))
        read = await parts(store, claim)
        await store.stage(claim, 77, read[0])  # a compaction that never ends
        await store.compact(claim, read[-1:], replaces=read[-1].sequence)
        if number % 3:
            await store.finish(claim, result(run=f"run-{number}"))
    kept = [run.name for run in await store.runs(namespace=NAMESPACE)]
    assert kept == ["run-29", "run-28", "run-27", "run-26", "run-25"]
    await store.close()
    assert await _count_rows(url, commits) == 0
    assert await _count_rows(url, snapshot_parts) == 1


async def _count_rows(url: str, table: Table) -> int:
    database = await Database.open(url)
    try:
        return await database.run(
            lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
        )
    finally:
        await database.close()


async def test_reading_neither_waits_for_a_writer_nor_keeps_one_waiting(sqlite_url: str, tmp_path: Path) -> None:
    store = await SqlStateStore.open(sqlite_url, busy_timeout=timedelta(milliseconds=50))
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1), [letter(hashes(1))]))
    with closing(sqlite3.connect(tmp_path / ".retl" / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(await store.runs(namespace=NAMESPACE)) == 1
        assert len(await store.dead_letters(namespace=NAMESPACE)) == 1
        assert len(await parts(store, claim)) == 1
        other.execute("UPDATE retl_runs SET state = 'Failed'")
        other.execute("COMMIT")
    await store.close()
