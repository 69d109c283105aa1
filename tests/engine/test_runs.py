"""What a run sends, skips and keeps, run after run."""

from pathlib import Path

import pytest

from retl.engine import pipeline
from retl.engine.baseline import baseline
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from retl.state.store import HASH_BYTES, ClaimRequest, DeadLetter
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """1,000 accounts to an endpoint, 100 in a batch."""
    warehouse.run(
        "CREATE TABLE accounts (id int, name text, plan text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i, 'free' FROM generate_series(1, 1000) i",
    )
    made = to_endpoint(warehouse, endpoint, state, tmp_path, "id", "name", "plan")
    made.more = {"delivery": {"batchSize": 100, "maxAttempts": 2}}
    return made


async def letters(state: SqlStateStore) -> list[DeadLetter]:
    return await state.dead_letters(namespace="tests", sync="sync")


async def test_the_first_run_sends_every_row_in_batches(sync: Sync, endpoint: Endpoint) -> None:
    result = await sync.run()
    assert (result.status, result.reason) == ("Succeeded", "")
    assert result.counts == RunCounts(read=1000, created=1000)
    assert len(endpoint.records) == 1000
    assert endpoint.records["7"] == {"id": 7, "name": "Account 7", "plan": "free"}
    assert endpoint.requests == [100] * 10


async def test_a_second_run_sends_nothing(sync: Sync, endpoint: Endpoint) -> None:
    await sync.run()
    endpoint.requests.clear()
    result = await sync.run()
    assert result.counts == RunCounts(read=1000, unchanged=1000)
    assert endpoint.requests == []


async def test_only_what_changed_is_sent(sync: Sync, warehouse: Warehouse, endpoint: Endpoint) -> None:
    await sync.run()
    warehouse.run(
        "UPDATE accounts SET plan = 'paid' WHERE id % 100 = 0",
        "INSERT INTO accounts VALUES (1001, 'New', 'free')",
        "DELETE FROM accounts WHERE id = 1",
    )
    endpoint.requests.clear()
    result = await sync.run()
    assert result.counts == RunCounts(read=1000, unchanged=989, created=1, updated=10)
    assert sum(endpoint.requests) == 11
    assert endpoint.records["100"]["plan"] == "paid"
    assert "1" in endpoint.records, "upsert deletes nothing"


async def test_a_changed_mapping_is_a_changed_row(sync: Sync, endpoint: Endpoint) -> None:
    await sync.run()
    sync.mappings[2] = {"value": "vip", "destination": "plan"}
    result = await sync.run()
    assert result.counts == RunCounts(read=1000, updated=1000)
    assert endpoint.records["1"]["plan"] == "vip"


async def test_full_refresh_sends_unchanged_rows_again(sync: Sync, endpoint: Endpoint) -> None:
    await sync.run()
    result = await sync.run(full_refresh=True)
    assert result.counts == RunCounts(read=1000, updated=1000)
    assert set(endpoint.writes.values()) == {2}


async def test_another_object_begins_anew(sync: Sync) -> None:
    await sync.run()
    sync.object = "companies"
    assert (await sync.run()).counts == RunCounts(read=1000, created=1000)
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=1000)


async def test_another_place_begins_anew(sync: Sync, endpoint: Endpoint) -> None:
    await sync.run()
    sync.destination_config["url"] = endpoint.url + "/elsewhere"
    assert (await sync.run()).counts == RunCounts(read=1000, created=1000)
    sync.destination_config["headers"] = {"X-Team": "growth"}
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=1000)


async def test_a_plan_counts_and_writes_nothing(sync: Sync, warehouse: Warehouse, endpoint: Endpoint) -> None:
    first = await sync.run(mode="Plan")
    assert (first.status, first.counts) == ("Succeeded", RunCounts(read=1000, created=1000))
    assert endpoint.requests == []
    assert first.plan_hash == (await sync.run(mode="Plan")).plan_hash
    warehouse.run("UPDATE accounts SET name = 'Other' WHERE id = 1")
    assert first.plan_hash != (await sync.run(mode="Plan")).plan_hash


async def test_a_sync_without_rows_succeeds(sync: Sync, warehouse: Warehouse) -> None:
    warehouse.run("TRUNCATE accounts")
    assert (await sync.run()).counts == RunCounts()


async def test_the_parts_of_a_snapshot_are_put_together_when_there_are_many(
    sync: Sync, state: SqlStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MAX_PARTS", 2)
    for _ in range(3):
        await sync.run(full_refresh=True)
    claim = await state.claim(ClaimRequest(sync.spec().run, sync.spec().sync, baseline(sync.spec()), "test"))
    parts = [part async for part in state.snapshot(claim)]
    assert sum(len(part.keys) for part in parts) == 1000 * HASH_BYTES


@pytest.mark.parametrize("style", ["index", "position", "key", "failures"])
async def test_rejected_records_become_dead_letters(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore, style: str
) -> None:
    endpoint.style = style  # type: ignore[assignment]
    endpoint.check = lambda record: "name is taken" if record["id"] % 250 == 0 else None
    by = {"by": "key"} if style == "key" else {"covers": "failures"} if style == "failures" else {}
    sync.destination_config["results"] = by
    result = await sync.run()
    assert (result.status, result.dead_letters) == ("Succeeded", 4)
    assert result.counts == RunCounts(read=1000, created=996, rejected=4)
    found = {letter.record_keys["id"]: letter for letter in await letters(state)}
    assert set(found) == {"250", "500", "750", "1000"}
    assert (found["250"].code, found["250"].message) == ("DESTINATION_VALIDATION", "INVALID: name is taken")


async def test_the_bad_records_of_a_batch_refused_as_a_whole_are_found(
    sync: Sync, endpoint: Endpoint, state: SqlStateStore
) -> None:
    endpoint.atomic = True
    endpoint.check = lambda record: "no such plan" if record["id"] in (3, 77, 500) else None
    result = await sync.run()
    assert result.counts == RunCounts(read=1000, created=997, rejected=3)
    assert {letter.record_keys["id"] for letter in await letters(state)} == {"3", "77", "500"}
    assert set(endpoint.writes.values()) == {1}


async def test_a_rejected_row_waits_until_it_changes(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    endpoint.style = "index"
    sync.destination_config["results"] = {}
    endpoint.check = lambda record: "too long" if len(record["name"]) > 20 else None
    warehouse.run("UPDATE accounts SET name = 'a name that is much too long' WHERE id IN (5, 6)")
    await sync.run()
    endpoint.requests.clear()
    waiting = await sync.run()
    assert waiting.counts == RunCounts(read=1000, unchanged=998, skipped=2)
    assert endpoint.requests == []
    warehouse.run("UPDATE accounts SET name = 'short' WHERE id = 5")
    mended = await sync.run()
    assert mended.counts == RunCounts(read=1000, unchanged=998, created=1, skipped=1)
    assert mended.dead_letters == 1
    (resolved,) = await state.dead_letters(namespace="tests", sync="sync", resolved=True)
    assert (resolved.record_keys, resolved.resolution) == ({"id": "5"}, "superseded")


async def test_a_row_that_was_refused_and_is_again_as_it_was_is_sent_once_more_and_resolves_its_dead_letter(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    endpoint.style = "index"
    sync.destination_config["results"] = {}
    endpoint.check = lambda record: "too long" if len(record["name"]) > 20 else None
    await sync.run()
    warehouse.run("UPDATE accounts SET name = 'a name that is much too long' WHERE id = 5")
    assert (await sync.run()).dead_letters == 1
    endpoint.requests.clear()
    warehouse.run("UPDATE accounts SET name = 'Account 5' WHERE id = 5")
    back = await sync.run()
    # It was announced as about to change, so it is sent once more: nobody need believe the destination's refusal.
    assert (back.counts, back.dead_letters) == (RunCounts(read=1000, unchanged=999, updated=1), 0)
    assert endpoint.requests == [1]


async def test_full_refresh_sends_waiting_rows_again(sync: Sync, endpoint: Endpoint) -> None:
    endpoint.style = "index"
    sync.destination_config["results"] = {}
    endpoint.check = lambda record: "not now" if record["id"] == 5 else None
    await sync.run()
    endpoint.check = lambda record: None
    result = await sync.run(full_refresh=True)
    assert result.counts == RunCounts(read=1000, created=1, updated=999)
    assert result.dead_letters == 0


async def test_null_keys_are_invalid(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    warehouse.run("UPDATE accounts SET id = NULL WHERE id IN (1, 2)")
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=1000, created=998, invalid=2), 2)
    assert {letter.code for letter in await letters(state)} == {"NULL_KEY"}
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=998, skipped=2)


async def test_of_rows_with_the_same_key_none_is_sent(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    warehouse.run("UPDATE accounts SET id = 10 WHERE id IN (11, 12)")
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=1000, created=997, invalid=3), 1)
    assert "10" not in endpoint.records
    assert (await sync.run()).counts == RunCounts(read=1000, unchanged=997, skipped=3)
    warehouse.run("DELETE FROM accounts WHERE id = 10 AND name <> 'Account 10'")
    mended = await sync.run()
    assert (mended.counts, mended.dead_letters) == (RunCounts(read=998, unchanged=997, created=1), 0)
    assert endpoint.records["10"]["name"] == "Account 10"


async def test_a_value_that_cannot_be_cast_makes_its_row_invalid(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore
) -> None:
    warehouse.run("UPDATE accounts SET plan = '12'", "UPDATE accounts SET plan = 'secret' WHERE id = 4")
    sync.mappings[2] = {"source": "plan", "destination": "Plan__c", "cast": "integer"}
    result = await sync.run()
    assert (result.counts, result.dead_letters) == (RunCounts(read=1000, created=999, invalid=1), 1)
    assert endpoint.records["3"]["Plan__c"] == 12
    (letter,) = await letters(state)
    assert (letter.code, letter.record_keys) == ("CAST_FAILED", {"id": "4"})
    assert letter.message == "mappings[2] (Plan__c): column \"plan\" is 'secret', which cannot be cast to integer"
    sync.mappings[2]["cast"] = "string"
    mended = await sync.run()
    assert mended.counts == RunCounts(read=1000, created=1, updated=999)
    assert (endpoint.records["4"]["Plan__c"], mended.dead_letters) == ("secret", 0)


async def test_payloads_are_kept_only_if_the_sync_says_so(
    sync: Sync, warehouse: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    def kept() -> bool:
        return any(b"Confidential" in file.read_bytes() for file in tmp_path.glob("state.db*"))

    warehouse.run("UPDATE accounts SET id = NULL, name = 'Confidential' WHERE id = 1")
    sync.more["deadLetters"] = {"storePayload": False}
    assert (await sync.run()).dead_letters == 1
    assert not kept()
    sync.more["deadLetters"] = {"storePayload": True}
    await sync.run(full_refresh=True)
    assert kept()
