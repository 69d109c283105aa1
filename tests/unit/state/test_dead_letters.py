"""The life of a dead letter: it opens, is seen again, waits, is resolved, and is forgotten in the end."""

from datetime import timedelta

from retl.resources.run import RunCounts
from retl.resources.sync import DeadLetters
from retl.state.store import NO_ROW, Commit, NewDeadLetter, StateStore
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, request, result

KEY, OTHER = b"k" * 16, b"o" * 16


async def test_a_refused_record_is_shown_with_what_a_person_needs(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    await backend.store.commit(claim, Commit(1, RunCounts(read=1, rejected=1), dead_letters=[letter(KEY)]))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert (entry.sync, entry.namespace, entry.run) == ("contacts", NAMESPACE, "run-1")
    assert (entry.code, entry.message) == ("DESTINATION_VALIDATION", "DESTINATION_VALIDATION: refused")
    assert entry.record_keys == {"email": "ada@example.com", "tenant": None}
    assert (entry.first_seen_at, entry.last_seen_at) == (backend.clock.now, backend.clock.now)
    assert (entry.attempts, entry.resolved_at, entry.resolution) == (1, None, None)


async def test_the_same_key_again_changes_its_open_entry(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(KEY, attempts=2)]))
    [before] = await backend.database.dead_letters(namespace=NAMESPACE)
    await backend.store.finish(claim, result())
    backend.clock.pass_by(timedelta(hours=1))
    claim = await backend.store.claim(request("run-2"))
    again = NewDeadLetter(KEY, b"R" * 16, "CONFLICT", "now this", {"email": "bob@example.com"}, b"{}", attempts=3)
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[again]))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert entry.id == before.id
    assert entry.attempts == 5
    assert (entry.run, entry.code, entry.message) == ("run-2", "CONFLICT", "now this")
    assert entry.record_keys == {"email": "bob@example.com"}
    assert (entry.first_seen_at, entry.last_seen_at) == (before.first_seen_at, backend.clock.now)
    assert (await backend.store.waiting(claim)).rows == b"R" * 16


async def test_a_key_twice_in_one_commit_is_one_entry_and_the_newest_wins(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    twice = [letter(KEY, "DUPLICATE_KEY"), letter(KEY, "CAST_FAILED", attempts=2)]
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=twice))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert (entry.code, entry.attempts) == ("CAST_FAILED", 3)


async def test_a_resolved_row_closes_its_entry_and_no_other(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    other = hashes(1)
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(KEY), letter(other)]))
    backend.clock.pass_by(timedelta(minutes=5))
    await backend.store.commit(claim, Commit(2, RunCounts(), resolved=hashes(1) + KEY))
    [resolved] = await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)
    assert (resolved.resolution, resolved.resolved_at) == ("superseded", backend.clock.now)
    [still_open] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert still_open.id != resolved.id
    assert (await backend.store.waiting(claim)).keys == other


async def test_a_key_that_fails_again_after_it_was_resolved_opens_a_new_entry(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(KEY, attempts=4)]))
    await backend.store.commit(claim, Commit(2, RunCounts(), resolved=KEY))
    await backend.store.commit(claim, Commit(3, RunCounts(), dead_letters=[letter(KEY)]))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert entry.attempts == 1
    assert len(await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)) == 1


async def test_a_row_resolved_and_refused_in_one_commit_stays_open(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    refused = [letter(KEY, "DUPLICATE_KEY")]
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=refused, resolved=KEY))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert entry.code == "DUPLICATE_KEY"


async def test_an_entry_waits_for_another_row_than_the_one_it_names(store: StateStore) -> None:
    claim = await store.claim(request())
    named, unnamed = letter(KEY, "CONFLICT", row=b"w" * 16), letter(OTHER, "RATE_LIMIT", row=NO_ROW)
    await store.commit(claim, Commit(1, RunCounts(), dead_letters=[named, unnamed]))
    found = await store.waiting(claim)
    pairs = {found.keys[i : i + 16]: found.rows[i : i + 16] for i in (0, 16)}
    assert pairs == {KEY: b"w" * 16, OTHER: NO_ROW}


async def test_awkward_text_and_missing_payloads_survive(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    awkward = NewDeadLetter(KEY, hashes(1), "UNKNOWN", "nul \0 and 'quotes' ✓", {"名前": "a\0b\n"}, payload=None)
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[awkward]))
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert entry.message == "nul \0 and 'quotes' ✓"
    assert entry.record_keys == {"名前": "a\0b\n"}


async def test_listings_are_newest_first_and_kept_apart_by_namespace_and_sync(backend: Backend) -> None:
    for sync, namespace in (("contacts", NAMESPACE), ("deals", NAMESPACE), ("leads", "sales")):
        backend.clock.pass_by(timedelta(minutes=1))
        claim = await backend.database.claim(request(f"run-of-{sync}", sync=sync, namespace=namespace))
        await backend.database.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(hashes(1))]))
    read = backend.database
    assert [entry.sync for entry in await read.dead_letters(namespace=NAMESPACE)] == ["deals", "contacts"]
    assert [entry.sync for entry in await read.dead_letters(namespace=NAMESPACE, limit=1)] == ["deals"]
    assert [entry.sync for entry in await read.dead_letters(namespace=NAMESPACE, sync="contacts")] == ["contacts"]
    assert await read.dead_letters(namespace=NAMESPACE, sync="leads") == []
    assert [run.sync for run in await read.runs(namespace=NAMESPACE)] == ["deals", "contacts"]
    assert [run.sync for run in await read.runs(namespace=NAMESPACE, limit=1)] == ["deals"]
    assert [run.sync for run in await read.runs(namespace=NAMESPACE, sync="contacts")] == ["contacts"]
    assert [run.sync for run in await read.runs(namespace="sales")] == ["leads"]


async def test_resolved_entries_are_forgotten_after_a_month_and_open_ones_are_not(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    await backend.store.commit(claim, Commit(1, RunCounts(), dead_letters=[letter(KEY), letter(hashes(1))]))
    await backend.store.commit(claim, Commit(2, RunCounts(), resolved=KEY))
    await backend.store.finish(claim, result())
    backend.clock.pass_by(DeadLetters().retention + timedelta(seconds=1))
    await backend.store.claim(request("run-2"))
    assert await backend.database.dead_letters(namespace=NAMESPACE, resolved=True) == []
    assert len(await backend.database.dead_letters(namespace=NAMESPACE)) == 1
