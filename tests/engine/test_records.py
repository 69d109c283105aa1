"""Records and rows are not the same: keys that change, are spelled anew, or are written by another row."""

from pathlib import Path
from typing import LiteralString

import pytest

from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse

ROWS = 20


@pytest.fixture
def people(warehouse: Warehouse) -> Warehouse:
    """Twenty people, known to the destination by their e-mail address."""
    warehouse.run(
        "CREATE SCHEMA crm; CREATE TABLE accounts (id int, email text, age text, at int);"
        "INSERT INTO accounts SELECT i, 'p' || i || '@x', '30', i FROM generate_series(1, 20) i;"
        "CREATE TABLE crm.accounts (email text PRIMARY KEY, age int)"
    )
    return warehouse


def mirror(warehouse: Warehouse, store: SqlStateStore, tmp_path: Path) -> Sync:
    sync = to_table(warehouse, store, tmp_path)
    sync.mappings = [
        {"source": "email", "destination": "email", "key": True},
        {"source": "age", "destination": "age", "cast": "integer"},
    ]
    sync.more = {"mode": "mirror", "guards": {"maxDeletes": "100%"}}
    return sync


def addresses(warehouse: Warehouse) -> set[str]:
    return {email for (email,) in warehouse.rows("SELECT email FROM crm.accounts")}


async def test_a_key_in_another_spelling_is_not_deleted_with_the_record_it_was_written_to(
    warehouse: Warehouse, sealed: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE SCHEMA crm; CREATE TABLE accounts (id text, email text, age text);"
        "INSERT INTO accounts SELECT md5(i::text)::uuid, 'x', '30' FROM generate_series(1, 20) i;"
        "CREATE TABLE crm.accounts (email uuid PRIMARY KEY, age int)"
    )
    sync = mirror(warehouse, sealed, tmp_path)
    sync.mappings[0]["source"] = "id"
    await sync.run()
    warehouse.run("UPDATE accounts SET id = upper(id) WHERE id = (SELECT min(id) FROM accounts)")
    respelled = await sync.run()
    assert respelled.counts == RunCounts(read=ROWS + 1, unchanged=ROWS - 1, created=1, skipped=1)
    assert "1 records were left alone" in respelled.message
    assert len(addresses(warehouse)) == ROWS
    warehouse.run("DELETE FROM accounts WHERE id = upper(id)")
    assert (await sync.run()).counts.deleted == 2
    assert len(addresses(warehouse)) == ROWS - 1


@pytest.mark.parametrize(
    ("change", "invalid"),
    [
        ("UPDATE accounts SET email = 'new@x', age = 'old' WHERE id = 1", 1),
        ("UPDATE accounts SET email = 'same@x' WHERE id IN (1, 2)", 2),
    ],
    ids=["a value that cannot be cast", "two rows with one key"],
)
async def test_a_mirror_deletes_nothing_while_a_row_whose_key_may_have_changed_is_not_written(
    people: Warehouse, sealed: SqlStateStore, tmp_path: Path, change: LiteralString, invalid: int
) -> None:
    sync = mirror(people, sealed, tmp_path)
    await sync.run()
    before = addresses(people)
    people.run(change)
    for _ in range(2):  # the second time the rows wait as dead letters
        held = await sync.run()
        assert (held.counts.deleted, held.dead_letters) == (0, invalid)
        assert "deletes were held back" in held.message
    assert addresses(people) == before
    people.run("UPDATE accounts SET age = '31', email = 'q' || id || '@x' WHERE id <= 2")
    assert (await sync.run()).counts.deleted == 2
    assert addresses(people) == before - {"p1@x", "p2@x"} | {"q1@x", "q2@x"}


async def test_a_kept_record_never_overwrites_one_that_another_row_wrote_since(
    people: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    endpoint.style = "index"
    sync = to_endpoint(people, endpoint, state, tmp_path, results={})
    sync.mappings = [{"source": "email", "destination": "id", "key": True}, {"source": "age", "destination": "age"}]
    sync.more = {"changeDetection": {"strategy": "Cursor", "column": "at"}}
    endpoint.check = lambda record: "too young" if record["age"] == "1" else None
    people.run("UPDATE accounts SET age = '1', email = 'moved@x' WHERE id = 20")
    assert (await sync.run()).dead_letters == 1
    people.run("DELETE FROM accounts WHERE id = 20; INSERT INTO accounts VALUES (21, 'moved@x', '50', 40)")
    await sync.run()
    endpoint.check = lambda record: None
    replayed = await sync.run(mode="Replay", replay={"payload": "Stored"})
    assert (replayed.counts.updated, replayed.counts.created, replayed.dead_letters) == (0, 0, 0)
    assert endpoint.records["moved@x"]["age"] == "50"


async def test_a_held_event_is_sent_by_a_replay(
    people: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_endpoint(people, endpoint, state, tmp_path, "id", "email")
    sync.more = {"mode": "append", "delivery": {"onUnknown": "Hold", "batchSize": 10, "maxInFlight": 1}}
    endpoint.answers.append(Answer(raw=b"", write=False))
    held = await sync.run()
    assert (held.counts.unknown, held.dead_letters) == (10, 10)
    replayed = await sync.run(mode="Replay")
    assert (replayed.counts.created, replayed.dead_letters) == (10, 0)


async def test_a_row_that_an_update_skipped_holds_the_watermark(
    people: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_table(people, state, tmp_path)
    sync.mappings = [
        {"source": "email", "destination": "email", "key": True},
        {"source": "age", "destination": "age", "cast": "integer"},
    ]
    sync.more = {"mode": "update", "changeDetection": {"strategy": "Cursor", "column": "at"}}
    people.run("INSERT INTO crm.accounts SELECT email, 1 FROM accounts WHERE id <> 3")
    assert (await sync.run()).counts == RunCounts(read=ROWS, updated=ROWS - 1, skipped=1)
    people.run("INSERT INTO crm.accounts VALUES ('p3@x', 1)")
    assert (await sync.run()).counts.updated == 1
    assert people.rows("SELECT age FROM crm.accounts WHERE email = 'p3@x'") == [(30,)]


async def test_a_percentage_holds_a_sync_whose_snapshot_starts_anew(
    people: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_endpoint(people, endpoint, state, tmp_path, "id", "email")
    sync.more = {"guards": {"maxChanges": "5%"}}
    assert (await sync.run()).status == "Succeeded"
    sync.object = "contacts"
    held = await sync.run()
    assert held.status == "AwaitingApproval"
    done = await sync.run(approved_plan=held.plan_hash)
    assert (done.status, done.counts.created) == ("Succeeded", ROWS)
    assert done.message.startswith("the object changed since the last run")


async def test_many_rows_of_a_megabyte_arrive_within_the_default_memory(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts (id int, name text);"
        "INSERT INTO accounts SELECT i, repeat(md5(i::text), 32768) FROM generate_series(1, 200) i"
    )
    endpoint.always = Answer()  # keeps nothing
    done = await to_endpoint(warehouse, endpoint, state, tmp_path).run()
    assert (done.status, done.counts) == ("Succeeded", RunCounts(read=200, created=200))
    assert max(endpoint.requests) <= 4


async def test_a_run_of_all_columns_is_no_change_of_the_sync(
    people: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path
) -> None:
    sync = to_endpoint(people, endpoint, state, tmp_path)
    sync.mappings, sync.more = [], {"allColumns": {}, "guards": {"maxChanges": "50%"}}
    await sync.run()
    people.run("UPDATE accounts SET age = '31' WHERE id = 1")
    again = await sync.run()
    assert (again.status, again.message, again.counts.updated) == ("Succeeded", "", 1)
