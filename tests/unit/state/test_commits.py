"""A commit is one step: all of it, once, and never after the claim was lost."""

import pytest

from retl.errors import Fenced, InvalidInput
from retl.resources.run import RunCounts
from retl.state.store import Commit, SnapshotPart, StateStore
from tests.unit.state.databases import NAMESPACE, Backend, hashes, letter, pairs, parts, request, result

pytestmark = pytest.mark.parametrize(
    "backend", ["sqlite", "postgres", "http", "sqlite, file", "postgres, s3", "http, s3"], indirect=True
)
"""Whether snapshot parts lie in the database or elsewhere, all of this holds."""


async def test_acknowledged_records_are_in_the_snapshot_in_the_order_of_commits(store: StateStore) -> None:
    claim = await store.claim(request())
    first, second = (hashes(3), hashes(3)), (hashes(2), hashes(2))
    await store.commit(claim, Commit(1, RunCounts(read=3, created=3), *first))
    await store.commit(claim, Commit(2, RunCounts(read=5, created=5), *second))
    assert await parts(store, claim) == [SnapshotPart(1, *first), SnapshotPart(2, *second)]


async def test_a_later_commit_of_the_same_key_wins(store: StateStore) -> None:
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(read=1, created=1), b"k" * 16, b"1" * 16))
    await store.commit(claim, Commit(2, RunCounts(read=1, updated=1), b"k" * 16, b"2" * 16))
    assert await pairs(store, claim) == {b"k" * 16: b"2" * 16}


async def test_the_next_claim_learns_the_size_of_the_snapshot_and_reads_it(store: StateStore) -> None:
    keys, rows = hashes(5), hashes(5)
    claim = await store.claim(request("run-1"))
    assert claim.snapshot_rows == 0
    await store.commit(claim, Commit(1, RunCounts(read=5, created=5), keys, rows))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2"))
    assert claim.snapshot_rows == 5
    assert await parts(store, claim) == [SnapshotPart(1, keys, rows)]


async def test_a_commit_sent_twice_counts_once(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    commit = Commit(1, RunCounts(read=3, created=2, rejected=1), hashes(2), hashes(2), [letter(b"k" * 16, attempts=3)])
    await backend.store.commit(claim, commit)
    await backend.store.commit(claim, commit)
    assert len(await parts(backend.store, claim)) == 1
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE)
    assert entry.attempts == 3


async def test_commits_may_arrive_out_of_order(store: StateStore) -> None:
    claim = await store.claim(request())
    second, first = (hashes(1), hashes(1)), (hashes(1), hashes(1))
    await store.commit(claim, Commit(2, RunCounts(read=2, created=2), *second))
    await store.commit(claim, Commit(1, RunCounts(read=2, created=2), *first))
    assert [(part.keys, part.rows) for part in await parts(store, claim)] == [second, first]


async def test_sequences_start_anew_with_each_claim(store: StateStore) -> None:
    claim = await store.claim(request(attempt=1))
    await store.commit(claim, Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1)))
    claim = await store.claim(request(attempt=2))
    await store.commit(claim, Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1)))
    assert len(await parts(store, claim)) == 2


async def test_ten_thousand_records_and_dead_letters_go_in_one_commit(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    keys = hashes(10_000)
    refused = [letter(key) for key in (keys[at : at + 16] for at in range(0, len(keys), 16))]
    await backend.store.commit(claim, Commit(1, RunCounts(read=10_000, rejected=10_000), dead_letters=refused))
    assert len((await backend.store.waiting(claim)).keys) == len(keys)
    await backend.store.commit(claim, Commit(2, RunCounts(read=10_000, created=10_000), keys, keys, resolved=keys))
    assert len((await backend.store.waiting(claim)).keys) == 0
    assert (await backend.store.finish(claim, result())).dead_letters == 0


async def test_a_commit_shows_the_counts_so_far(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await backend.store.commit(claim, Commit(1, RunCounts(read=2, created=1, invalid=1)))
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert run.counts == RunCounts(read=2, created=1, invalid=1)


async def test_keys_and_rows_of_different_length_are_refused_before_anything_is_written(store: StateStore) -> None:
    claim = await store.claim(request())
    with pytest.raises(ValueError, match="not pairs"):
        await store.commit(claim, Commit(1, RunCounts(), hashes(2), hashes(1)))
    assert await parts(store, claim) == []


async def test_a_finished_run_commits_no_more(store: StateStore) -> None:
    claim = await store.claim(request())
    await store.finish(claim, result())
    with pytest.raises(Fenced):
        await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))


async def test_finish_records_the_result_and_counts_open_dead_letters(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    refused = [letter(hashes(1)), letter(hashes(1))]
    counts = RunCounts(read=5, created=3, rejected=2)
    await backend.store.commit(claim, Commit(1, counts, hashes(3), hashes(3), refused))
    ended = await backend.store.finish(claim, result("Succeeded", counts))
    counted = {"dead_letters": 2, "dead_letters_by_code": {"DESTINATION_VALIDATION": 2}}
    assert ended == result("Succeeded", counts).model_copy(update=counted)
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert (run.state, run.counts, run.dead_letters, run.finished_at) == ("Succeeded", counts, 2, backend.clock.now)


async def test_finish_sent_twice_answers_the_same(store: StateStore) -> None:
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(read=1, rejected=1), dead_letters=[letter(hashes(1))]))
    once = await store.finish(claim, result())
    assert await store.finish(claim, result()) == once
    await store.claim(request("run-2"))
    assert await store.finish(claim, result()) == once


async def test_a_run_that_has_ended_cannot_end_differently(backend: Backend) -> None:
    claim = await backend.store.claim(request())
    await backend.store.finish(claim, result("Succeeded"))
    with pytest.raises(Fenced, match="already ended as Succeeded"):
        await backend.store.finish(claim, result("Failed"))
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert run.state == "Succeeded"


# A changed destination, object or primary key


async def test_a_changed_baseline_reads_as_empty_until_the_first_commit_replaces_it(backend: Backend) -> None:
    store = backend.store
    claim = await store.claim(request("run-1", baseline="old"))
    await store.commit(claim, Commit(1, RunCounts(read=3, created=3), hashes(2), hashes(2), [letter(hashes(1))]))
    await store.finish(claim, result())

    claim = await store.claim(request("run-2", baseline="new"))
    assert claim.snapshot_rows == 0
    assert await parts(store, claim) == []
    assert (await store.waiting(claim)).keys == b""
    keys, rows = hashes(1), hashes(1)
    await store.commit(claim, Commit(1, RunCounts(read=1, created=1), keys, rows))
    assert [(part.keys, part.rows) for part in await parts(store, claim)] == [(keys, rows)]
    assert await backend.database.dead_letters(namespace=NAMESPACE) == []
    [entry] = await backend.database.dead_letters(namespace=NAMESPACE, resolved=True)
    assert entry.resolution == "rebaselined"


async def test_a_dead_letter_alone_also_replaces_the_baseline(backend: Backend) -> None:
    store = backend.store
    claim = await store.claim(request("run-1", baseline="old"))
    await store.commit(claim, Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1)))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", baseline="new"))
    await store.commit(claim, Commit(1, RunCounts(read=1, rejected=1), dead_letters=[letter(b"k" * 16)]))
    assert await parts(store, claim) == []
    assert (await store.waiting(claim)).keys == b"k" * 16


async def test_a_run_that_commits_nothing_leaves_the_old_baseline_as_it_was(store: StateStore) -> None:
    keys, rows = hashes(2), hashes(2)
    claim = await store.claim(request("run-1", baseline="old"))
    await store.commit(claim, Commit(1, RunCounts(read=2, created=2), keys, rows))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", baseline="new"))
    await store.commit(claim, Commit(1, RunCounts(read=2, skipped=2)))
    await store.compact(claim, [], 0)
    await store.finish(claim, result("Failed", run="run-2"))
    claim = await store.claim(request("run-3", baseline="old"))
    assert [(part.keys, part.rows) for part in await parts(store, claim)] == [(keys, rows)]


async def test_a_plan_reads_the_snapshot_and_writes_neither_records_nor_baseline(store: StateStore) -> None:
    keys, rows = hashes(2), hashes(2)
    claim = await store.claim(request("run-1", baseline="old"))
    await store.commit(claim, Commit(1, RunCounts(read=2, created=2), keys, rows))
    await store.finish(claim, result())

    plan = await store.claim(request("plan-1", mode="Plan", baseline="old"))
    assert [(part.keys, part.rows) for part in await parts(store, plan)] == [(keys, rows)]
    await store.finish(plan, result(run="plan-1"))
    plan = await store.claim(request("plan-2", mode="Plan", baseline="new"))
    with pytest.raises(InvalidInput, match="a plan writes nothing"):
        await store.commit(plan, Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1)))
    with pytest.raises(InvalidInput, match="a plan writes nothing"):
        await store.commit(plan, Commit(2, RunCounts(read=1, invalid=1), dead_letters=[letter(hashes(1))]))
    await store.commit(plan, Commit(3, RunCounts(read=2, created=2)))
    await store.finish(plan, result(run="plan-2"))

    claim = await store.claim(request("run-2", baseline="old"))
    assert [(part.keys, part.rows) for part in await parts(store, claim)] == [(keys, rows)]


# Compaction


async def test_compaction_replaces_the_parts_it_read_and_keeps_the_later_ones_after_them(store: StateStore) -> None:
    claim = await store.claim(request())
    for sequence in (1, 2, 3):
        await store.commit(claim, Commit(sequence, RunCounts(), bytes([sequence]) * 16, hashes(1)))
    await store.compact(claim, [SnapshotPart(1, b"a" * 16, b"1" * 16)], replaces=2)
    assert [part.keys for part in await parts(store, claim)] == [b"a" * 16, b"\3" * 16]
    await store.commit(claim, Commit(4, RunCounts(), b"\4" * 16, hashes(1)))
    assert [part.keys for part in await parts(store, claim)] == [b"a" * 16, b"\3" * 16, b"\4" * 16]


async def test_compaction_into_more_parts_than_before_keeps_their_order(store: StateStore) -> None:
    claim = await store.claim(request())
    await store.commit(claim, Commit(1, RunCounts(), b"0" * 16, hashes(1)))
    await store.commit(claim, Commit(2, RunCounts(), b"z" * 16, hashes(1)))
    compacted = [SnapshotPart(n, bytes([n]) * 16, hashes(1)) for n in range(1, 6)]
    await store.compact(claim, compacted, replaces=1)
    read = await parts(store, claim)
    assert [part.keys for part in read] == [*(part.keys for part in compacted), b"z" * 16]
    assert [part.sequence for part in read] == sorted(part.sequence for part in read)
    await store.compact(claim, [], replaces=read[-1].sequence)
    assert await parts(store, claim) == []


async def test_compaction_survives_into_the_next_run(store: StateStore) -> None:
    claim = await store.claim(request("run-1"))
    await store.commit(claim, Commit(1, RunCounts(), hashes(2), hashes(2)))
    await store.compact(claim, [SnapshotPart(1, b"a" * 16, b"1" * 16)], replaces=1)
    await store.finish(claim, result())
    claim = await store.claim(request("run-2"))
    assert claim.snapshot_rows == 1
    assert await pairs(store, claim) == {b"a" * 16: b"1" * 16}


async def test_a_large_snapshot_is_kept_and_read_in_bounded_parts(store: StateStore) -> None:
    claim = await store.claim(request())
    keys, rows = hashes(600_000), hashes(600_000)
    await store.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
    await store.compact(claim, [SnapshotPart(1, keys, rows)], replaces=1)
    read = await parts(store, claim)
    assert b"".join(part.keys for part in read) == keys
    assert b"".join(part.rows for part in read) == rows
    assert max(len(part.keys) for part in read) <= 250_000 * 16
