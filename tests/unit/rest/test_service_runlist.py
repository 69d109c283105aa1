"""Runs of the cluster and of the history as one list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from retl.resources.run import RunCounts
from retl.rest.callers.caller import NOBODY, SCHEDULE
from retl.rest.service import runlist
from retl.rest.service.values import Place, RunRecord
from retl.state.history import RunRow
from retl.state.store import RunState

PLACE = Place("growth", UUID(int=7), datetime(2026, 1, 1, tzinfo=UTC))
SYNC = UUID(int=9)
SOMEBODY = UUID(int=3)


def at(minute: int) -> datetime:
    return datetime(2026, 5, 4, 12, minute, tzinfo=UTC)


def row(number: int, state: RunState = "Succeeded", minute: int = 0, **more: Any) -> RunRow:
    values: dict[str, Any] = {
        "uid": str(UUID(int=number)), "name": f"run-{number}", "sync_uid": str(SYNC), "sync": "accounts",
        "namespace": "growth", "state": state, "attempt": 1, "started_at": at(minute), "finished_at": at(minute),
        "reason": "Because", "counts": RunCounts(read=3, updated=2, rejected=1), "created_at": at(minute),
        "triggered_by": None, "full_refresh": False, "tick": None, "plan_hash": "",
    }  # fmt: skip
    return RunRow(**values | more)


def live(number: int, phase: str | None, minute: int = 0, **metadata: Any) -> RunRecord:
    made = at(minute).isoformat()
    head = {"name": f"run-{number}", "namespace": "growth", "uid": str(UUID(int=number)), "creationTimestamp": made}
    manifest = {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "SyncRun",
        "metadata": head | metadata,
        "spec": {"syncRef": {"name": "accounts"}},
        "status": {"phase": phase} if phase else {},
    }
    return runlist.of_manifest(PLACE, manifest, SYNC)


@pytest.mark.parametrize(
    ("state", "shown", "reason"),
    [
        ("Succeeded", "Succeeded", ""),
        ("Failed", "Failed", "Because"),
        ("Interrupted", "Failed", "Because"),
        ("Cancelled", "Cancelled", "Because"),
        ("AwaitingApproval", "Cancelled", "Because"),
        ("Running", "Running", "Because"),
    ],
)
def test_a_run_of_the_history_is_what_it_was_and_one_that_waited_can_wait_no_longer(
    state: RunState, shown: str, reason: str
) -> None:
    record = runlist.of_row(PLACE, row(1, state))
    assert (record.state, record.reason, record.rows_written, record.rows_failed) == (shown, reason, 2, 1)


def test_who_triggered_a_run_is_told_where_anything_tells() -> None:
    assert runlist.of_row(PLACE, row(1)).triggered_by == NOBODY
    assert runlist.of_row(PLACE, row(1, tick=at(0))).triggered_by == SCHEDULE
    assert runlist.of_row(PLACE, row(1, triggered_by=SOMEBODY)).triggered_by == SOMEBODY
    said: dict[str, Any] = {"annotations": {"reverseetl.io/triggered-by": str(SOMEBODY)}}
    assert live(1, None, **said).triggered_by == SOMEBODY
    assert live(1, None, annotations={"reverseetl.io/triggered-by": "x"}).triggered_by == NOBODY


def test_a_run_whose_owner_is_made_up_has_none() -> None:
    owner = {"apiVersion": "reverseetl.io/v1alpha1", "kind": "ReverseETLSync", "name": "accounts", "uid": "garbage"}
    assert runlist.owner_uid({"metadata": {"ownerReferences": [owner]}}) is None
    assert runlist.owner_uid({"metadata": {"ownerReferences": [owner, owner | {"uid": str(SYNC)}]}}) == SYNC


@pytest.mark.parametrize(
    ("phase", "state", "outdated"),
    [
        ("Running", "Succeeded", True),
        ("Running", "Cancelled", True),
        ("Running", "Failed", False),
        ("Running", "Interrupted", False),
        ("Running", "AwaitingApproval", False),
        ("Failed", "Succeeded", False),
        (None, "Succeeded", False),
    ],
)
def test_the_history_knows_better_only_of_a_run_that_is_over(
    phase: str | None, state: RunState, outdated: bool
) -> None:
    assert runlist.outdated(live(1, phase), row(1, state)) is outdated


def test_pages_are_newest_first_and_go_on_where_the_last_one_ended() -> None:
    here = [live(1, "Pending", 5), live(2, "Running", 3)]
    gone = [runlist.of_row(PLACE, each) for each in (row(3, minute=4), row(4, minute=3), row(5, minute=1))]
    shown, further = runlist.page(here, gone, 3)
    assert [run.uid.int for run in shown] == [1, 3, 4]
    assert further == (at(3), UUID(int=4))
    last, end = runlist.page([run for run in here if runlist.position(run) < further], gone[2:], 3)
    assert ([run.uid.int for run in last], end) == ([2, 5], None)


@pytest.mark.parametrize(
    ("phase", "state", "as_in_the_list"),
    [("Succeeded", "Succeeded", True), ("Failed", "Failed", False), ("Succeeded", "Interrupted", False)],
)
def test_a_run_that_succeeded_has_the_times_that_lists_show(phase: str, state: RunState, as_in_the_list: bool) -> None:
    seen, kept = live(1, phase, minute=1), row(1, state, minute=2)
    told = runlist.as_listed(seen, kept)
    listed = runlist.of_row(PLACE, kept)
    same = (told.started_at, told.finished_at, told.counts) == (listed.started_at, listed.finished_at, listed.counts)
    assert same is as_in_the_list
    assert told.manifest is seen.manifest
    assert runlist.as_listed(seen, None) == seen
