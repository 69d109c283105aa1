"""Objects in a directory and in the three vendors' stores: written whole, read whole, and in trouble named."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from retl.errors import InvalidInput, SnapshotDamaged, StateError
from retl.state import blobs
from retl.state.blobs import Blobs, new_name, open_blobs
from tests.unit.state.gate import Gate, gate_to
from tests.unit.state.object_stores import ObjectStore, s3_environment

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\nConnection: close\r\n\r\n<Key>hunter2-secret</Key>"


@pytest.fixture
async def gate(s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    """The way to the S3 server."""
    async with gate_to(s3_server.port) as gate:
        for name, value in s3_environment(gate.port).items():
            monkeypatch.setenv(name, value)
        yield gate


@pytest.fixture
def bucket(gate: Gate, s3_server: ObjectStore) -> Blobs:
    return open_blobs(f"{s3_server.url}/{gate.port}")


@pytest.mark.parametrize("layout", ["file", "s3", "gs", "az"], indirect=True)
async def test_an_object_reads_as_it_was_written_until_it_is_deleted(layout: str) -> None:
    store = open_blobs(layout)
    names, data = [new_name(), new_name()], os.urandom(1_000_000)
    await asyncio.gather(*(store.put(name, data) for name in names))
    assert [await store.get(name) for name in names] == [data, data]
    await store.delete([names[0], "never-written.part"])
    with pytest.raises(SnapshotDamaged, match=f"{layout}: object {names[0]} is missing"):
        await store.get(names[0])
    assert await store.get(names[1]) == data


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bucket/prefix",
        "http://example.com/bucket",
        "s3://",
        "s3://key:hunter2@bucket/prefix",
        "s3://bucket?secret=hunter2",
        "file://elsewhere/hunter2",
        "file:///",
        "s3://[hunter2",
    ],
)
def test_what_is_no_url_of_an_object_store_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match="RETL_SNAPSHOT_URL: write s3://bucket/prefix") as caught:
        open_blobs(url)
    assert "hunter2" not in str(caught.value)


def test_a_missing_setting_is_named_when_the_store_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidInput, match="az://container: Generic MicrosoftAzure error: Account must be specified"):
        open_blobs("az://container")


def test_a_missing_library_is_named_and_only_buckets_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    open_blobs(tmp_path.as_uri())
    with pytest.raises(InvalidInput, match=r"pip install 'reverse-etl-operator\[object-store\]'"):
        open_blobs("s3://bucket")


async def test_files_are_their_owners_only(tmp_path: Path) -> None:
    await open_blobs(f"{tmp_path.as_uri()}/with%20space/parts").put("a.part", b"1")
    directory = tmp_path / "with space" / "parts"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "a.part").stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == ["a.part"]


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=f"snapshot store {tmp_path.as_uri()}/file/parts: .*Not a directory"):
        await open_blobs(f"{tmp_path.as_uri()}/file/parts").put("a.part", b"1")


async def test_a_store_that_is_gone_for_a_while_is_waited_for(bucket: Blobs, gate: Gate) -> None:
    name = new_name()
    for work in (bucket.put(name, b"data"), bucket.get(name)):
        gate.opened.clear()
        async with asyncio.timeout(20):
            task = asyncio.ensure_future(work)
            for _ in range(3):
                await gate.turned_away.acquire()
            gate.opened.set()
            assert await task in {None, b"data"}


async def test_a_store_that_stays_away_is_named_when_patience_ends(
    gate: Gate, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "PATIENCE", blobs.PATIENCE / 30)
    gate.opened.clear()
    async with asyncio.timeout(20):
        with pytest.raises(
            StateError, match=r"snapshot store s3://snapshots/x: Generic S3 error: .*127\.0\.0\.1"
        ) as it:
            await open_blobs(f"{s3_server.url}/x").put("a.part", b"1")
    assert it.value.retriable
    assert "\n" not in str(it.value)


async def test_a_refusal_tells_what_to_allow_and_nothing_that_the_vendor_said(bucket: Blobs, gate: Gate) -> None:
    gate.answer = FORBIDDEN
    gate.opened.clear()
    for work in (bucket.put("a.part", b"1"), bucket.get("a.part"), bucket.delete(["a.part"])):
        with pytest.raises(StateError, match="access denied; allow these credentials to read, write and delete") as it:
            await work
        assert "hunter2" not in str(it.value)


async def test_a_bucket_that_does_not_exist_is_told_apart_from_a_missing_object(gate: Gate) -> None:
    with pytest.raises(StateError, match="snapshot store s3://nowhere/parts: there is no such bucket") as caught:
        await open_blobs("s3://nowhere/parts").put("a.part", b"1")
    assert caught.type is StateError
