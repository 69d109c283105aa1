"""The dead letter queue as people use it: pages, statistics, dismissal, replay, bounds, retention, erasure."""

from dataclasses import replace
from datetime import timedelta

import pytest

from retl.errors import Fenced, InvalidInput
from retl.resources.ids import type_id
from retl.resources.run import Replay, RunCounts
from retl.resources.sync import DeadLetters
from retl.state import dead_letters
from retl.state.letter_counts import OpenLetters
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, Commit, KeptLetter, NewDeadLetter, StateStore, Statistics
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, request, result

KEY, OTHER = b"k" * 16, b"o" * 16


async def refuse(store: StateStore, claim: Claim, sequence: int, *letters: NewDeadLetter) -> None:
    await store.commit(claim, Commit(sequence, RunCounts(), dead_letters=letters))


async def replayed(store: StateStore, claim: Claim, replay: Replay | None = None) -> list[KeptLetter]:
    return [found async for found in store.letters(claim, replay or Replay())]


# Pages and statistics


async def test_pages_follow_one_another_without_a_gap_or_an_entry_twice(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    for sequence in range(1, 8):  # five entries of two codes at the same moment each
        backend.clock.pass_by(timedelta(microseconds=250))
        codes = ["CONFLICT", "NOT_FOUND", "CONFLICT", "CONFLICT", "NOT_FOUND"]
        await refuse(backend.store, claim, sequence, *(letter(hashes(1), code) for code in codes))
    everything = await backend.database.dead_letters(namespace=NAMESPACE, limit=100)
    assert len({entry.id for entry in everything}) == 35
    assert [e.last_seen_at for e in everything] == sorted((e.last_seen_at for e in everything), reverse=True)
    for narrowed in ({}, {"sync": "contacts"}, {"code": "NOT_FOUND"}, {"sync": "contacts", "code": "CONFLICT"}):
        wanted = [e.id for e in everything if e.code == narrowed.get("code", e.code)]
        read: list[str] = []
        after: str | None = None
        while page := await backend.database.dead_letters(
            namespace=NAMESPACE, sync=narrowed.get("sync"), code=narrowed.get("code"), limit=4, after=after
        ):
            read += [entry.id for entry in page]
            after = page[-1].cursor
        assert read == wanted


async def test_resolved_entries_have_pages_too_last_resolved_first(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    keys = [hashes(1) for _ in range(5)]
    await refuse(backend.store, claim, 1, *(letter(key) for key in keys))
    for sequence, key in enumerate(keys, 2):
        backend.clock.pass_by(timedelta(minutes=1))
        await backend.store.commit(claim, Commit(sequence, RunCounts(), resolved=key))
    read = await backend.database.dead_letters(namespace=NAMESPACE, resolved=True, limit=3)
    read += await backend.database.dead_letters(namespace=NAMESPACE, resolved=True, limit=3, after=read[-1].cursor)
    moments = [entry.resolved_at for entry in read]
    assert len({entry.id for entry in read}) == 5
    assert moments[0] == backend.clock.now
    assert moments == sorted((m for m in moments if m), reverse=True)


async def test_entries_since_a_moment(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await refuse(backend.store, claim, 1, letter(KEY))
    backend.clock.pass_by(timedelta(hours=1))
    await refuse(backend.store, claim, 2, letter(OTHER, "CONFLICT"))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE, since=backend.clock.now)
    assert entry.code == "CONFLICT"


@pytest.mark.parametrize("cursor", ["", "nonsense", "yesterday_1", "0001-01-01T00:00:00+14:00_1"])
async def test_what_is_no_cursor_is_refused(backend: Backend, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="after: is no cursor"):
        await backend.database.dead_letters(namespace=NAMESPACE, after=cursor)


async def test_one_entry_shows_its_payload_and_only_to_its_namespace(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await refuse(backend.store, claim, 1, letter(KEY))
    [shown] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert shown.payload is None
    entry = await backend.database.dead_letter(namespace=NAMESPACE, id=shown.id)
    assert entry is not None
    assert entry.payload == b'{"email":"ada@example.com"}'
    assert await backend.database.dead_letter(namespace="sales", id=shown.id) is None


async def test_statistics_count_every_change_of_an_entry(backend: Backend) -> None:
    store, read = backend.store, backend.database
    began = backend.clock.now
    claim = await store.claim(request(letters=DeadLetters(max_entries=3)))
    assert await read.statistics(namespace=NAMESPACE) == Statistics(0, 0, 0, {}, {}, None)
    await refuse(store, claim, 1, letter(KEY, "CONFLICT"), letter(OTHER, "NOT_FOUND"))
    backend.clock.pass_by(timedelta(minutes=1))
    await refuse(store, claim, 2, letter(KEY, "CAST_FAILED"), letter(hashes(1)), letter(hashes(1)), letter(hashes(1)))
    codes = {"CAST_FAILED": 1, "NOT_FOUND": 1, "DESTINATION_VALIDATION": 1}
    assert await read.statistics(namespace=NAMESPACE) == Statistics(3, 0, 2, codes, {"contacts": 3}, began)
    await store.commit(claim, Commit(3, RunCounts(), resolved=KEY))
    [other] = await read.dead_letters(namespace=NAMESPACE, code="NOT_FOUND")
    await read.resolve(namespace=NAMESPACE, ids=[other.id])
    found = await read.statistics(namespace=NAMESPACE, sync="contacts")
    later = began + timedelta(minutes=1)
    assert found == Statistics(1, 2, 2, {"DESTINATION_VALIDATION": 1}, {"contacts": 1}, later)
    assert await read.statistics(namespace=NAMESPACE, sync="deals") == Statistics(0, 0, 0, {}, {}, None)
    assert await read.statistics(namespace="sales") == Statistics(0, 0, 0, {}, {}, None)
    assert (await read.totals()).letters == [OpenLetters(NAMESPACE, "contacts", "DESTINATION_VALIDATION", 1, later)]


async def test_what_waits_is_told_by_sync_and_code_and_beyond_a_limit_by_code(backend: Backend) -> None:
    store, read, began = backend.store, backend.database, backend.clock.now
    await refuse(store, await store.claim(request()), 1, letter(KEY, "CONFLICT"), letter(OTHER, "NULL_KEY"))
    backend.clock.pass_by(timedelta(minutes=1))
    deals = [letter(hashes(1), code) for code in ("NULL_KEY", "NULL_KEY", "CONFLICT")]
    await refuse(store, await store.claim(request(sync="deals")), 1, *deals)
    later = began + timedelta(minutes=1)
    told_apart = [
        OpenLetters(NAMESPACE, "deals", "NULL_KEY", 2, later),
        OpenLetters(NAMESPACE, "contacts", "CONFLICT", 1, began),
        OpenLetters(NAMESPACE, "contacts", "NULL_KEY", 1, began),
        OpenLetters(NAMESPACE, "deals", "CONFLICT", 1, later),
    ]
    assert (await read.totals()).letters == told_apart
    together = [OpenLetters("", "", "CONFLICT", 1), OpenLetters("", "", "NULL_KEY", 1)]
    assert (await read.totals(limit=2)).letters == told_apart[:2] + together


async def test_a_sync_that_was_made_again_under_its_name_has_one_number(backend: Backend) -> None:
    store, read, began = backend.store, backend.database, backend.clock.now
    for uid in ("first", "second"):
        again = request()
        again = replace(again, sync=again.sync.model_copy(update={"uid": uid}))
        await refuse(store, await store.claim(again), 1, letter(hashes(1), "CONFLICT"))
        backend.clock.pass_by(timedelta(minutes=1))
    assert (await read.totals()).letters == [OpenLetters(NAMESPACE, "contacts", "CONFLICT", 2, began)]


# Dismissal


async def test_a_dismissed_row_is_left_out_until_something_newer_of_it_was_settled(backend: Backend) -> None:
    store = backend.store
    claim = await store.claim(request())
    await refuse(store, claim, 1, letter(KEY, "RATE_LIMIT", row=b"1" * 16), letter(OTHER))
    ids = [entry.id for entry in await backend.database.dead_letters(namespace=NAMESPACE, code="RATE_LIMIT")]
    assert await backend.database.resolve(namespace="sales", ids=ids) == 0
    assert await backend.database.resolve(namespace=NAMESPACE, ids=[*ids, "nothing"]) == 1
    assert await backend.database.resolve(namespace=NAMESPACE, ids=ids) == 0
    waiting = await store.waiting(claim)
    assert (waiting.keys, waiting.dismissed_keys, waiting.dismissed_rows) == (OTHER, KEY, b"1" * 16)
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)
    assert entry.resolution == "dismissed"


@pytest.mark.parametrize(
    "settled", [Commit(2, RunCounts(), resolved=KEY), Commit(2, RunCounts(), dead_letters=[letter(KEY)])]
)
async def test_what_comes_after_a_dismissal_ends_it(backend: Backend, settled: Commit) -> None:
    store = backend.store
    claim = await store.claim(request())
    await refuse(store, claim, 1, letter(KEY))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    await backend.database.resolve(namespace=NAMESPACE, ids=[entry.id])
    await store.commit(claim, settled)
    assert (await store.waiting(claim)).dismissed_keys == b""


# Replay


async def test_a_replay_reads_what_was_kept_oldest_first(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "KEPT_PAGE", 2)
    claim = await backend.store.claim(request())
    keys = [hashes(1) for _ in range(7)]
    for sequence, key in enumerate(keys, 1):
        backend.clock.pass_by(timedelta(milliseconds=1))
        kept = NewDeadLetter(key, b"w" * 16, "CONFLICT", "", {}, b'{"n":1.10}', record=b"z" * 16, operation="delete")
        await refuse(backend.store, claim, sequence, kept)
    found = await replayed(backend.store, claim, Replay(payload="Stored"))
    assert [each.key for each in found] == keys
    first = found[0]
    assert (first.row, first.record, first.operation, first.payload) == (b"w" * 16, b"z" * 16, "delete", b'{"n":1.10}')
    assert [each.payload for each in await replayed(backend.store, claim)] == [None] * 7


async def test_a_replay_chooses_by_ids_in_either_form_and_by_codes(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await refuse(
        backend.store, claim, 1, letter(KEY, "CONFLICT"), letter(OTHER, "NOT_FOUND"), letter(hashes(1), "CONFLICT")
    )
    ids = [each.id for each in await replayed(backend.store, claim)]
    chosen = Replay(entries=[ids[0], type_id("retl_dlq", ids[1])])
    assert {each.id for each in await replayed(backend.store, claim, chosen)} == set(ids[:2])
    assert [each.key for each in await replayed(backend.store, claim, Replay(codes=["NOT_FOUND"]))] == [OTHER]
    with pytest.raises(InvalidInput, match="not an id"):
        await replayed(backend.store, claim, Replay(entries=["retl_dlq_nonsense"]))


async def test_a_replay_finds_nothing_of_another_baseline_and_nothing_after_it_was_overtaken(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await refuse(backend.store, claim, 1, letter(KEY))
    other = await backend.store.claim(request(baseline="other"))
    assert await replayed(backend.store, other) == []
    with pytest.raises(Fenced):
        await replayed(backend.store, claim)


# Bounds and retention


async def test_what_exceeds_the_most_entries_is_counted_for_the_run_and_not_kept(backend: Backend) -> None:
    store, few = backend.store, DeadLetters(max_entries=2)
    claim = await store.claim(request("run-1", letters=few))
    await refuse(store, claim, 1, letter(KEY), letter(OTHER), letter(hashes(1)))
    await refuse(store, claim, 2, letter(KEY, "CONFLICT"), letter(hashes(1)))  # one that is there is still renewed
    ended = await store.finish(claim, result())
    assert (ended.dead_letters, ended.dead_letters_dropped) == (2, 2)
    assert await store.finish(claim, result()) == ended
    codes = {entry.code for entry in await backend.database.dead_letters(namespace=NAMESPACE)}
    assert codes == {"CONFLICT", "DESTINATION_VALIDATION"}
    claim = await store.claim(request("run-2", letters=few))
    await store.commit(claim, Commit(1, RunCounts(), resolved=KEY))
    await refuse(store, claim, 2, letter(hashes(1)))
    assert (await store.finish(claim, result(run="run-2"))).dead_letters_dropped == 0


async def test_resolved_entries_are_forgotten_after_the_retention_and_dismissed_ones_keep_their_hashes(
    backend: Backend,
) -> None:
    store, week = backend.store, DeadLetters(retention=timedelta(days=7))
    claim = await store.claim(request("run-1", letters=week))
    await refuse(store, claim, 1, letter(KEY), letter(OTHER))
    [dismissed] = [each for each in await replayed(store, claim) if each.key == OTHER]
    await store.commit(claim, Commit(2, RunCounts(), resolved=KEY))
    await backend.database.resolve(namespace=NAMESPACE, ids=[dismissed.id])
    await store.finish(claim, result())
    backend.clock.pass_by(timedelta(days=7))
    claim = await store.claim(request("run-2", letters=week))
    assert len(await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)) == 2
    await store.finish(claim, result(run="run-2"))
    backend.clock.pass_by(timedelta(seconds=1))
    claim = await store.claim(request("run-3", letters=week))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)
    assert (entry.id, entry.message, entry.record_keys) == (dismissed.id, "", {})
    assert (await store.waiting(claim)).dismissed_keys == OTHER
    assert (await backend.database.statistics(namespace=NAMESPACE)).resolved == 1


# Erasure


async def test_a_person_is_erased_from_open_resolved_and_dismissed_entries_and_nobody_else(backend: Backend) -> None:
    store, read = backend.store, backend.database
    claim = await store.claim(request())
    keys = [hashes(1) for _ in range(4)]
    await refuse(store, claim, 1, *(letter(key, who="ada") for key in keys[:3]), letter(keys[3], who="bob"))
    await store.commit(claim, Commit(2, RunCounts(), resolved=keys[0]))
    [dismissed] = [each.id for each in await replayed(store, claim) if each.key == keys[1]]
    await read.resolve(namespace=NAMESPACE, ids=[dismissed])
    assert await read.erase(namespace="sales", field="email", value="ada@example.com") == 0
    assert await read.erase(namespace=NAMESPACE, sync="deals", field="email", value="ada@example.com") == 0
    assert await read.erase(namespace=NAMESPACE, field="email", value="ada@example.com") == 3
    assert await read.erase(namespace=NAMESPACE, field="email", value="ada@example.com") == 0
    [left] = await read.dead_letters(namespace=NAMESPACE)
    assert left.record_keys["email"] == "bob@example.com"
    assert (await store.waiting(claim)).dismissed_keys == keys[1]
    found = await read.statistics(namespace=NAMESPACE)
    assert (found.open, found.resolved) == (1, 1)


@pytest.mark.parametrize(
    ("payload", "field", "value", "found"),
    [
        (b'{"name":"Ada"}', "name", "Ada", True),
        (b'{"name":"Ada Lovelace"}', "name", "Ada", False),
        (b'{"name":"\\u0041da"}', "name", "Ada", True),
        (b'{"id":12345678901234567890.10}', "id", "12345678901234567890.10", True),
        (b'{"id":7}', "id", "7", True),
        (b'{"active":true}', "active", "true", True),
        (b'{"name":null}', "name", "None", False),
        (b'{"address":{"city":"Wien"}}', "address.city", "Wien", True),
        (b'{"address.city":"Wien"}', "address.city", "Wien", True),
        (b'{"emails":[{"value":"a@x.com"},{"value":"b@x.com"}]}', "emails.value", "b@x.com", True),
        (b'{"tags":["a","b"]}', "tags", "b", True),
        (b'{"other":"Ada"}', "name", "Ada", False),
        (b"no JSON", "name", "Ada", False),
        (None, "name", "Ada", False),
    ],
)
async def test_erasure_finds_a_value_wherever_a_payload_holds_it(
    sqlite_url: str, payload: bytes | None, field: str, value: str, found: bool
) -> None:
    store = await SqlStateStore.open(sqlite_url)
    claim = await store.claim(request())
    await refuse(store, claim, 1, NewDeadLetter(KEY, OTHER, "CONFLICT", "", {"id": "1"}, payload))
    assert await store.erase(namespace=NAMESPACE, field=field, value=value) == found
    await store.close()
