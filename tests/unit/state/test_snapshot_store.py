"""Snapshot parts on an object store: true to the database through every crash, outage, race and loss."""

import asyncio
import logging
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from retl.errors import Fenced, InvalidInput, SnapshotDamaged, StateError
from retl.resources.run import RunCounts
from retl.state import parts as state_parts
from retl.state.blobs import Directory, open_blobs
from retl.state.http import HttpStateStore
from retl.state.snapshots import BLOB_GRACE
from retl.state.sql import SqlStateStore, utc_now
from retl.state.store import LEASE, Commit, SnapshotPart
from tests.rest.service import serving
from tests.unit.state.databases import NAMESPACE, Clock, hashes, pairs, parts, request, result
from tests.unit.state.gate import Gate, gate_to
from tests.unit.state.object_stores import ObjectStore, s3_environment

CHILD = Path(__file__).with_name("child.py")
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _every_part_gets_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_parts, "INLINE_BYTES", 0)


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """The directory that is the object store."""
    return tmp_path / "parts"


@pytest.fixture
async def store(url: str, objects: Path, clock: Clock) -> AsyncIterator[SqlStateStore]:
    store = await SqlStateStore.open(url, blobs=open_blobs(objects.as_uri()), clock=clock)
    yield store
    await store.close()


@pytest.fixture
async def gate(s3_server: ObjectStore, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    async with gate_to(s3_server.port) as gate:
        for name, value in s3_environment(gate.port).items():
            monkeypatch.setenv(name, value)
        yield gate


@pytest.fixture
async def remote(url: str, gate: Gate, s3_url: str, clock: Clock) -> AsyncIterator[SqlStateStore]:
    """A store whose parts lie behind the gate."""
    store = await SqlStateStore.open(url, blobs=open_blobs(s3_url), clock=clock)
    yield store
    await store.close()


class Held(Directory):
    """A directory that waits before it gives an object, and after it has written one.

    Attributes:
        waits: set while somebody waits.
        go_on: set to let everybody go on.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waits, self.go_on = asyncio.Event(), asyncio.Event()

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        await self._wait()

    async def get(self, name: str) -> bytes:
        await self._wait()
        return await super().get(name)

    async def _wait(self) -> None:
        self.waits.set()
        await self.go_on.wait()


class Undeletable(Directory):
    """A directory that is in trouble when something is to be deleted."""

    async def delete(self, names: Sequence[str]) -> None:
        raise StateError(f"{len(names)} objects cannot be deleted")


def commit(number: int, key: bytes = b"k") -> Commit:
    return Commit(number, RunCounts(), key * 16, bytes([number]) * 16)


def names(objects: Path) -> set[str]:
    return {path.name for path in objects.iterdir()} if objects.exists() else set()


async def begin_anew(store: SqlStateStore, run: str) -> None:
    """A run that does nothing but look after what others left."""
    claim = await store.claim(request(run))
    await store.finish(claim, result(run=run))


# Crashes and races


@pytest.mark.parametrize("step", ["retl.state.snapshots:announce", "retl.state.snapshots:append"])
async def test_a_kill_between_upload_and_commit_leaves_an_object_that_is_deleted_a_day_later(
    url: str, step: str, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETL_SNAPSHOT_URL", objects.as_uri())
    child = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), "die-at", url, step)
    assert await child.wait() == -signal.SIGKILL
    left = names(objects)
    assert len(left) == (1 if step.endswith("announce") else 2)

    clock = Clock(utc_now())
    store = await SqlStateStore.open(url, blobs=open_blobs(objects.as_uri()), clock=clock)
    claim = await store.claim(request("run-1", attempt=2))
    assert [part.keys for part in await parts(store, claim)] == [b"1" * 16]
    await store.commit(claim, commit(1, b"2"))
    await store.finish(claim, result())
    clock.pass_by(BLOB_GRACE)
    await begin_anew(store, "run-2")
    await store.close()
    assert len(names(objects)) == 2

    store = await SqlStateStore.open(url, blobs=open_blobs(objects.as_uri()), clock=clock)
    claim = await store.claim(request("run-3"))
    assert [part.keys for part in await parts(store, claim)] == [b"1" * 16, b"2" * 16]
    await store.close()


async def test_of_two_runs_that_race_only_the_later_claim_commits(
    remote: SqlStateStore, gate: Gate, clock: Clock
) -> None:
    gate.released.clear()
    first = await remote.claim(request("run-1"))
    late = asyncio.create_task(remote.commit(first, commit(1, b"1")))
    await gate.waiting.wait()
    clock.pass_by(LEASE)
    second = await remote.claim(request("run-2"))
    other = asyncio.create_task(remote.commit(second, commit(2, b"2")))
    gate.released.set()
    with pytest.raises(Fenced):
        await late
    await other
    assert await pairs(remote, second) == {b"2" * 16: b"\2" * 16}


@pytest.mark.parametrize(("deleter", "left"), [(Directory, 0), (Undeletable, 1)])
async def test_an_object_that_waited_so_long_that_it_is_to_be_deleted_is_not_committed(
    url: str, objects: Path, clock: Clock, deleter: type[Directory], left: int
) -> None:
    held = Held(objects)
    store = await SqlStateStore.open(url, blobs=held, clock=clock)
    claim = await store.claim(request(), nonce="same")
    late = asyncio.create_task(store.commit(claim, commit(1)))
    await held.waits.wait()
    clock.pass_by(BLOB_GRACE + timedelta(seconds=1))
    other = await SqlStateStore.open(url, blobs=deleter(objects), clock=clock)
    assert (await other.claim(request(), nonce="same")).fence == claim.fence  # looks after what was left
    await other.close()
    assert len(names(objects)) == left
    held.go_on.set()
    with pytest.raises(StateError, match="waited too long for its commit"):
        await late
    assert await parts(store, claim) == []
    await store.commit(claim, commit(1))
    assert await pairs(store, claim) == {b"k" * 16: b"\1" * 16}
    await store.close()


async def test_a_reader_that_was_overtaken_is_told_so_and_not_that_the_snapshot_is_damaged(
    url: str, objects: Path, clock: Clock
) -> None:
    held = Held(objects)
    stores = [await SqlStateStore.open(url, blobs=blobs, clock=clock) for blobs in (held, Directory(objects))]
    overtaken = await stores[1].claim(request("run-1"))
    await stores[1].commit(overtaken, commit(1))
    reading = asyncio.create_task(parts(stores[0], overtaken))
    await held.waits.wait()
    clock.pass_by(LEASE)
    claim = await stores[1].claim(request("run-2"))
    await stores[1].compact(claim, [SnapshotPart(1, b"c" * 16, b"c" * 16)], replaces=1)
    await stores[1].finish(claim, result(run="run-2"))
    assert len(names(objects)) == 2, "the reader may still need it"
    for run in ("run-3", "run-4"):
        await begin_anew(stores[1], run)
        clock.pass_by(BLOB_GRACE + timedelta(seconds=1))
    await stores[1].close()
    assert len(names(objects)) == 1
    held.go_on.set()
    with pytest.raises(Fenced):
        await reading
    await stores[0].close()


# Outages


async def test_a_commit_outwaits_an_outage_and_keeps_nobody_waiting(remote: SqlStateStore, gate: Gate) -> None:
    claim, other = await remote.claim(request()), await remote.claim(request("run-2", sync="other"))
    gate.opened.clear()
    async with asyncio.timeout(20):
        committing = asyncio.create_task(remote.commit(claim, commit(1)))
        for _ in range(3):
            await gate.turned_away.acquire()
        await remote.heartbeat(claim, RunCounts())
        await remote.commit(other, Commit(1, RunCounts(read=1)))
        gate.opened.set()
        await committing
    assert await pairs(remote, claim) == {b"k" * 16: b"\1" * 16}


async def test_a_commit_whose_upload_fails_leaves_nothing_and_can_be_sent_again(
    remote: SqlStateStore, gate: Gate
) -> None:
    claim = await remote.claim(request())
    await remote.commit(claim, commit(1, b"1"))
    gate.answer = FORBIDDEN
    gate.shut()
    with pytest.raises(StateError, match="access denied"):
        await remote.commit(claim, commit(2, b"2"))
    gate.opened.set()
    assert set(await pairs(remote, claim)) == {b"1" * 16}
    await remote.commit(claim, commit(2, b"2"))
    assert set(await pairs(remote, claim)) == {b"1" * 16, b"2" * 16}


async def test_objects_that_cannot_be_deleted_stop_no_run(
    remote: SqlStateStore, gate: Gate, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await remote.claim(request("run-1"))
    await remote.commit(claim, commit(1))
    await remote.compact(claim, [], replaces=1)
    await remote.finish(claim, result())
    await begin_anew(remote, "run-2")
    clock.pass_by(BLOB_GRACE + timedelta(seconds=1))
    gate.answer = FORBIDDEN
    gate.shut()
    await begin_anew(remote, "run-3")
    await remote.close()
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "objects of old snapshots are left for the next run: snapshot store s3://" in record.getMessage()


# Loss and damage


def _delete(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-32])


@pytest.mark.parametrize(
    ("harm", "said"), [(_delete, "is missing"), (_flip, "is not what was written"), (_cut, "is not what was written")]
)
async def test_a_part_that_is_lost_or_damaged_is_an_error_that_names_it_and_never_a_smaller_snapshot(
    store: SqlStateStore, objects: Path, harm: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), hashes(3), hashes(3)))
    before = names(objects)
    await store.commit(claim, Commit(2, RunCounts(), hashes(3), hashes(3)))
    [name] = names(objects) - before
    harm(objects / name)
    with pytest.raises(SnapshotDamaged, match=f"object {name} {said}") as caught:
        await parts(store, claim)
    assert not caught.value.retriable

    token = tmp_path / "token"
    token.write_text(f"token-of-{NAMESPACE}\n")
    async with serving(store) as service:
        runner = HttpStateStore(service, token)
        with pytest.raises(StateError, match=f"object {name} {said}"):
            await parts(runner, claim)
        await runner.close()


# What goes where


async def test_what_no_part_names_any_more_stays_for_a_day_and_no_longer(url: str, objects: Path, clock: Clock) -> None:
    for run, kept in (("run-1", 3), ("run-2", 3), ("run-3", 3), ("run-4", 1)):
        store = await SqlStateStore.open(url, blobs=Directory(objects), clock=clock)
        claim = await store.claim(request(run))
        if run == "run-1":
            await store.commit(claim, commit(1, b"1"))
            await store.commit(claim, commit(2, b"2"))
            await store.compact(claim, [SnapshotPart(1, b"c" * 16, b"c" * 16)], replaces=2)
        assert await pairs(store, claim) == {b"c" * 16: b"c" * 16}
        await store.finish(claim, result(run=run))
        await store.close()
        assert len(names(objects)) == kept, run
        clock.pass_by({"run-2": BLOB_GRACE, "run-3": timedelta(seconds=1)}.get(run, timedelta(0)))


async def test_a_database_whose_parts_lie_elsewhere_is_not_opened_without_them(url: str, store: SqlStateStore) -> None:
    claim = await store.claim(request())
    await store.commit(claim, commit(1))
    with pytest.raises(InvalidInput, match="parts of its snapshots are on an object store; set RETL_SNAPSHOT_URL"):
        await SqlStateStore.open(url)
    await store.compact(claim, [], replaces=1)
    await (await SqlStateStore.open(url)).close()


async def test_parts_stay_readable_in_the_database_when_an_object_store_is_set(url: str, objects: Path) -> None:
    plain = await SqlStateStore.open(url)
    claim = await plain.claim(request())
    await plain.commit(claim, commit(1, b"1"))
    await plain.close()
    store = await SqlStateStore.open(url, blobs=Directory(objects))
    await store.commit(claim, commit(2, b"2"))
    assert await pairs(store, claim) == {b"1" * 16: b"\1" * 16, b"2" * 16: b"\2" * 16}
    assert len(names(objects)) == 1
    await store.close()


async def test_objects_may_move_to_another_place(url: str, store: SqlStateStore, objects: Path) -> None:
    claim = await store.claim(request())
    await store.commit(claim, commit(1))
    moved = Path(shutil.move(objects, objects.with_name("elsewhere")))
    other = await SqlStateStore.open(url, blobs=Directory(moved))
    assert await pairs(other, claim) == {b"k" * 16: b"\1" * 16}
    await other.close()
    with pytest.raises(SnapshotDamaged, match="or set RETL_SNAPSHOT_URL to where the objects are"):
        await parts(store, claim)


async def test_a_part_too_small_for_an_object_waits_in_the_database_for_its_compaction(
    store: SqlStateStore, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_parts, "INLINE_BYTES", 64 * 1024)
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), hashes(2047), hashes(2047)))
    assert names(objects) == set()
    await store.compact(claim, [SnapshotPart(1, hashes(2048), hashes(2048))], replaces=1)
    assert len(names(objects)) == 1
    assert len(await pairs(store, claim)) == 2048


async def test_an_object_holds_hashes_and_sealed_records_and_nothing_readable(url: str, objects: Path) -> None:
    store = await SqlStateStore.open(url, key=bytes(32), blobs=Directory(objects))
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), b"k" * 16, b"r" * 16, records=b'{"email":"ada@example.com"}\n'))
    [part] = await parts(store, claim)
    assert part.records == b'{"email":"ada@example.com"}\n'
    [name] = names(objects)
    data = (objects / name).read_bytes()
    assert data.startswith(b"k" * 16 + b"r" * 16)
    assert b"ada" not in data
    await store.close()
