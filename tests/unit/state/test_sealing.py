"""What the state database holds of people's records cannot be read without its key."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from retl.errors import InvalidInput, StateError
from retl.resources.run import Replay, RunCounts
from retl.state.database import Database
from retl.state.sealing import Sealer, from_environment, local_key, parse_key
from retl.state.sql import SqlStateStore
from retl.state.store import Commit, NewDeadLetter, Notes
from tests.unit.state.databases import KEY, NAMESPACE, hashes, letter, parts, request, result

SECRET = "grace.hopper"
"""Stands in every value of the rows of these tests, and nowhere else."""


def _refused(key: bytes) -> NewDeadLetter:
    return NewDeadLetter(
        key=key,
        row=hashes(1),
        code="CAST_FAILED",
        message=f"age: {SECRET} is not a number",
        record_keys={"email": f"{SECRET}@example.com"},
        payload=b'{"email":"%s@example.com"}' % SECRET.encode(),
    )


async def _fill(store: SqlStateStore) -> None:
    """One of everything that holds values of rows."""
    claim = await store.claim(request())
    record = b'{"email":"%s@example.com"}\n' % SECRET.encode()
    notes = Notes(mapping="m", columns={"age": "int"}, watermark=SECRET)
    await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1), [_refused(b"1" * 16)], record, notes=notes))
    await store.commit(claim, Commit(2, RunCounts(), dead_letters=[_refused(b"1" * 16), _refused(b"2" * 16)]))
    await store.save_plan(claim, b'{"sample":"%s"}' % SECRET.encode())
    await store.compact(claim, await parts(store, claim), 1)
    [entry, _] = await store.dead_letters(namespace=NAMESPACE)
    assert await store.resolve(namespace=NAMESPACE, ids=[entry.id]) == 1


async def _everything(url: str) -> str:
    """All that stands in the database, as text."""

    def dump(connection: Connection) -> str:
        names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if connection.dialect.name == "postgresql":
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = connection.execute(text(names)).scalars().all()
        rows = [row for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
        values = [bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for row in rows for v in row]
        return b"\n".join(values).decode("latin-1")

    database = await Database.open(url)
    try:
        return await database.run(dump)
    finally:
        await database.close()


async def test_with_a_key_no_value_of_a_row_stands_in_the_database(url: str) -> None:
    store = await SqlStateStore.open(url, key=KEY)
    await _fill(store)
    await store.close()
    held = await _everything(url)
    assert "CAST_FAILED" in held
    assert SECRET not in held


async def test_not_even_in_the_files_of_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    store = await SqlStateStore.open(sqlite_url, key=KEY)
    await _fill(store)
    files = [path.read_bytes() for path in (tmp_path / ".retl").iterdir()]
    await store.close()
    assert any(b"CAST_FAILED" in data for data in files)
    assert not any(SECRET.encode() in data for data in files)


async def test_whoever_has_the_key_reads_all_of_it(url: str) -> None:
    store = await SqlStateStore.open(url, key=KEY)
    await _fill(store)
    await store.close()
    store = await SqlStateStore.open(url, key=KEY)
    [shown] = await store.dead_letters(namespace=NAMESPACE)
    assert (shown.message, shown.record_keys["email"]) == (
        f"age: {SECRET} is not a number",
        f"{SECRET}@example.com",
    )
    entry = await store.dead_letter(namespace=NAMESPACE, id=shown.id)
    assert entry is not None
    assert entry.payload == b'{"email":"%s@example.com"}' % SECRET.encode()
    assert await store.plan(namespace=NAMESPACE, run="run-1") == b'{"sample":"%s"}' % SECRET.encode()
    claim = await store.claim(request(attempt=2))
    assert claim.notes.watermark == SECRET
    assert [part.records for part in await parts(store, claim)] == [b'{"email":"%s@example.com"}\n' % SECRET.encode()]
    await store.close()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, r"sealed with key [0-9a-f]{8}; set RETL_STATE_KEY to that key"),
        (b"x" * 32, r"sealed with key [0-9a-f]{8}, and RETL_STATE_KEY is key [0-9a-f]{8}; set it to the former"),
    ],
)
async def test_without_the_right_key_everything_says_which_is_wanted(url: str, key: bytes | None, says: str) -> None:
    store = await SqlStateStore.open(url, key=KEY)
    await _fill(store)
    await store.finish(await store.claim(request(attempt=2)), result())
    await store.close()
    store = await SqlStateStore.open(url, key=key)
    for call in (
        store.dead_letters(namespace=NAMESPACE),
        store.plan(namespace=NAMESPACE, run="run-1"),
        store.claim(request("run-2")),
        store.erase(namespace=NAMESPACE, field="email", value="x"),
    ):
        with pytest.raises(StateError, match=says):
            await call
    await store.close()


async def test_entries_from_before_there_was_a_key_stay_readable(url: str) -> None:
    store = await SqlStateStore.open(url)
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(b"k" * 16)]))
    await store.close()
    store = await SqlStateStore.open(url, key=KEY)
    [entry] = await store.dead_letters(namespace=NAMESPACE)
    assert entry.record_keys["email"] == "ada@example.com"
    [kept] = [found async for found in store.letters(claim, Replay(payload="Stored"))]
    assert kept.payload == b'{"email":"ada@example.com"}'
    await store.close()


async def test_records_of_a_mirror_are_refused_where_there_is_no_key(url: str) -> None:
    store = await SqlStateStore.open(url)
    claim = await store.claim(request())
    with pytest.raises(InvalidInput, match=r"mode mirror.*set RETL_STATE_KEY"):
        await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1), records=b"{}\n"))
    assert await parts(store, claim) == []
    await store.close()


def test_what_was_changed_or_moved_to_another_place_does_not_open() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"text", "payloads of sync a")
    assert sealer.open(sealed, "payloads of sync a") == b"text"
    for stored, place in (
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "payloads of sync a"),
        (sealed[:-1], "payloads of sync a"),
        (sealed[:5], "payloads of sync a"),
        (sealed, "payloads of sync b"),
    ):
        with pytest.raises(StateError, match="is damaged"):
            sealer.open(stored, place)


def test_the_same_text_is_never_sealed_alike() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal(b"text", "x") != sealer.seal(b"text", "x")


@pytest.mark.parametrize("wrong", ["", "garbage!", base64.b64encode(b"short").decode(), "A" * 45])
def test_a_key_that_is_none_is_refused_and_not_quoted(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="RETL_STATE_KEY: is not base64 of 32 bytes") as refusal:
        parse_key(wrong)
    assert not wrong or wrong not in str(refusal.value)


def test_the_environment_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETL_STATE_KEY", base64.b64encode(KEY).decode() + "\n")
    assert from_environment() == KEY
    monkeypatch.setenv("RETL_STATE_KEY", "")
    assert from_environment() is None


def test_a_local_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / ".retl" / "state.db"
    key = local_key(file)
    assert len(key) == 32
    assert local_key(file) == key
    assert stat.S_IMODE((tmp_path / ".retl" / "state.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / ".retl").iterdir()] == ["state.key"]


def test_of_many_that_make_a_local_key_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: local_key(tmp_path / "state.db"), range(8)))
    assert len(keys) == 1


def test_a_local_key_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.key").write_text("")
    with pytest.raises(InvalidInput, match=r"state key .*/state.key: is not base64 of 32 bytes; restore it"):
        local_key(tmp_path / "state.db")
