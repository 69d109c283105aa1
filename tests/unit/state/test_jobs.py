"""Jobs that a destination has taken: remembered until a commit ends them, by whichever run comes next."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retl.errors import Fenced, InvalidInput
from retl.resources.run import RunCounts
from retl.state.store import Commit, OpenJob, StateStore
from retl.state.wire import BadMessage, pack_job, pack_jobs, unpack_job, unpack_jobs
from tests.unit.state.databases import request, result

JOB = OpenJob(
    id="0198-a",
    handle="750xx0000000001",
    run_uid="run",
    operation="upsert",
    submitted_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    keys=bytes(32),
    rows=b"r" * 32,
    marks=b"m" * 32,
)
LATER = replace(JOB, id="0198-b", submitted_at=datetime(2026, 3, 1, 13, tzinfo=UTC))


def test_jobs_survive_the_way_over_the_wire() -> None:
    assert unpack_job(pack_job(JOB)) == JOB
    assert unpack_jobs(pack_jobs([JOB, LATER])) == [JOB, LATER]


def test_a_job_that_was_cut_off_is_refused() -> None:
    with pytest.raises(BadMessage):
        unpack_job(pack_job(JOB)[:-1])


async def test_the_next_run_finds_the_jobs_that_no_commit_has_ended(store: StateStore) -> None:
    claim = await store.claim(request("run-1"))
    await store.keep_job(claim, LATER)
    await store.keep_job(claim, JOB)
    await store.keep_job(claim, replace(JOB, handle="another"))
    await store.finish(claim, result())
    claim = await store.claim(request("run-2"))
    assert await store.jobs(claim) == [replace(JOB, handle="another"), LATER]
    await store.commit(claim, Commit(1, RunCounts(), ended=[JOB.id]))
    assert await store.jobs(claim) == [LATER]


async def test_jobs_of_another_destination_are_forgotten_with_its_snapshot(store: StateStore) -> None:
    claim = await store.claim(request("run-1"))
    await store.keep_job(claim, JOB)
    await store.finish(claim, result())
    claim = await store.claim(request("run-2", baseline="other"))
    assert await store.jobs(claim) == []
    await store.keep_job(claim, LATER)
    assert await store.jobs(claim) == [LATER]


async def test_a_runner_that_lost_its_claim_keeps_no_job(store: StateStore) -> None:
    claim = await store.claim(request("run-1"))
    await store.claim(request("run-1", attempt=2))
    with pytest.raises(Fenced):
        await store.keep_job(claim, JOB)
    with pytest.raises(Fenced):
        await store.jobs(claim)


async def test_a_plan_has_no_jobs(store: StateStore) -> None:
    claim = await store.claim(request("run-1", mode="Plan"))
    with pytest.raises(InvalidInput, match="a plan writes nothing"):
        await store.keep_job(claim, JOB)
