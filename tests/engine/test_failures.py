"""What goes wrong ends in a result that says so, and the next run makes it good."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from retl.engine import pauses
from retl.errors import Fenced
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, Commit
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse
from tests.postgres import free_port


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """100 accounts to an endpoint, 10 in a batch, one batch at a time."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 100) i",
    )
    made = to_endpoint(warehouse, endpoint, state, tmp_path)
    made.more = {"delivery": {"batchSize": 10, "maxAttempts": 2, "maxInFlight": 1}}
    return made


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


def _wrong_password(sync: Sync) -> None:
    sync.source_login = {"username": "postgres", "password": "guessed-wrong"}


def _wrong_port(sync: Sync) -> None:
    sync.source = {**sync.source, "port": free_port()}


def _wrong_database(sync: Sync) -> None:
    sync.source = {**sync.source, "database": "nowhere"}


def _wrong_table(sync: Sync) -> None:
    sync.query = {"table": "crm.acounts"}


def _wrong_column(sync: Sync) -> None:
    sync.query = {"sql": "SELECT id, nam FROM accounts"}


def _bad_data(sync: Sync) -> None:
    sync.query = {"sql": "SELECT id, name::int AS name FROM accounts"}


def _unknown_source_column(sync: Sync) -> None:
    sync.mappings[1]["source"] = "nmae"


def _unknown_key(sync: Sync) -> None:
    sync.primary_key = ["uuid"]


def _twice(sync: Sync) -> None:
    sync.query = {"sql": "SELECT id, name, name FROM accounts"}


def _bad_constant(sync: Sync) -> None:
    sync.mappings[1] = {"value": "many", "destination": "seats", "cast": "integer"}


@pytest.mark.parametrize(
    ("mistake", "reason", "retriable", "words"),
    [
        (_wrong_password, "SourceFailed", False, "refused the login: password authentication failed"),
        (_wrong_port, "SourceUnavailable", True, "cannot be read from: connection to server at"),
        (_wrong_database, "SourceFailed", False, "has no database 'nowhere'; correct config.database"),
        (_wrong_table, "SourceFailed", False, 'relation "crm.acounts" does not exist'),
        (_wrong_column, "SourceFailed", False, 'column "nam" does not exist (Perhaps you meant'),
        (_bad_data, "SourceFailed", False, 'invalid input syntax for type integer: "…"'),
        (
            _unknown_source_column,
            "InvalidInput",
            False,
            'mappings[1].source: unknown column "nmae"; did you mean "name"?',
        ),
        (
            _unknown_key,
            "InvalidInput",
            False,
            'primaryKey[0]: unknown column "uuid"; did you mean "id"? the query returns: id, name',
        ),
        (_twice, "InvalidInput", False, 'the query returns 2 columns named "name"'),
        (_bad_constant, "InvalidInput", False, "mappings[1].value: 'many' cannot be cast to integer"),
    ],
)
async def test_what_is_wrong_with_the_source_is_said(
    sync: Sync, mistake: Callable[[Sync], None], reason: str, retriable: bool, words: str
) -> None:
    mistake(sync)
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", reason, retriable)
    assert words in result.message
    assert "guessed-wrong" not in result.message
    assert "Account" not in result.message


@pytest.mark.parametrize(
    ("config", "query", "words"),
    [
        ({"path": "/nowhere/w.duckdb"}, {"table": "t"}, "database does not exist"),
        ({"files": {"t": "/nowhere/*.parquet"}}, {"table": "t"}, "No files found that match the pattern"),
        ({"files": {"t": "{tmp}/t.csv"}}, {"table": "accounts"}, "Table with name accounts does not exist"),
        ({"files": {"t": "{tmp}/t.csv"}}, {"sql": "SELECT id, nam FROM t"}, '"nam" not found'),
        ({"files": {"t": "{tmp}/t.csv"}}, {"sql": "SELECT id, name::INT AS name FROM t"}, "Conversion Error"),
    ],
)
async def test_what_is_wrong_with_files_is_said(
    sync: Sync, tmp_path: Path, config: dict[str, Any], query: dict[str, str], words: str
) -> None:
    (tmp_path / "t.csv").write_text("id,name\n1,Confidential\n")
    files = {name: path.replace("{tmp}", str(tmp_path)) for name, path in config.get("files", {}).items()}
    sync.source_name, sync.source, sync.query = "duckdb", {**config, **({"files": files} if files else {})}, query
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "SourceFailed", False)
    assert words in result.message
    assert "Confidential" not in result.message


async def test_the_source_may_not_be_written(sync: Sync, warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'INSERT INTO accounts VALUES (0, $$x$$) RETURNING 0'"
    )
    sync.query = {"sql": "SELECT sneak() AS id, 'x' AS name"}
    result = await sync.run()
    assert "cannot execute INSERT in a read-only transaction" in result.message
    assert warehouse.rows("SELECT count(*) FROM accounts") == [(100,)]


async def test_the_source_sees_whose_connection_it_is(sync: Sync, endpoint: Endpoint) -> None:
    sync.query = {"sql": "SELECT 1 AS id, current_setting('application_name') AS name"}
    await sync.run()
    assert endpoint.records["1"]["name"] == "retl"


async def test_rate_limits_are_waited_out_and_cost_no_attempt(sync: Sync, endpoint: Endpoint) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    limits = [Answer(429, {"Retry-After": value}) for value in ("0", "1", date)]
    endpoint.answers = deque([*limits, Answer(429)])
    loop = asyncio.get_running_loop()
    began = loop.time()
    result = await sync.run()
    assert result.counts == RunCounts(read=100, created=100)
    assert loop.time() - began >= 1
    assert len(endpoint.requests) == 14


async def test_trouble_that_names_a_time_costs_attempts_all_the_same(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.always = Answer(503, {"Retry-After": "1"})
    assert (await sync.run()).reason == "DestinationUnavailable"
    assert len(endpoint.requests) == 2


async def test_a_moment_of_trouble_is_survived(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.answers = deque([Answer(503)])
    assert (await sync.run()).counts == RunCounts(read=100, created=100)


async def test_an_outage_fails_the_run_and_the_next_one_completes_it(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore
) -> None:
    endpoint.always = Answer(503, {}, '{"detail": "maintenance"}')
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationUnavailable", True)
    assert result.message.endswith("answered 503"), "the endpoint's words may repeat a row's values"
    assert result.counts == RunCounts(read=100, rejected=10, skipped=90)
    assert len(endpoint.requests) == 2
    letters = await state.dead_letters(namespace="tests", sync="sync")
    assert {(letter.code, letter.attempts) for letter in letters} == {("DESTINATION_UNAVAILABLE", 2)}
    assert letters[0].message.endswith("answered 503: maintenance")
    endpoint.always = None
    again = await sync.run()
    assert (again.counts, again.dead_letters) == (RunCounts(read=100, created=100), 0)


async def test_an_outage_in_the_middle_keeps_what_was_acknowledged(sync: Sync, endpoint: Endpoint) -> None:
    sync.more["delivery"]["maxInFlight"] = 4
    endpoint.answers, endpoint.always = deque([None] * 3), Answer(500)
    first = await sync.run()
    assert first.status == "Failed"
    stored = len(endpoint.records)
    assert first.counts.created == stored == 30
    endpoint.always = None
    second = await sync.run()
    assert second.counts == RunCounts(read=100, unchanged=stored, created=100 - stored)
    assert set(endpoint.writes.values()) == {1}


async def test_refused_credentials_end_the_run_at_once(sync: Sync, endpoint: Endpoint, state: SqlStateStore) -> None:
    endpoint.token = "right"
    sync.destination_login = {"token": "wrong-token"}
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationAuth", False)
    assert "refused the credentials with status 401" in result.message
    assert "wrong-token" not in result.message
    assert endpoint.requests == [10]
    letters = await state.dead_letters(namespace="tests", sync="sync")
    assert {letter.code for letter in letters} == {"DESTINATION_AUTH"}
    sync.destination_login = {"token": "right"}
    assert (await sync.run()).counts == RunCounts(read=100, created=100)


async def test_an_unreachable_destination_can_be_tried_again(sync: Sync) -> None:
    sync.destination_config = {"url": f"http://127.0.0.1:{free_port()}/"}
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationUnavailable", True)
    assert "cannot be reached" in result.message


async def test_a_check_of_the_destination_fails_before_the_source_is_read(sync: Sync, endpoint: Endpoint) -> None:
    sync.destination_config["checkUrl"] = f"http://127.0.0.1:{free_port()}/health"
    result = await sync.run()
    assert (result.reason, result.retriable, result.counts) == ("DestinationUnavailable", True, RunCounts())


async def test_an_answer_that_does_not_come_leaves_the_outcome_unknown(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore
) -> None:
    endpoint.gate.clear()
    sync.more["delivery"] |= {"timeout": "1s", "maxAttempts": 1}
    result = await sync.run()
    assert (result.status, result.counts) == ("Failed", RunCounts(read=100, unknown=10, skipped=90))
    letters = await state.dead_letters(namespace="tests", sync="sync")
    assert {letter.code for letter in letters} == {"OUTCOME_UNKNOWN"}
    endpoint.gate.set()
    again = await sync.run()
    assert (again.counts, again.dead_letters) == (RunCounts(read=100, created=100), 0)


async def test_a_row_whose_update_nobody_knows_of_is_sent_even_if_the_source_takes_it_back(
    sync: Sync, endpoint: Endpoint, warehouse: Warehouse
) -> None:
    await sync.run()
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id = 7")
    endpoint.gate.clear()
    sync.more["delivery"] |= {"timeout": "1s", "maxAttempts": 1}
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=99, unknown=1)
    endpoint.gate.set()
    warehouse.run("UPDATE accounts SET name = 'Account 7' WHERE id = 7")
    again = await sync.run()
    assert (again.counts, again.dead_letters) == (RunCounts(read=100, unchanged=99, updated=1), 0)


async def test_a_stopped_run_ends_what_is_in_flight_and_keeps_it(sync: Sync, endpoint: Endpoint) -> None:
    stop = asyncio.Event()
    endpoint.gate.clear()
    running = asyncio.ensure_future(sync.run(stop=stop))
    await endpoint.arrived.acquire()
    stop.set()
    endpoint.gate.set()
    result = await running
    assert (result.status, result.counts) == ("Cancelled", RunCounts(read=100, created=10, skipped=90))
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=10, created=90)
    assert set(endpoint.writes.values()) == {1}


async def test_a_run_that_is_stopped_while_it_reads_ends_soon(sync: Sync, warehouse: Warehouse) -> None:
    stop = asyncio.Event()
    sync.query = {"sql": "SELECT i AS id, pg_sleep(0.01)::text AS name FROM generate_series(1, 100000) i"}
    running = asyncio.ensure_future(sync.run(stop=stop))
    async with asyncio.timeout(20):
        await asyncio.to_thread(
            warehouse.wait_until, "SELECT count(*) = 2 FROM pg_stat_activity WHERE state = 'active'"
        )
        stop.set()
        result = await running
    assert (result.status, result.counts) == ("Cancelled", RunCounts())


async def test_a_stop_ends_a_wait_for_the_destination(sync: Sync, endpoint: Endpoint) -> None:
    stop = asyncio.Event()
    endpoint.always = Answer(429, {"Retry-After": "3600"})
    running = asyncio.ensure_future(sync.run(stop=stop))
    await endpoint.arrived.acquire()
    stop.set()
    result = await running
    assert (result.status, result.counts) == ("Cancelled", RunCounts(read=100, skipped=100))


async def test_a_second_run_of_the_same_sync_is_refused(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    first = asyncio.ensure_future(sync.run())
    await endpoint.arrived.acquire()
    second = await replace(sync, staging=sync.staging / "second").run()
    assert (second.status, second.reason, second.retriable) == ("Failed", "AnotherRunActive", True)
    endpoint.gate.set()
    assert (await first).status == "Succeeded"


class FencedStore(SqlStateStore):
    """A store in which a later claim takes over before the second commit."""

    async def commit(self, claim: Claim, commit: Commit) -> None:
        if commit.sequence == 2:
            raise Fenced("a later claim took over")
        await super().commit(claim, commit)


async def test_a_fenced_run_stops_at_once(sync: Sync, endpoint: Endpoint, tmp_path: Path) -> None:
    store = await FencedStore.open(f"sqlite:///{tmp_path}/fenced.db")
    sync.state = store
    endpoint.answers, endpoint.always = deque([None]), Answer(503)
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "Fenced", False)
    assert len(endpoint.records) == 10
    await store.close()


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ({"maxChanges": 99}, "100 records would be written, more than guards.maxChanges 99"),
        ({"minRows": 101}, "the query returned 100 rows, fewer than guards.minRows 101"),
    ],
)
async def test_a_breached_guard_holds_the_run_before_it_writes(
    sync: Sync, endpoint: Endpoint, guards: dict[str, object], words: str
) -> None:
    sync.more["guards"] = guards
    held = await sync.run()
    assert (held.status, held.reason, held.message) == ("AwaitingApproval", "GuardBreached", words)
    assert held.counts == RunCounts(read=100, skipped=100)
    assert endpoint.requests == []
    approved = await sync.run(approved_plan=held.plan_hash)
    assert (approved.status, approved.counts) == ("Succeeded", RunCounts(read=100, created=100))


async def test_one_record_and_one_attempt_are_told_in_the_singular(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run("DELETE FROM accounts WHERE id > 1")
    sync.more |= {"guards": {"maxChanges": 0, "minRows": 1}, "delivery": {"maxAttempts": 1}}
    held = await sync.run()
    assert held.message == "1 record would be written, more than guards.maxChanges 0"
    endpoint.always = Answer(503)
    assert "given up after 1 attempt: " in (await sync.run(approved_plan=held.plan_hash)).message


async def test_an_approval_of_another_plan_approves_nothing(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    sync.more["guards"] = {"maxChanges": 10}
    held = await sync.run()
    warehouse.run("UPDATE accounts SET name = 'other' WHERE id = 1")
    again = await sync.run(approved_plan=held.plan_hash)
    assert again.status == "AwaitingApproval"
    assert "the rows have changed since" in again.message
    assert again.plan_hash != held.plan_hash
    assert endpoint.requests == []


async def test_a_guard_can_fail_the_run_and_a_percentage_is_of_what_was_written(
    sync: Sync, warehouse: Warehouse
) -> None:
    sync.more["guards"] = {"maxChanges": "10%", "onBreach": "Fail"}
    assert (await sync.run()).status == "Succeeded", "nothing was written before, so there is nothing to compare with"
    warehouse.run("UPDATE accounts SET name = 'x' WHERE id <= 10")
    assert (await sync.run()).counts.updated == 10
    warehouse.run("UPDATE accounts SET name = 'y' WHERE id <= 11")
    failed = await sync.run()
    assert (failed.status, failed.reason, failed.retriable) == ("Failed", "GuardBreached", False)
    assert failed.counts == RunCounts(read=100, unchanged=89, skipped=11)


async def test_bad_rows_of_a_table_are_rejected_and_all_others_written(
    warehouse: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts AS SELECT i AS id, i::text AS name, 'a' || i AS code FROM generate_series(1, 5000) i",
        "UPDATE accounts SET name = NULL WHERE id = 17",
        "UPDATE accounts SET name = 'many' WHERE id = 2500",
        "UPDATE accounts SET name = '-1' WHERE id = 2501",
        "UPDATE accounts SET code = 'taken' WHERE id = 4999",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name int NOT NULL CHECK (name > 0), code text UNIQUE)",
        "INSERT INTO crm.accounts VALUES (0, 1, 'taken')",
    )
    sync = to_table(warehouse, state, tmp_path, "id", "name", "code")
    result = await sync.run()
    assert result.counts == RunCounts(read=5000, created=4996, rejected=4)
    assert warehouse.rows("SELECT count(*) FROM crm.accounts") == [(4997,)]
    letters = await state.dead_letters(namespace="tests", sync="sync")
    assert {letter.record_keys["id"]: (letter.code, letter.message) for letter in letters} == {
        "17": (
            "DESTINATION_VALIDATION",
            'null value in column "name" of relation "accounts" violates not-null constraint',
        ),
        "2500": ("DESTINATION_VALIDATION", 'invalid input syntax for type integer: "…"'),
        "2501": (
            "DESTINATION_VALIDATION",
            'new row for relation "accounts" violates check constraint "accounts_name_check"',
        ),
        "4999": ("CONFLICT", 'duplicate key value violates unique constraint "accounts_code_key"'),
    }
    warehouse.run("UPDATE accounts SET name = '1' WHERE id = 17", "UPDATE accounts SET name = '7' WHERE id = 1")
    assert (await sync.run()).counts == RunCounts(read=5000, unchanged=4995, created=1, updated=1, skipped=3)
    assert warehouse.rows("SELECT id, name FROM crm.accounts WHERE id IN (1, 17) ORDER BY 1") == [(1, 7), (17, 1)]
