"""What a sync remembers beside rows: notes, ledgers, plans, approvals."""

import pytest

from retl.errors import Fenced, InvalidInput
from retl.resources.run import RunCounts
from retl.state.store import GONE, Commit, Notes, SnapshotPart, StateStore
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, pairs, parts, request, result

NOTES = Notes(mapping="m1", columns={"id": "bigint", "größe": "text"}, watermark="2026-03-01T12:00:00.000001Z")


# Notes and baselines


async def test_notes_are_there_for_the_next_run_until_they_are_replaced(store: StateStore) -> None:
    claim = await store.claim(request("run-1"))
    assert (claim.previous, claim.notes) == (None, Notes())
    await store.commit(claim, Commit(1, RunCounts(), notes=NOTES))
    await store.commit(claim, Commit(2, RunCounts(), hashes(1), hashes(1)))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2"))
    assert (claim.previous, claim.notes) == ("hubspot/contacts/email", NOTES)
    await store.commit(claim, Commit(1, RunCounts(), notes=Notes("m2")))
    await store.finish(claim, result(run="run-2"))
    assert (await store.claim(request("run-3"))).notes == Notes("m2")


async def test_a_new_baseline_knows_the_one_before_and_forgets_its_notes_with_the_first_commit(
    store: StateStore,
) -> None:
    claim = await store.claim(request("run-1", baseline="old"))
    await store.commit(claim, Commit(1, RunCounts(), notes=NOTES))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", baseline="new"))
    assert (claim.previous, claim.notes) == ("old", Notes())
    await store.finish(claim, result(run="run-2"))
    claim = await store.claim(request("run-3", baseline="old"))
    assert claim.notes == NOTES  # run-2 committed nothing
    await store.finish(claim, result(run="run-3"))
    claim = await store.claim(request("run-4", baseline="new"))
    await store.commit(claim, Commit(1, RunCounts(), resolved=hashes(1)))
    await store.finish(claim, result(run="run-4"))
    claim = await store.claim(request("run-5", baseline="old"))
    assert (claim.previous, claim.notes) == ("new", Notes())


@pytest.mark.parametrize("commit", [Commit(1, RunCounts(), notes=NOTES), Commit(1, RunCounts(), resolved=b"k" * 16)])
async def test_a_plan_neither_remembers_nor_resolves(store: StateStore, commit: Commit) -> None:
    claim = await store.claim(request(mode="Plan"))
    with pytest.raises(InvalidInput, match="a plan writes nothing"):
        await store.commit(claim, commit)


# The ledger of one run


async def test_a_ledger_is_empty_for_another_run_and_goes_on_in_a_later_attempt(store: StateStore) -> None:
    keys, rows = hashes(2), hashes(2)
    claim = await store.claim(request("run-1", ledger="run-1"))
    await store.commit(claim, Commit(1, RunCounts(), keys, rows, notes=NOTES))
    claim = await store.claim(request("run-1", attempt=2, ledger="run-1"))
    assert claim.snapshot_rows == 2
    assert [part.keys for part in await parts(store, claim)] == [keys]
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", ledger="run-2"))
    assert (claim.snapshot_rows, await parts(store, claim)) == (0, [])


async def test_a_commit_under_another_ledger_drops_the_snapshot_and_keeps_dead_letters_and_notes(
    backend: Backend,
) -> None:
    store = backend.store
    claim = await store.claim(request("run-1", ledger="run-1"))
    refused = [letter(b"d" * 16)]
    await store.commit(claim, Commit(1, RunCounts(), b"1" * 16, hashes(1), refused, notes=NOTES))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", ledger="run-2"))
    assert claim.notes == NOTES
    assert (await store.waiting(claim)).keys == b"d" * 16
    await store.commit(claim, Commit(1, RunCounts(), b"2" * 16, hashes(1)))
    assert [part.keys for part in await parts(store, claim)] == [b"2" * 16]
    assert (await store.waiting(claim)).keys == b"d" * 16
    await store.finish(claim, result(run="run-2"))
    assert (await store.claim(request("run-3", ledger="run-2"))).notes == NOTES


# Records of a mirror


async def test_records_come_back_with_their_keys_from_commits_and_compactions(store: StateStore) -> None:
    claim = await store.claim(request())
    records = b'{"id":1}\n\n{"id":"\\n"}\n'
    committed = SnapshotPart(1, hashes(3), hashes(1) + GONE + hashes(1), records)
    await store.commit(claim, Commit(1, RunCounts(), committed.keys, committed.rows, records=records))
    assert await parts(store, claim) == [committed]
    await store.compact(claim, [committed], replaces=1)
    assert [part.records for part in await parts(store, claim)] == [records]
    assert (await pairs(store, claim))[committed.keys[16:32]] == GONE


async def test_large_parts_are_cut_with_their_records(store: StateStore) -> None:
    claim = await store.claim(request())
    count = 120_000
    whole = SnapshotPart(1, hashes(count), hashes(count), b"".join(b'{"id":%d}\n' % n for n in range(count)))
    await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
    await store.compact(claim, [whole], replaces=1)
    read = await parts(store, claim)
    assert len(read) > 1
    assert b"".join(part.records for part in read) == whole.records
    assert all(part.records.count(b"\n") == len(part.keys) // 16 for part in read)


@pytest.mark.parametrize("records", [b"{}", b"{}\n", b"{}\n{}\n{}\n", b"{}\n{}\nx"])
async def test_records_that_do_not_match_their_keys_are_refused(store: StateStore, records: bytes) -> None:
    claim = await store.claim(request())
    with pytest.raises(ValueError, match="records are not 2 lines"):
        await store.commit(claim, Commit(1, RunCounts(), hashes(2), hashes(2), records=records))


# Plans and approvals


async def test_a_plan_is_kept_for_people_by_the_name_and_uid_of_its_run(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1", mode="Plan"))
    assert await backend.database.plan(namespace=NAMESPACE, run="run-1") is None
    await backend.store.save_plan(claim, b'{"creates": 1}')
    await backend.store.save_plan(claim, b'{"creates": 2.50}')
    for run in ("run-1", "uid-of-run-1"):
        assert await backend.database.plan(namespace=NAMESPACE, run=run) == b'{"creates": 2.50}'
    assert await backend.database.plan(namespace="sales", run="run-1") is None
    await backend.store.claim(request("run-1", attempt=2))
    assert await backend.database.plan(namespace=NAMESPACE, run="run-1") == b'{"creates": 2.50}'
    with pytest.raises(Fenced):
        await backend.store.save_plan(claim, b"{}")
