"""Faults of other tools, each of which was seen to lose, delete or repeat rows there: none of them does so here.

What a kill does is in test_kill, what is wrong with connections in tests/cli; speed and memory are measured by bench.
"""

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.kill_runs import runs
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse


async def letters(state: SqlStateStore) -> dict[str | None, DeadLetter]:
    """Open dead letters by the record's id."""
    found = await state.dead_letters(namespace="tests", sync="sync", limit=1000)
    return {letter.record_keys["id"]: letter for letter in found}


@pytest.fixture
async def mirror(warehouse: Warehouse, sealed: SqlStateStore, tmp_path: Path) -> Sync:
    """1,000 accounts, mirrored into a table that holds a record of somebody else; 50 of them are gone since."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 1000) i",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name text CHECK (name <> 'refused'))",
        "INSERT INTO crm.accounts VALUES (-1, 'of somebody else')",
    )
    sync = to_table(warehouse, sealed, tmp_path)
    sync.more = {"mode": "mirror", "delivery": {"batchSize": 100, "maxInFlight": 1}}
    assert (await sync.run()).counts == RunCounts(read=1000, created=1000)
    warehouse.run("DELETE FROM accounts WHERE id <= 50", "UPDATE accounts SET name = 'new' WHERE id % 2 = 0")
    return sync


def held(warehouse: Warehouse) -> int:
    """Records in the mirror."""
    (count,) = warehouse.rows("SELECT count(*) FROM crm.accounts")[0]
    assert isinstance(count, int)
    return count


# ---- deletes


async def test_no_record_is_deleted_when_the_query_fails_before_its_last_row(
    mirror: Sync, warehouse: Warehouse
) -> None:
    table, mirror.query = mirror.query, {"sql": "SELECT id, name || 1 / (id - 999) AS name FROM accounts"}
    assert (await mirror.run()).reason == "SourceFailed"
    assert held(warehouse) == 1001
    mirror.query = table
    assert (await mirror.run()).counts == RunCounts(read=1000, unchanged=475, updated=475, deleted=50)
    assert held(warehouse) == 951, "the record of somebody else is still there"


async def test_no_record_is_deleted_when_the_connection_to_the_source_is_lost(
    mirror: Sync, warehouse: Warehouse
) -> None:
    mirror.query = {"sql": "SELECT id, name, pg_sleep(CASE WHEN id > 900 THEN 0.1 END) IS NULL AS slept FROM accounts"}
    running = asyncio.ensure_future(mirror.run())
    reading = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
    await asyncio.to_thread(warehouse.wait_until, f"SELECT count(*) > 0 {reading}")
    warehouse.run(f"SELECT pg_terminate_backend(pid) {reading}")
    result = await running
    assert (result.status, result.reason, result.retriable) == ("Failed", "SourceUnavailable", True)
    assert held(warehouse) == 1001


async def test_no_record_is_deleted_when_a_run_is_stopped_while_it_writes(mirror: Sync, warehouse: Warehouse) -> None:
    warehouse.run("ALTER TABLE crm.accounts ADD COLUMN at timestamptz DEFAULT clock_timestamp()")
    stop = asyncio.Event()
    blocker = warehouse.server.connect(warehouse.database)
    with blocker.transaction():
        blocker.execute("SELECT 1 FROM crm.accounts WHERE id = 500 FOR UPDATE")  # one batch has to wait
        running = asyncio.ensure_future(mirror.run(stop=stop))
        await asyncio.to_thread(
            warehouse.wait_until, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        stop.set()
    blocker.close()
    result = await running
    assert (result.status, result.counts.deleted) == ("Cancelled", 0)
    assert held(warehouse) == 1001
    assert (await mirror.run()).counts.deleted == 50


async def test_no_record_is_deleted_in_a_run_in_which_a_row_is_refused(mirror: Sync, warehouse: Warehouse) -> None:
    warehouse.run("UPDATE accounts SET name = 'refused' WHERE id = 999")
    result = await mirror.run()
    assert result.counts == RunCounts(read=1000, unchanged=474, updated=475, rejected=1, skipped=50)
    assert "50 deletes were held back, because not every record was acknowledged" in result.message
    assert held(warehouse) == 1001


async def test_no_record_is_deleted_while_a_row_has_no_key(mirror: Sync, warehouse: Warehouse) -> None:
    warehouse.run("INSERT INTO accounts VALUES (NULL, 'may be one of those that are gone')")
    result = await mirror.run()
    assert (result.counts.invalid, result.counts.deleted, result.counts.skipped) == (1, 0, 50)
    assert "50 deletes were held back" in result.message
    assert held(warehouse) == 1001


async def test_no_record_is_deleted_when_the_runner_is_killed_before_all_rows_are_written(
    mirror: Sync, warehouse: Warehouse, tmp_path: Path
) -> None:
    async with runs() as forks:
        blocker = warehouse.server.connect(warehouse.database)
        with blocker.transaction():
            blocker.execute("SELECT 1 FROM crm.accounts WHERE id = 500 FOR UPDATE")
            ended = await forks.run(mirror, tmp_path / "sealed.db", kill_after=3)
        blocker.close()
        assert ended.killed
    assert held(warehouse) == 1001
    assert (await mirror.run()).counts.deleted == 50


@pytest.mark.parametrize("strategy", ["Snapshot", "None"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("TRUNCATE accounts", "1000 records would be deleted, more than guards.maxDeletes 10% of the 1000"),
        ("DELETE FROM accounts WHERE id <= 101", "101 records would be deleted, more than guards.maxDeletes 10%"),
    ],
)
async def test_a_source_that_is_empty_or_shrank_by_more_than_a_tenth_deletes_nothing_unasked(
    mirror: Sync, warehouse: Warehouse, strategy: str, change: Any, words: str
) -> None:
    mirror.more["changeDetection"] = {"strategy": strategy}
    warehouse.run(change)
    asked = await mirror.run()
    assert (asked.status, asked.reason) == ("AwaitingApproval", "GuardBreached")
    assert words in asked.message
    assert held(warehouse) == 1001
    gone = 1000 - warehouse.rows("SELECT count(*) FROM accounts")[0][0]
    approved = await mirror.run(approved_plan=asked.plan_hash)
    assert (approved.status, approved.counts.deleted) == ("Succeeded", gone)
    assert held(warehouse) == 1001 - gone


# ---- the cursor


@pytest.fixture
def cursor(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """Accounts that a cursor reads; some share its value, and the query returns them in no order."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text, changed int)",
        "INSERT INTO accounts SELECT i, 'Account ' || i, i / 10 FROM generate_series(1, 100) i",
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.query = {"sql": "SELECT * FROM accounts ORDER BY md5(id::text)"}
    sync.more = {
        "changeDetection": {"strategy": "Cursor", "column": "changed"},
        "delivery": {"batchSize": 10, "maxInFlight": 1, "maxAttempts": 1},
    }
    return sync


async def test_a_watermark_never_passes_a_row_that_was_refused(
    cursor: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    endpoint.atomic = True
    endpoint.check = lambda record: "refused" if record["id"] == 42 else None
    assert (await cursor.run()).counts == RunCounts(read=100, created=99, rejected=1)
    endpoint.check = lambda record: None
    warehouse.run("UPDATE accounts SET name = 'mended' WHERE id = 42")  # its cursor does not move
    again = await cursor.run()
    assert (again.counts.created, again.counts.read) == (1, 61), "read from the refused row's value on, which is 4"
    assert endpoint.records["42"]["name"] == "mended"
    assert (await cursor.run()).counts == RunCounts(read=1, unchanged=1)


async def test_a_watermark_does_not_move_over_what_a_stopped_or_failed_run_did_not_send(
    cursor: Sync, endpoint: Endpoint
) -> None:
    endpoint.answers, endpoint.always = deque([None] * 4), Answer(503)
    failed = await cursor.run()
    assert (failed.status, failed.counts.created) == ("Failed", 40)
    endpoint.always = None
    assert (await cursor.run()).counts == RunCounts(read=100, unchanged=40, created=60)


async def test_rows_with_the_watermarks_own_value_and_late_ones_within_the_lag_are_read(
    cursor: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    await cursor.run()
    warehouse.run("INSERT INTO accounts VALUES (101, 'a tie', 10), (102, 'late', 8), (103, 'NULL', NULL)")
    assert (await cursor.run()).counts == RunCounts(read=3, unchanged=1, created=2)
    cursor.more["changeDetection"]["lag"] = 2
    assert (await cursor.run()).counts.created == 1
    assert {"101", "102", "103"} <= endpoint.records.keys()


# ---- refused records


async def test_every_refused_row_has_its_key_and_reason_whatever_types_it_has(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE TABLE accounts AS SELECT i AS id, now() AS t, current_date AS d, 1.5::numeric(38, 9) AS n, "
        "'\\x00ff'::bytea AS b, '{\"a\": [1]}'::jsonb AS j, ARRAY['a', NULL] AS l, gen_random_uuid() AS u, "
        "interval '1 month 2 days' AS v, 'fine'::mood AS m, time '12:00' AS c, true AS f, 'NaN'::float8 AS x, "
        "'infinity'::timestamptz AS e, '1.2.3.4'::inet AS a FROM generate_series(1, 20) i",
    )
    columns = ["t", "d", "n", "b", "j", "l", "u", "v", "m", "c", "f", "e", "a"]
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, "id", *columns, results={})
    endpoint.style = "index"
    endpoint.check = lambda record: f"no such mood {record['id']}"
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=20, rejected=20), 20)
    found = await letters(state)
    assert {(key, letter.code, letter.message) for key, letter in found.items()} == {
        (str(i), "DESTINATION_VALIDATION", f"INVALID: no such mood {i}") for i in range(1, 21)
    }


async def test_what_is_above_the_cap_of_dead_letters_is_counted_and_sent_again(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts AS SELECT i AS id, 'Account ' || i AS name FROM generate_series(1, 10) i",
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, results={})
    sync.more = {"deadLetters": {"maxEntries": 3}}
    endpoint.style, endpoint.check = "index", lambda record: "refused"
    first = await sync.run()
    assert (first.counts.rejected, first.dead_letters, first.dead_letters_dropped) == (10, 3, 7)
    again = await sync.run()
    assert (again.counts.skipped, again.counts.rejected) == (3, 7), (
        "those that wait, and those that nothing was kept of"
    )


@pytest.mark.parametrize("payload", ["Fresh", "Stored"])
async def test_a_replay_never_puts_an_old_value_in_the_place_of_a_newer_one(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path, payload: str
) -> None:
    warehouse.run("CREATE TABLE accounts (id int, name text)", "INSERT INTO accounts VALUES (1, 'old'), (2, 'old')")
    sync = to_endpoint(warehouse, endpoint, state, tmp_path, results={})
    endpoint.style, endpoint.check = "index", lambda record: "refused" if record["name"] == "old" else None
    assert (await sync.run()).counts.rejected == 2
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id = 1")
    assert (await sync.run()).counts == RunCounts(read=2, created=1, skipped=1)
    endpoint.check = lambda record: None
    replayed = await sync.run(mode="Replay", replay={"payload": payload})
    assert replayed.counts == RunCounts(read=1, created=1)
    assert (endpoint.records["1"]["name"], endpoint.records["2"]["name"]) == ("new", "old")
    assert await letters(state) == {}
    assert (await sync.run()).counts == RunCounts(read=2, unchanged=2)


@pytest.mark.parametrize(
    ("config", "reply", "counts"),
    [
        ({}, Answer(207, body='{"results": [{"status": 422}, {"status": 200}]}'), RunCounts(read=2, unknown=2)),
        (
            {"results": {}},
            Answer(207, body='{"results": [{"status": 422}, {"status": 200}]}'),
            RunCounts(read=2, created=1, rejected=1),
        ),
        ({"results": {}}, Answer(200, body='{"results": [{"status": 200}]}'), RunCounts(read=2, unknown=2)),
        ({}, Answer(200, body='{"errors": ["quota exceeded"]}'), RunCounts(read=2, rejected=2)),
    ],
    ids=["207 that nobody reads", "207", "a record is missing", "errors within a 200"],
)
async def test_a_reply_of_success_is_read_for_what_it_says_of_each_record(
    warehouse: Warehouse,
    endpoint: Endpoint,
    state: SqlStateStore,
    tmp_path: Path,
    config: dict[str, Any],
    reply: Answer,
    counts: RunCounts,
) -> None:
    warehouse.run("CREATE TABLE accounts AS SELECT i AS id, 'Account ' || i AS name FROM generate_series(1, 2) i")
    endpoint.always = reply
    result = await to_endpoint(warehouse, endpoint, state, tmp_path, **config).run()
    assert (result.counts, result.dead_letters) == (counts, counts.rejected + counts.unknown)


# ---- diff


@pytest.fixture(params=["http", "postgres"])
def everywhere(
    request: pytest.FixtureRequest, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> Sync:
    """1,000 accounts to each kind of destination."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 1000) i",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name text, plan text)",
    )
    if request.param == "http":
        return to_endpoint(warehouse, endpoint, state, tmp_path)
    return to_table(warehouse, state, tmp_path)


async def test_only_differences_are_sent_to_any_destination_through_all_that_happens_to_a_sync(
    everywhere: Sync, warehouse: Warehouse
) -> None:
    sync = everywhere
    await sync.run()
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id <= 10", "INSERT INTO accounts VALUES (NULL, 'x')")
    assert (await sync.run()).counts == RunCounts(read=1001, unchanged=990, updated=10, invalid=1)
    warehouse.run("INSERT INTO accounts VALUES (1, 'twice')")
    assert (await sync.run()).counts == RunCounts(read=1002, unchanged=999, invalid=2, skipped=1)
    warehouse.run("DELETE FROM accounts WHERE id IS NULL OR name = 'twice'", "ALTER TABLE accounts ADD plan text")
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=1000), "a column that nothing maps is no change"
    sync.mappings.append({"source": "plan", "destination": "plan"})
    assert (await sync.run()).counts == RunCounts(read=1000, updated=1000)
    warehouse.run("UPDATE accounts SET plan = 'paid' WHERE id = 7")
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=999, updated=1)


async def test_changes_are_found_without_a_cursor_and_without_writing_to_the_source(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts AS SELECT i AS id, 'Account ' || i AS name FROM generate_series(1, 50000) i",
        "CREATE ROLE reader_of_accounts LOGIN PASSWORD 'reader'",
        "GRANT SELECT ON accounts TO reader_of_accounts",
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.source_login = {"username": "reader_of_accounts", "password": "reader"}
    await sync.run()
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id % 100 = 0", "VACUUM FREEZE accounts", "CHECKPOINT")
    (before,) = warehouse.rows("SELECT pg_current_wal_insert_lsn()")[0]
    result = await sync.run()
    assert result.counts == RunCounts(read=50_000, unchanged=49_500, updated=500)
    (written,) = warehouse.rows(f"SELECT pg_current_wal_insert_lsn() - '{before}'")[0]
    assert written < 8192, "the server's own notes of running transactions, and nothing of ours"
    warehouse.run("DROP OWNED BY reader_of_accounts", "DROP ROLE reader_of_accounts")


async def test_an_approved_plan_writes_exactly_the_planned_rows(everywhere: Sync, warehouse: Warehouse) -> None:
    sync = everywhere
    await sync.run()
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id % 100 = 0", "INSERT INTO accounts VALUES (1001, 'new')")
    planned = await sync.run(mode="Plan")
    assert planned.counts == RunCounts(read=1001, unchanged=990, created=1, updated=10)
    applied = await sync.run(approved_plan=planned.plan_hash)
    assert (applied.status, applied.counts) == ("Succeeded", planned.counts)
    warehouse.run("UPDATE accounts SET name = 'newer' WHERE id = 5")
    again = await sync.run(approved_plan=planned.plan_hash)
    assert (again.status, again.counts.updated) == ("AwaitingApproval", 0), "used once, and the rows are others"


# ---- rates and one run


async def test_a_wait_that_the_destination_asks_for_is_kept_to_the_second_and_is_no_attempt(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run("CREATE TABLE accounts AS SELECT i AS id, 'Account ' || i AS name FROM generate_series(1, 30) i")
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.more = {"delivery": {"batchSize": 10, "maxInFlight": 1, "maxAttempts": 1}}
    endpoint.answers = deque([None, *[Answer(429, {"Retry-After": "2"})] * 2])
    assert (await sync.run()).counts == RunCounts(read=30, created=30)
    gaps = [later - earlier for earlier, later in zip(endpoint.arrivals, endpoint.arrivals[1:], strict=False)]
    assert sum(gap >= 2 for gap in gaps) == 2
    assert max(gaps) < 4


async def test_two_processes_never_run_one_sync_at_a_time(
    warehouse: Warehouse, endpoint: Endpoint, sealed: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run("CREATE TABLE accounts AS SELECT i AS id, 'Account ' || i AS name FROM generate_series(1, 10) i")
    sync = to_endpoint(warehouse, endpoint, sealed, tmp_path)
    endpoint.gate.clear()
    async with runs() as forks:
        running = asyncio.ensure_future(forks.run(sync, tmp_path / "sealed.db"))
        await endpoint.arrived.acquire()
        refused = await replace(sync, staging=tmp_path / "second").run()
        assert (refused.status, refused.reason, refused.retriable) == ("Failed", "AnotherRunActive", True)
        endpoint.gate.set()
        ended = await running
    assert ended.result is not None
    assert ended.result.counts.created == 10
    assert endpoint.requests == [10]
