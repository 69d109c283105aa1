"""A database of an earlier version, with what was in it, opened by this one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, create_engine, insert

import retl.state.migrations
from retl.resources.run import RunCounts
from retl.runspec.result import RunResult
from retl.state.history import RunsAsked
from retl.state.letter_pages import Asked
from retl.state.sql import SqlStateStore
from retl.state.store import Commit
from tests.unit.state.databases import NAMESPACE, Clock, hashes, letter, request, result

THEN = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
SYNC = {"sync_uid": "uid-of-contacts", "namespace": NAMESPACE}


@pytest.fixture
def first(url: str, tmp_path: Path) -> Iterator[Engine]:
    """A database at the first revision."""
    (tmp_path / ".retl").mkdir()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(retl.state.migrations.__file__).parent))
        command.upgrade(config, "0001")
    yield engine
    engine.dispose()


def run(number: int, state: str, ended: RunResult | None) -> dict[str, Any]:
    return SYNC | {
        "uid": f"uid-of-run-{number}",
        "name": f"run-{number}",
        "mode": "Sync",
        "fence": number,
        "attempt": 1,
        "state": state,
        "started_at": THEN + timedelta(hours=number),
        "finished_at": THEN + timedelta(hours=number, minutes=1) if ended else None,
        "counts": RunCounts(read=number).model_dump(),
        "result": ended and ended.model_dump(mode="json"),
        "dead_letters": 2,
        "plan": b"\0{}",
    }


def entry(id: str, key: bytes, at: datetime | None = None, resolution: str | None = None) -> dict[str, Any]:
    return SYNC | {
        "id": id,
        "key_hash": key,
        "row_hash": b"r" * 16,
        "record_hash": b"",
        "operation": "upsert",
        "run": "run-1",
        "code": "CONFLICT",
        "attempts": 1,
        "first_seen_at": THEN,
        "last_seen_at": THEN,
        "resolved_at": at,
        "resolution": resolution,
        "shown": b'\0{"message":"refused","record_keys":{"id":"1"}}',
        "payload": None,
    }


def fill(engine: Engine) -> None:
    """A sync with two runs, and an open, a superseded and a dismissed entry."""
    later = THEN + timedelta(minutes=5)
    rows: dict[str, list[dict[str, Any]]] = {
        "retl_syncs": [
            {"uid": "uid-of-contacts", "namespace": NAMESPACE, "name": "contacts", "salt": b"s" * 16, "fence": 2}
            | {"baseline": "hubspot/contacts/email", "ledger": "", "dropped": 0}
        ],
        "retl_runs": [run(1, "Succeeded", result(run="run-1")), run(2, "Failed", result("Failed", run="run-2"))],
        "retl_dead_letters": [
            entry("019523a0-0000-7000-8000-000000000001", b"o" * 16),
            entry("019523a0-0000-7000-8000-000000000002", b"s" * 16, THEN, "superseded"),
            entry("019523a0-0000-7000-8000-000000000003", b"d" * 16, later, "dismissed"),
        ],
        "retl_letter_counts": [{"sync_uid": "uid-of-contacts", "code": "CONFLICT", "open": 1, "resolved": 2}],
    }
    tables = MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        for name, some in rows.items():
            connection.execute(insert(tables.tables[name]), some)


async def test_what_an_earlier_version_kept_is_all_there(first: Engine, url: str) -> None:
    fill(first)
    store = await SqlStateStore.open(url, clock=Clock())
    rows = await store.history(RunsAsked(NAMESPACE, 50))
    assert [(row.uid, row.state, row.counts.read) for row in rows] == [
        ("uid-of-run-2", "Failed", 2),
        ("uid-of-run-1", "Succeeded", 1),
    ]
    assert [row.created_at for row in rows] == [row.started_at for row in rows]
    assert {(row.triggered_by, row.tick, row.full_refresh) for row in rows} == {(None, None, False)}
    assert await store.plan(namespace=NAMESPACE, run="run-1") == b"{}"
    for resolved, ids in ((False, ["1"]), (True, ["3", "2"])):
        found = await store.letter_page(Asked(NAMESPACE, None, resolved, None, None, 50, None))
        assert [each.id[-1] for each in found] == ids
        assert {(each.message, each.run, each.run_uid, each.reason) for each in found} == {
            ("refused", "run-1", None, None)
        }
    assert await store.letter_statistics(NAMESPACE) == ({"CONFLICT": 1}, 2)
    await store.close()


async def test_a_sync_of_an_earlier_version_goes_on(first: Engine, url: str) -> None:
    fill(first)
    clock = Clock()
    store = await SqlStateStore.open(url, clock=clock)
    clock.pass_by(timedelta(days=60))
    claim = await store.claim(request("run-3"))  # forgets what was resolved long ago, but for what is to be left out
    waiting = await store.waiting(claim)
    assert (waiting.keys, waiting.dismissed_keys) == (b"o" * 16, b"d" * 16)
    new = letter(hashes(1), "CONFLICT")
    await store.commit(claim, Commit(1, RunCounts(), dead_letters=[new], resolved=b"o" * 16))
    assert await store.letter_statistics(NAMESPACE) == ({"CONFLICT": 1}, 2)
    [opened] = await store.dead_letters(namespace=NAMESPACE)
    assert opened.run_uid == "uid-of-run-3"
    assert [row.name for row in await store.history(RunsAsked(NAMESPACE, 50))] == ["run-3", "run-2", "run-1"]
    await store.close()
