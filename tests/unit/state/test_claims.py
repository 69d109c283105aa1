"""One run of a sync at a time, and whoever was overtaken can do no more harm."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from retl.errors import Busy, Fenced
from retl.resources.destination import RateLimit
from retl.resources.run import RunCounts
from retl.state.owner import owner
from retl.state.store import LEASE, Claim, Commit, SnapshotPart, StateStore
from tests.unit.state.databases import NAMESPACE, Backend, hashes, parts, request, result


async def test_each_claim_of_a_sync_has_a_higher_fence_and_the_same_salt(store: StateStore) -> None:
    first = await store.claim(request("run-1"))
    await store.finish(first, result())
    second = await store.claim(request("run-2"))
    assert second.fence > first.fence
    assert len(first.salt) == 16
    assert second.salt == first.salt


async def test_two_syncs_have_different_salts_and_do_not_hinder_each_other(store: StateStore) -> None:
    contacts = await store.claim(request("run-1", sync="contacts"))
    deals = await store.claim(request("run-1", sync="deals"))
    assert contacts.salt != deals.salt
    await store.heartbeat(contacts, RunCounts(read=1))
    await store.heartbeat(deals, RunCounts(read=1))


async def test_another_run_is_refused_and_told_who_is_active(backend: Backend) -> None:
    await backend.store.claim(request("run-1", owner="pod-of-run-1"))
    backend.clock.pass_by(timedelta(seconds=20))
    with pytest.raises(Busy) as refusal:
        await backend.store.claim(request("run-2"))
    said = str(refusal.value)
    assert "growth/contacts" in said
    assert "run-1" in said
    assert "pod-of-run-1" in said
    assert "2026-03-01T12:00:00Z" in said
    assert "20 s ago" in said


async def test_a_finished_run_frees_the_sync(store: StateStore) -> None:
    await store.finish(await store.claim(request("run-1")), result())
    await store.claim(request("run-2"))


async def test_a_heartbeat_keeps_the_lease_and_shows_progress(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    backend.clock.pass_by(LEASE - timedelta(seconds=1))
    await backend.store.heartbeat(claim, RunCounts(read=7, created=7))
    backend.clock.pass_by(LEASE - timedelta(seconds=1))
    with pytest.raises(Busy):
        await backend.store.claim(request("run-2"))
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert run.state == "Running"
    assert run.counts == RunCounts(read=7, created=7)


async def test_a_run_without_heartbeat_is_overtaken_and_recorded_as_interrupted(backend: Backend) -> None:
    old = await backend.store.claim(request("run-1"))
    vanished_at = backend.clock.now
    backend.clock.pass_by(LEASE)
    new = await backend.store.claim(request("run-2"))
    assert new.fence > old.fence
    with pytest.raises(Fenced):
        await backend.store.heartbeat(old, RunCounts())
    runs = {run.name: run for run in await backend.database.runs(namespace=NAMESPACE)}
    assert runs["run-1"].state == "Interrupted"
    assert runs["run-1"].finished_at == vanished_at
    assert runs["run-2"].state == "Running"


async def test_a_vanished_run_is_shown_as_interrupted_before_anyone_overtakes_it(backend: Backend) -> None:
    await backend.store.claim(request("run-1"))
    backend.clock.pass_by(LEASE)
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert run.state == "Interrupted"


async def test_a_slow_run_that_nobody_overtook_goes_on(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1"))
    backend.clock.pass_by(LEASE * 3)
    await backend.store.commit(claim, Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1)))
    await backend.store.heartbeat(claim, RunCounts(read=1, created=1))
    with pytest.raises(Busy):
        await backend.store.claim(request("run-2"))


@pytest.mark.parametrize("attempt", [1, 2])
async def test_the_same_run_takes_over_from_its_earlier_attempt_at_once(backend: Backend, attempt: int) -> None:
    old = await backend.store.claim(request("run-1", attempt=1))
    new = await backend.store.claim(request("run-1", attempt=attempt))
    assert new.fence > old.fence
    with pytest.raises(Fenced):
        await backend.store.commit(old, Commit(1, RunCounts(), hashes(1), hashes(1)))
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert (run.state, run.attempt) == ("Running", attempt)


async def test_an_earlier_attempt_that_comes_late_must_stop(store: StateStore) -> None:
    current = await store.claim(request("run-1", attempt=2))
    with pytest.raises(Fenced, match="attempt 2 has started"):
        await store.claim(request("run-1", attempt=1))
    await store.heartbeat(current, RunCounts())


async def test_a_run_that_awaited_approval_goes_on_under_the_same_name(backend: Backend) -> None:
    claim = await backend.store.claim(request("run-1", attempt=1))
    await backend.store.finish(claim, result("AwaitingApproval", RunCounts(read=5, created=5)))
    await backend.store.claim(request("run-1", attempt=2))
    [run] = await backend.database.runs(namespace=NAMESPACE)
    assert (run.state, run.attempt, run.finished_at, run.counts) == ("Running", 2, None, RunCounts())


async def test_a_local_run_whose_process_is_gone_is_overtaken_at_once(backend: Backend) -> None:
    child = await asyncio.create_subprocess_exec("sleep", "60")
    await backend.store.claim(request("run-1", owner=owner(child.pid)))
    with pytest.raises(Busy):
        await backend.store.claim(request("run-2"))
    child.kill()
    await child.wait()
    await backend.store.claim(request("run-2"))
    runs = {run.name: run.state for run in await backend.database.runs(namespace=NAMESPACE)}
    assert runs == {"run-1": "Interrupted", "run-2": "Running"}


REFUSED: dict[str, Callable[[StateStore, Claim], Awaitable[object]]] = {
    "snapshot": parts,
    "waiting": lambda store, claim: store.waiting(claim),
    "reserve": lambda store, claim: store.reserve(claim, "account", RateLimit(requests=1), 1),
    "commit": lambda store, claim: store.commit(claim, Commit(9, RunCounts(), hashes(1), hashes(1))),
    "compact": lambda store, claim: store.compact(claim, [SnapshotPart(1, hashes(1), hashes(1))], 1),
    "heartbeat": lambda store, claim: store.heartbeat(claim, RunCounts()),
    "finish": lambda store, claim: store.finish(claim, result()),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("ended", [False, True], ids=["overtaken", "overtaken by a run that has ended"])
async def test_whatever_an_older_fence_sends_is_refused_and_changes_nothing(
    backend: Backend, call: Callable[[StateStore, Claim], Awaitable[object]], ended: bool
) -> None:
    old = await backend.store.claim(request("run-1"))
    await backend.store.commit(old, Commit(1, RunCounts(read=1, created=1), b"k" * 16, b"r" * 16))
    backend.clock.pass_by(LEASE)
    new = await backend.store.claim(request("run-2"))
    if ended:
        await backend.store.finish(new, result(run="run-2"))
    with pytest.raises(Fenced):
        await call(backend.store, old)
    if ended:
        new = await backend.store.claim(request("run-3"))
    assert await parts(backend.store, new) == [SnapshotPart(1, b"k" * 16, b"r" * 16)]


async def test_of_many_claimers_at_once_exactly_one_wins(backend: Backend) -> None:
    answers = await asyncio.gather(
        *(backend.store.claim(request(f"run-{n}")) for n in range(12)), return_exceptions=True
    )
    assert sum(isinstance(answer, Claim) for answer in answers) == 1
    assert sum(isinstance(answer, Busy) for answer in answers) == 11


async def test_a_sync_cannot_be_claimed_under_another_namespace(backend: Backend) -> None:
    await backend.database.claim(request("run-1", namespace=NAMESPACE))
    with pytest.raises(Exception, match="another namespace"):
        await backend.database.claim(request("run-1", namespace="sales"))
