"""The history of runs as the API lists it: by pages, whatever the run's state, and by uid or name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from retl.resources.run import RunCounts
from retl.runspec.result import RunStatusName
from retl.state import runs
from retl.state.history import RunRow, RunsAsked
from retl.state.store import LEASE, ClaimRequest, RunState
from tests.unit.state.databases import NAMESPACE, Backend, request, result

MADE = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
ADA = UUID("7d1f6f0c-0000-5000-8000-00000000ada0")


def made(run: str, at: datetime = MADE, *, sync: str = "contacts", namespace: str = NAMESPACE) -> ClaimRequest:
    """A request of a run whose SyncRun was made at that moment."""
    asked = request(run, sync=sync, namespace=namespace)
    return replace(asked, run=asked.run.model_copy(update={"created_at": at}))


async def ran(backend: Backend, asked: ClaimRequest, status: RunStatusName = "Succeeded") -> None:
    """A run from claim to end."""
    claim = await backend.store.claim(asked)
    await backend.store.finish(claim, result(status, run=asked.run.name))


async def names(backend: Backend, asked: RunsAsked) -> list[str]:
    return [row.name for row in await backend.database.history(asked)]


async def test_a_run_is_kept_with_who_asked_for_it_and_for_what(backend: Backend) -> None:
    asked = made("run-1")
    told = {"triggered_by": ADA, "full_refresh": True, "tick": MADE - timedelta(minutes=1)}
    asked = replace(asked, run=asked.run.model_copy(update=told))
    claim = await backend.store.claim(asked)
    ended = result("AwaitingApproval", RunCounts(read=2, created=2)).model_copy(update={"plan_hash": "abc"})
    await backend.store.finish(claim, ended.model_copy(update={"reason": "GuardBreached", "message": "too many"}))
    [row] = await backend.database.history(RunsAsked(NAMESPACE, 50))
    assert row == RunRow(
        uid="uid-of-run-1",
        name="run-1",
        sync_uid="uid-of-contacts",
        sync="contacts",
        namespace=NAMESPACE,
        state="AwaitingApproval",
        attempt=1,
        started_at=backend.clock.now,
        finished_at=backend.clock.now,
        reason="GuardBreached",
        message="too many",
        counts=RunCounts(read=2, created=2),
        created_at=MADE,
        triggered_by=ADA,
        full_refresh=True,
        tick=MADE - timedelta(minutes=1),
        plan_hash="abc",
    )


async def test_a_run_of_which_nobody_says_when_it_was_made_stands_where_it_started(backend: Backend) -> None:
    await ran(backend, request("run-1"))
    [row] = await backend.database.history(RunsAsked(NAMESPACE, 50))
    assert (row.created_at, row.started_at) == (backend.clock.now, backend.clock.now)
    assert (row.triggered_by, row.tick, row.full_refresh, row.plan_hash) == (None, None, False, "")


async def test_a_later_attempt_changes_neither_the_runs_uid_nor_its_place(backend: Backend) -> None:
    await ran(backend, made("run-1"), "AwaitingApproval")
    await ran(backend, made("run-2", MADE + timedelta(hours=1)))
    backend.clock.pass_by(timedelta(days=1))
    again = made("run-1")
    await ran(backend, replace(again, run=again.run.model_copy(update={"attempt": 2})))
    rows = await backend.database.history(RunsAsked(NAMESPACE, 50))
    assert [(row.uid, row.state, row.attempt) for row in rows] == [
        ("uid-of-run-2", "Succeeded", 1),
        ("uid-of-run-1", "Succeeded", 2),
    ]


STATES: tuple[RunStatusName, ...] = ("Succeeded", "Failed", "Cancelled", "AwaitingApproval")


NARROWED: tuple[tuple[str | None, set[RunState]], ...] = (
    (None, set()),
    ("contacts", set()),
    (None, {"Failed"}),
    ("deals", {"Succeeded", "Failed"}),
    (None, {"Succeeded", "Cancelled", "Running"}),
)


async def test_pages_follow_one_another_without_a_gap_or_a_run_twice(backend: Backend) -> None:
    made_of = [("contacts", "deals", "leads")[number % 3] for number in range(24)]
    for number, sync in enumerate(made_of):  # four at each moment
        at = MADE + timedelta(seconds=number // 4)
        await ran(backend, made(f"run-{number:02}", at, sync=sync), STATES[number % 4])
    await backend.database.claim(made("elsewhere", namespace="sales", sync="other"))
    for of, states in NARROWED:
        asked = RunsAsked(NAMESPACE, 3, of and f"uid-of-{of}", frozenset(states))
        read: list[str] = []
        while page := await backend.database.history(asked):
            assert len(page) <= 3
            read += [row.name for row in page]
            asked = replace(asked, after=(page[-1].created_at, page[-1].uid))
        wanted = [n for n, sync in enumerate(made_of) if of in (None, sync) and (not states or STATES[n % 4] in states)]
        assert read == [f"run-{number:02}" for number in reversed(wanted)]
        assert len(read) > 3


async def test_a_run_whose_runner_vanished_is_among_the_failed_and_not_among_those_under_way(backend: Backend) -> None:
    await ran(backend, made("failed"), "Failed")
    await backend.store.claim(made("vanished", MADE + timedelta(seconds=1)))
    heard_of = backend.clock.now
    backend.clock.pass_by(LEASE)
    await backend.store.claim(made("under-way", MADE + timedelta(seconds=2), sync="deals"))
    running = RunsAsked(NAMESPACE, 50, states=frozenset({"Running"}))
    failed = RunsAsked(NAMESPACE, 50, states=frozenset({"Failed"}))
    assert await names(backend, running) == ["under-way"]
    assert await names(backend, failed) == ["vanished", "failed"]
    [row, _] = await backend.database.history(failed)
    assert (row.state, row.finished_at) == ("Interrupted", heard_of)
    await backend.store.claim(made("next", MADE + timedelta(seconds=3)))  # now it is also recorded so
    assert await names(backend, running) == ["next", "under-way"]
    assert await names(backend, failed) == ["vanished", "failed"]


async def test_a_run_is_found_by_its_uid_or_name_in_its_namespace(backend: Backend) -> None:
    await ran(backend, made("run-1"))
    again = made("run-1", MADE + timedelta(hours=1))  # its sync was deleted and made again
    sync = again.sync.model_copy(update={"uid": "another"})
    await ran(backend, replace(again, sync=sync, run=again.run.model_copy(update={"uid": "uid-of-the-second"})))
    read = backend.database
    found = [
        await read.run_of(NAMESPACE, uid="uid-of-run-1"),
        await read.run_of(NAMESPACE, name="run-1"),
        await read.run_of("sales", uid="uid-of-run-1"),
        await read.run_of("sales", name="run-1"),
        await read.run_of(NAMESPACE, uid="nothing"),
    ]
    assert [row and row.uid for row in found] == ["uid-of-run-1", "uid-of-the-second", None, None, None]


async def test_a_run_that_waited_long_is_not_forgotten_when_it_starts(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT", 3)
    for number in range(5):
        backend.clock.pass_by(timedelta(minutes=1))
        await ran(backend, made(f"run-{number}", MADE + timedelta(hours=number)))
    backend.clock.pass_by(timedelta(minutes=1))
    await ran(backend, made("waited", MADE - timedelta(days=1)))
    assert await names(backend, RunsAsked(NAMESPACE, 50)) == ["run-4", "run-3", "waited"]


async def test_the_key_of_a_request_is_remembered_with_its_first_body_for_a_month(backend: Backend) -> None:
    store = backend.database
    assert await store.body_asked("key") is None
    for body in ("first", "second"):
        await store.note_asked("key", body)
    assert await store.body_asked("key") == "first"
    backend.clock.pass_by(timedelta(days=31))
    await store.note_asked("another", "body")
    assert await store.body_asked("key") is None
