"""What a record's way to the destination costs and leaves behind, whatever the destination answers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from math import log2
from pathlib import Path
from typing import Any

import pytest

from retl.engine import commit, pauses, pipeline
from retl.resources.destination import RateLimit
from retl.resources.run import RunCounts
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore
from retl.state.store import GONE, HASH_BYTES, NO_ROW, SENT, Claim, Commit
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse


class WatchedStore(SqlStateStore):
    """A store that remembers what was committed, and commits only while its gate is open."""

    commits: list[Commit]
    committed: asyncio.Semaphore
    gate: asyncio.Event

    async def commit(self, claim: Claim, commit: Commit) -> None:
        await self.gate.wait()
        self.commits.append(commit)
        await super().commit(claim, commit)
        self.committed.release()

    def announced(self, row: bytes) -> list[int]:
        """For each commit with such rows, how many."""
        found = [[c.rows[i : i + HASH_BYTES] for i in range(0, len(c.rows), HASH_BYTES)] for c in self.commits]
        return [rows.count(row) for rows in found if row in rows]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    opened = await WatchedStore.open(f"sqlite:///{tmp_path}/state.db")
    opened.commits, opened.committed, opened.gate = [], asyncio.Semaphore(0), asyncio.Event()
    opened.gate.set()
    yield opened
    await opened.close()


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, store: WatchedStore, tmp_path: Path) -> Sync:
    """100 accounts to an endpoint, 10 in a batch, one batch at a time."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text, seq int)",
        "INSERT INTO accounts SELECT i, 'Account ' || i, i FROM generate_series(1, 100) i",
    )
    made = to_endpoint(warehouse, endpoint, store, tmp_path)
    made.destination_config["operations"] = {
        each: {"url": endpoint.url + "/{object}/" + each} for each in ("insert", "update", "append", "delete")
    }
    made.more = {"delivery": {"batchSize": 10, "maxAttempts": 2, "maxInFlight": 1}}
    return made


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


def by_record(sync: Sync) -> None:
    """Let replies speak of each record."""
    sync.destination_config["results"] = {}


async def codes(store: SqlStateStore) -> dict[str, int]:
    found = [letter.code for letter in await store.dead_letters(namespace="tests", sync="sync")]
    return {code: found.count(code) for code in found}


async def crash(sync: Sync, endpoint: Endpoint, **run: Any) -> None:
    """Run until the first call has arrived, and end then as if the process had been killed."""
    endpoint.gate.clear()
    running = mortal(sync, **run)
    await endpoint.arrived.acquire()
    await kill(running)
    endpoint.gate.set()


def mortal(sync: Sync, **run: Any) -> asyncio.Future[Any]:
    """A run whose owner is a process that is no longer there, so that its claim is free once it is killed."""
    owner = f"{this_process().partition('/')[0]}/999999999/1"
    spec = sync.spec(**run)
    return asyncio.ensure_future(pipeline.run(spec, *sync.connectors(), sync.state, staging=sync.staging, owner=owner))


async def kill(running: asyncio.Future[Any]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


# ------------------------------------------------------------------------------------------ a destination in trouble


@pytest.mark.parametrize(("in_flight", "attempts"), [(8, 3), (4, 6), (64, 2)])
async def test_a_dead_destination_is_not_called_by_every_batch_as_often_as_one_may(
    sync: Sync, endpoint: Endpoint, in_flight: int, attempts: int
) -> None:
    sync.more["delivery"] = {"batchSize": 1, "maxAttempts": attempts, "maxInFlight": in_flight}
    endpoint.always = Answer(503)
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationUnavailable", True)
    assert attempts <= len(endpoint.requests) <= in_flight + attempts + 2


async def test_an_outage_shorter_than_the_probes_is_survived_and_traffic_comes_back(
    sync: Sync, endpoint: Endpoint
) -> None:
    sync.more["delivery"] = {"batchSize": 1, "maxAttempts": 10, "maxInFlight": 4}
    endpoint.answers = deque([Answer(503)] * 8)
    assert (await sync.run()).counts == RunCounts(read=100, created=100)
    assert len(endpoint.requests) == 108
    assert set(endpoint.writes.values()) == {1}


async def test_credentials_that_expire_on_the_way_end_the_run_and_keep_what_was_acknowledged(
    sync: Sync, endpoint: Endpoint, store: WatchedStore
) -> None:
    endpoint.answers = deque([None] * 3 + [Answer(401)])
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "DestinationAuth", False)
    assert result.counts == RunCounts(read=100, created=30, rejected=10, skipped=60)
    assert await codes(store) == {"DESTINATION_AUTH": 10}
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=30, created=70)
    assert set(endpoint.writes.values()) == {1}


async def test_while_the_state_store_is_gone_delivery_waits_and_then_goes_on(
    sync: Sync, endpoint: Endpoint, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MAX_PENDING_BYTES", 20 * HASH_BYTES)
    store.gate.clear()
    running = asyncio.ensure_future(sync.run())
    for _ in range(3):
        await endpoint.arrived.acquire()
    for _ in range(50):
        await asyncio.sleep(0.005)
    held = len(endpoint.requests)
    assert held <= 6, "the commit under way, two batches pending, and those that wait to be"
    store.gate.set()
    assert (await running).counts == RunCounts(read=100, created=100)


# ----------------------------------------------------------------------------------------- bad records, few and many


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 100, 1000, 1024])
async def test_one_bad_record_of_n_costs_at_most_twice_log_n_calls(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, size: int
) -> None:
    warehouse.run("TRUNCATE accounts", "INSERT INTO accounts SELECT i, 'x' FROM generate_series(1, 1024) i")
    sync.query = {"sql": f"SELECT * FROM accounts WHERE id <= {size} ORDER BY id"}
    sync.more["delivery"]["batchSize"] = size
    endpoint.atomic = True
    for bad in {1, size // 3 + 1, size // 2 + 1, size}:
        endpoint.requests.clear()
        endpoint.check = lambda record, bad=bad: "bad" if record["id"] == bad else None  # type: ignore[misc]
        result = await sync.run(full_refresh=True)
        assert (result.counts.rejected, result.dead_letters) == (1, 1)
        assert len(endpoint.records) >= size - 1
        assert len(endpoint.requests) - 1 <= 2 * log2(size)


@pytest.mark.parametrize(("limit", "refused"), [(3, 4), ("3%", 4), (0, 1), ("0%", 1)])
async def test_a_run_stops_when_more_records_are_refused_than_the_sync_allows(
    sync: Sync, endpoint: Endpoint, store: WatchedStore, limit: int | str, refused: int
) -> None:
    sync.more["guards"] = {"maxRejected": limit}
    endpoint.atomic, endpoint.check = True, lambda record: "bad" if record["id"] > 20 else None
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "ErrorBudgetExceeded", False)
    assert f"{refused} record{' was' if refused == 1 else 's were'} refused, more than guards.maxRejected {limit}" in (
        result.message
    )
    assert result.counts == RunCounts(read=100, created=20, rejected=refused, skipped=80 - refused)
    assert result.dead_letters == refused
    endpoint.check = lambda record: None
    again = await sync.run()
    assert again.counts == RunCounts(read=100, unchanged=20, created=80 - refused, skipped=refused)


async def test_as_many_refused_records_as_allowed_do_not_stop_a_run(sync: Sync, endpoint: Endpoint) -> None:
    sync.more["guards"] = {"maxRejected": "4%"}
    endpoint.atomic, endpoint.check = True, lambda record: "bad" if record["id"] > 96 else None
    result = await sync.run()
    assert (result.status, result.counts) == ("Succeeded", RunCounts(read=100, created=96, rejected=4))


@pytest.mark.parametrize(("records", "requests"), [(3, [3]), (10, [10]), (25, [10, 10, 5])])
async def test_the_canary_goes_first_and_a_bad_one_ends_the_run(
    sync: Sync, endpoint: Endpoint, records: int, requests: list[int]
) -> None:
    by_record(sync)
    sync.more["delivery"] |= {"canary": {"records": records, "maxErrors": 0}, "maxInFlight": 4}
    endpoint.style, endpoint.check = "index", lambda record: "bad" if record["id"] == 2 else None
    result = await sync.run()
    assert (result.status, result.reason, result.retriable) == ("Failed", "CanaryFailed", False)
    assert f"1 of the first {records} records were refused" in result.message
    assert result.counts == RunCounts(read=100, created=records - 1, rejected=1, skipped=100 - records)
    assert endpoint.requests == requests


async def test_a_canary_within_its_limit_lets_all_others_follow(sync: Sync, endpoint: Endpoint) -> None:
    by_record(sync)
    sync.more["delivery"]["canary"] = {"records": 5, "maxErrors": 1}
    endpoint.style, endpoint.check = "index", lambda record: "bad" if record["id"] in (2, 50, 60) else None
    result = await sync.run()
    assert (result.status, result.counts) == ("Succeeded", RunCounts(read=100, created=97, rejected=3))
    assert endpoint.requests[:2] == [5, 5]
    assert sum(endpoint.requests) == 100


async def test_a_canary_larger_than_the_run_judges_all_of_it(sync: Sync, endpoint: Endpoint) -> None:
    by_record(sync)
    sync.more["delivery"]["canary"] = {"records": 1000, "maxErrors": 0}
    endpoint.style, endpoint.check = "index", lambda record: "bad" if record["id"] == 100 else None
    result = await sync.run()
    assert (result.reason, result.counts) == ("CanaryFailed", RunCounts(read=100, created=99, rejected=1))
    assert "1 of the first 100 records" in result.message


# --------------------------------------------------------------------------------------- what may have been written


async def test_creates_are_not_announced_and_updates_once_for_a_whole_block(
    sync: Sync, warehouse: Warehouse, store: WatchedStore
) -> None:
    await sync.run()
    assert store.announced(NO_ROW) == store.announced(SENT) == [], "the first load pays nothing"
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id <= 50", "INSERT INTO accounts VALUES (101, 'x')")
    assert (await sync.run()).counts == RunCounts(read=101, unchanged=50, updated=50, created=1)
    assert store.announced(NO_ROW) == [50]
    assert store.announced(SENT) == []


async def test_an_update_in_flight_at_a_kill_is_never_taken_for_unchanged(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    await sync.run()
    endpoint.arrived = asyncio.Semaphore(0)
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id = 7")
    await crash(sync, endpoint)
    warehouse.run("UPDATE accounts SET name = 'Account 7' WHERE id = 7")
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=99, updated=1)
    assert endpoint.records["7"]["name"] == "Account 7"


def events(sync: Sync, on_unknown: str) -> None:
    """Make it a sync of events that a cursor tells apart, to an endpoint that knows nothing of repetitions."""
    sync.more |= {"mode": "append", "changeDetection": {"strategy": "Cursor", "column": "seq"}}
    sync.more["delivery"] |= {"onUnknown": on_unknown, "timeout": "1s", "maxAttempts": 5}


@pytest.mark.parametrize(
    ("policy", "after", "letters", "times"),
    [
        ("Resend", RunCounts(read=100, unchanged=90, created=10), 0, 2),
        ("Hold", RunCounts(read=100, unchanged=90, skipped=10), 10, 1),
        ("Accept", RunCounts(read=1, unchanged=1), 0, 1),
    ],
)
async def test_an_event_that_may_have_been_written_is_not_repeated_in_its_run_and_then_as_the_sync_says(
    sync: Sync, endpoint: Endpoint, policy: str, after: RunCounts, letters: int, times: int
) -> None:
    events(sync, policy)
    late = asyncio.ensure_future(_open_after(endpoint, 1.5))
    endpoint.gate.clear()
    first = await sync.run()
    await late
    assert (first.status, first.counts) == ("Succeeded", RunCounts(read=100, unknown=10, created=90))
    assert first.dead_letters == (0 if policy == "Accept" else 10)
    again = await sync.run()
    assert (again.counts, again.dead_letters) == (after, letters)
    assert max(endpoint.writes.values()) == times


async def _open_after(endpoint: Endpoint, seconds: float) -> None:
    """Let the requests pass that wait until then: too late for the first of them."""
    await endpoint.arrived.acquire()
    await asyncio.sleep(seconds)
    endpoint.gate.set()


@pytest.mark.parametrize(
    ("policy", "after", "letters"),
    [
        ("Resend", RunCounts(read=100, created=100), 0),
        ("Hold", RunCounts(read=100, created=90, skipped=10), 10),
        ("Accept", RunCounts(read=100, created=90, unchanged=10), 0),
    ],
)
async def test_records_that_never_got_an_answer_go_on_as_the_sync_says_also_where_they_may_be_repeated(
    sync: Sync, endpoint: Endpoint, policy: str, after: RunCounts, letters: int
) -> None:
    sync.more["delivery"] |= {"timeout": "1s", "maxAttempts": 1, "onUnknown": policy}
    endpoint.gate.clear()
    first = await sync.run()
    assert (first.reason, first.counts) == ("DestinationUnavailable", RunCounts(read=100, unknown=10, skipped=90))
    endpoint.gate.set()
    again = await sync.run()
    assert (again.counts, again.dead_letters) == (after, letters)


@pytest.mark.parametrize(
    ("policy", "after", "letters"),
    [
        ("Resend", RunCounts(read=100, unchanged=90, created=10), 0),
        ("Hold", RunCounts(read=100, unchanged=90, skipped=10), 10),
        ("Accept", RunCounts(read=100, unchanged=100), 0),
    ],
)
async def test_events_in_flight_at_a_kill_are_not_repeated_by_the_next_attempt_and_then_as_the_sync_says(
    sync: Sync, endpoint: Endpoint, store: WatchedStore, policy: str, after: RunCounts, letters: int
) -> None:
    events(sync, policy)
    run: dict[str, Any] = {"name": "run", "uid": "run-uid"}
    await crash(sync, endpoint, **run)
    second = await sync.run(**run, attempt=2)
    assert second.counts == RunCounts(read=100, unknown=10, created=90)
    assert await codes(store) == ({} if policy == "Accept" else {"OUTCOME_UNKNOWN": 10})
    again = await sync.run(full_refresh=False)
    assert (again.counts, again.dead_letters) == (after, letters)


async def test_many_events_without_an_answer_end_the_run_and_no_more_of_them_are_sent(
    sync: Sync, endpoint: Endpoint
) -> None:
    events(sync, "Resend")
    sync.more["delivery"]["maxAttempts"] = 1
    endpoint.gate.clear()
    result = await sync.run()
    assert (result.reason, result.retriable) == ("DestinationUnavailable", True)
    assert "given up after 4 calls failed in a row" in result.message
    assert result.counts == RunCounts(read=100, unknown=40, skipped=60)


async def test_events_that_were_refused_or_never_sent_are_not_taken_for_begun(sync: Sync, endpoint: Endpoint) -> None:
    events(sync, "Hold")
    endpoint.answers = deque([None, Answer(422, {}, "no")] + [Answer(422, {}, "no")] * 30)
    sync.more["guards"] = {"maxRejected": 0}
    first = await sync.run()
    assert first.counts == RunCounts(read=100, created=10, rejected=1, skipped=89)
    endpoint.answers.clear()
    again = await sync.run(full_refresh=True)
    assert again.counts.unknown == 0
    assert set(endpoint.writes.values()) <= {1, 2}
    assert len(endpoint.writes) == 100


async def test_events_that_wait_for_the_rate_when_the_run_is_stopped_are_sent_by_the_next_one(
    sync: Sync, endpoint: Endpoint, store: WatchedStore
) -> None:
    events(sync, "Hold")
    sync.more["delivery"]["maxInFlight"] = 4
    destination = sync.spec().destination
    sync.more["destination"] = destination.model_copy(update={"rate_limit": RateLimit(requests=1, per="1d")})
    stop = asyncio.Event()
    running = asyncio.ensure_future(sync.run(stop=stop))
    await endpoint.arrived.acquire()
    while sum(store.announced(SENT)) < 40:
        await store.committed.acquire()
    stop.set()
    stopped = await running
    assert (stopped.status, stopped.counts) == ("Cancelled", RunCounts(read=100, created=10, skipped=90))
    sync.more["destination"] = destination
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=10, created=90)
    assert set(endpoint.writes.values()) == {1}


async def test_an_idempotency_key_makes_events_safe_to_repeat_over_retries_halves_and_attempts(
    sync: Sync, endpoint: Endpoint
) -> None:
    events(sync, "Resend")
    sync.destination_config["idempotency"] = {"field": "event_id", "header": None}
    endpoint.id_field = "event_id"
    run: dict[str, Any] = {"name": "run", "uid": "run-uid"}
    await crash(sync, endpoint, **run)
    endpoint.answers = deque([Answer(503, write=True), Answer(422, {}, "look closer", write=True)])
    second = await sync.run(**run, attempt=2)
    assert second.counts == RunCounts(read=100, created=100)
    assert set(endpoint.writes.values()) == {1}
    assert len({event["event_id"] for event in endpoint.events}) == 100


async def test_a_record_that_is_changed_and_changed_back_is_not_taken_for_repeated(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    sync.destination_config["idempotency"] = {}
    sync.more["delivery"]["batchSize"] = 1
    for name in ("first", "second", "first"):
        warehouse.run(f"UPDATE accounts SET name = '{name}' WHERE id = 7")
        await sync.run()
        assert endpoint.records["7"]["name"] == name


# ------------------------------------------------------------------------------------- records that are left alone


async def test_an_insert_leaves_what_exists_alone_and_remembers_it(sync: Sync, endpoint: Endpoint) -> None:
    by_record(sync)
    sync.more["mode"], endpoint.style = "insert", "index"
    endpoint.records["7"] = {"id": 7, "name": "theirs"}
    assert (await sync.run()).counts == RunCounts(read=100, created=99, skipped=1)
    endpoint.requests.clear()
    again = await sync.run()
    assert (again.counts.created, endpoint.requests) == (0, [])
    assert endpoint.records["7"]["name"] == "theirs"


async def test_an_update_without_a_record_is_skipped_and_tried_again_also_if_there_was_one(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, store: WatchedStore
) -> None:
    by_record(sync)
    sync.more["mode"], endpoint.style = "update", "index"
    endpoint.records = {str(i): {"id": i} for i in range(1, 100)}
    assert (await sync.run()).counts == RunCounts(read=100, updated=99, skipped=1)
    del endpoint.records["7"]
    warehouse.run("UPDATE accounts SET name = 'new' WHERE id = 7")
    endpoint.requests.clear()
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=98, skipped=2)
    warehouse.run("UPDATE accounts SET name = 'Account 7' WHERE id = 7")
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=98, skipped=2), "not taken for written"
    assert endpoint.requests == [2, 2]
    assert store.announced(GONE) == [1, 2, 2], "the snapshot knows nothing of them"
    endpoint.records |= {"7": {"id": 7}, "100": {"id": 100}}
    assert (await sync.run()).counts == RunCounts(read=100, unchanged=98, updated=2)


# -------------------------------------------------------------------------------------------------------- lookups


@pytest.fixture
def looking_up(warehouse: Warehouse, store: WatchedStore, tmp_path: Path) -> Sync:
    """Accounts with the id of their owner, which the destination's table of users knows by its e-mail address."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text, owner text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i, CASE i % 5 WHEN 0 THEN NULL ELSE i % 5 || '@x' END "
        "FROM generate_series(1, 100) i",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name text, owner_id bigint)",
        "CREATE TABLE crm.users (id bigint, email text)",
        "INSERT INTO crm.users SELECT 9007199254740990 + i, i || '@x' FROM generate_series(1, 3) i",
    )
    made = to_table(warehouse, store, tmp_path)
    lookup = {"object": "crm.users", "matchField": "email", "returnField": "id"}
    made.mappings.append({"source": "owner", "destination": "owner_id", "lookup": lookup})
    return made


FOUND = "SELECT count(*), count(owner_id), count(DISTINCT owner_id), max(owner_id) FROM crm.accounts"


@pytest.mark.parametrize(
    ("on_miss", "counts", "written"),
    [
        ("Null", RunCounts(read=100, created=100), (100, 60, 3, 9007199254740993)),
        ("Skip", RunCounts(read=100, created=80, skipped=20), (80, 60, 3, 9007199254740993)),
        ("Fail", RunCounts(read=100, created=80, rejected=20), (80, 60, 3, 9007199254740993)),
    ],
)
async def test_what_is_looked_up_arrives_exactly_and_what_is_missing_is_dealt_with_as_the_mapping_says(
    looking_up: Sync,
    warehouse: Warehouse,
    store: WatchedStore,
    on_miss: str,
    counts: RunCounts,
    written: tuple[int, ...],
) -> None:
    looking_up.mappings[2]["lookup"]["onMiss"] = on_miss
    first = await looking_up.run()
    assert first.counts == counts
    assert warehouse.rows(FOUND) == [written]
    assert await codes(store) == ({"NOT_FOUND": 20} if on_miss == "Fail" else {})
    warehouse.run("INSERT INTO crm.users VALUES (4, '4@x')")
    again = await looking_up.run()
    late = 0 if on_miss == "Null" else 20
    assert (again.counts, again.dead_letters) == (RunCounts(read=100, unchanged=100 - late, created=late), 0)


async def test_a_lookup_that_fails_for_many_ends_the_run_within_the_error_budget(looking_up: Sync) -> None:
    looking_up.more["guards"] = {"maxRejected": 5}
    result = await looking_up.run()
    assert (result.status, result.reason, result.dead_letters) == ("Failed", "ErrorBudgetExceeded", 20)
    assert result.counts == RunCounts(read=100, rejected=20, skipped=80)


async def test_a_lookup_in_an_object_that_is_not_there_ends_the_run(looking_up: Sync) -> None:
    looking_up.mappings[2]["lookup"]["object"] = "crm.nobody"
    result = await looking_up.run()
    assert (result.status, result.retriable) == ("Failed", False)
    assert "crm.nobody" in result.message


async def test_a_record_whose_write_was_begun_by_a_killed_attempt_is_kept_without_the_value_to_look_up(
    looking_up: Sync, warehouse: Warehouse, store: WatchedStore
) -> None:
    """An append into a locked table, so that its first batch hangs until the kill, and may be written after it."""
    warehouse.run("ALTER TABLE crm.accounts DROP CONSTRAINT accounts_pkey")
    looking_up.more["mode"] = "append"
    looking_up.mappings[2]["lookup"]["onMiss"] = "Null"
    run: dict[str, Any] = {"name": "run", "uid": "run-uid"}
    with warehouse.server.connect(warehouse.database) as other, other.transaction():
        other.execute("LOCK TABLE crm.accounts IN SHARE MODE")
        running = mortal(looking_up, **run)
        async with asyncio.timeout(20):
            while not store.announced(SENT):
                await store.committed.acquire()
        running.cancel()
    await kill(running)
    second = await looking_up.run(**run, attempt=2)
    assert second.counts == RunCounts(read=100, unknown=100)
    again = await looking_up.run(mode="Replay", replay={"payload": "Stored"})
    letters = await store.dead_letters(namespace="tests", sync="sync")
    assert again.counts.created == 20, f"those that look nothing up: { ({letter.message for letter in letters}) }"
    assert warehouse.rows("SELECT count(*), count(owner_id) FROM crm.accounts") in [[(20, 0)], [(120, 60)]]
