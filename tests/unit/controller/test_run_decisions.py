"""What is decided about a run, state by state."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from retl.controller.decision import Create, Decision, Delete, Problem
from retl.controller.runs.decide import decide
from retl.controller.runs.view import RunView
from retl.controller.settings import RetryPolicy, RunnerSettings
from retl.resources.conditions import Condition, find
from retl.resources.run import RunStatus
from retl.runspec import RunSpec
from retl.runspec.pod import RUN_SPEC_ANNOTATION
from tests.unit.controller.views import NOON, at, job, pod, run_spec, run_view, said

RUNNER = RunnerSettings(image="runner:1", state_url="http://state")
RETRY = RetryPolicy(first=timedelta(minutes=1), longest=timedelta(minutes=3))
PENDING = {"phase": "Pending", "attempt": 1, "job_name": "accounts-1-1"}
RUNNING = PENDING | {"phase": "Running"}
AWAITING = PENDING | {"phase": "AwaitingApproval", "plan_hash": "abc"}
DOWN = {"status": "Failed", "reason": "DestinationUnavailable", "message": "it is down", "retriable": True}


def decided(view: RunView, now: datetime = NOON) -> tuple[RunStatus, Condition, Decision]:
    decision = decide(view, now, RETRY, RUNNER)
    assert isinstance(decision.status, RunStatus)
    condition = find(decision.status.conditions, "Succeeded")
    assert condition is not None
    return decision.status, condition, decision


def started_job(decision: Decision) -> str | None:
    return next((a.manifest["metadata"]["name"] for a in decision.actions if isinstance(a, Create)), None)


def ended_job(**changes: Any) -> Any:
    return job(failed=("BackoffLimitExceeded", ""), ended_at=at(1), **changes)


def test_a_reserved_run_starts() -> None:
    status, condition, decision = decided(run_view())
    assert (status.phase, status.attempt, status.job_name, status.started_at) == ("Pending", 1, "accounts-1-1", NOON)
    assert (condition.status, condition.reason) == ("Unknown", "Starting")
    assert started_job(decision) == "accounts-1-1"


SYNC = run_view().sync
assert SYNC is not None


@pytest.mark.parametrize(
    ("view", "phase", "reason"),
    [
        pytest.param(run_view(sync=replace(SYNC, active_run="x")), "Pending", "Waiting", id="another run is active"),
        pytest.param(
            run_view(sync=replace(SYNC, active_run="x"), scheduled=True),
            "Cancelled",
            "NotReserved",
            id="tick without reservation",
        ),
        pytest.param(run_view(sync=None), "Failed", "SyncNotFound", id="no sync"),
        pytest.param(run_view(sync=replace(SYNC, state="Draft")), "Failed", "SyncIsDraft", id="draft"),
        pytest.param(run_view(sync=replace(SYNC, state=None)), "Failed", "InvalidSync", id="invalid sync"),
        pytest.param(run_view(resolved=Problem("SourceNotFound", "none")), "Failed", "SourceNotFound", id="unresolved"),
        pytest.param(run_view(spec={"cancel": True}), "Cancelled", "Cancelled", id="cancelled before it started"),
        pytest.param(run_view(AWAITING, spec={"cancel": True}), "Cancelled", "Cancelled", id="cancelled awaiting"),
        pytest.param(run_view(AWAITING, sync=None), "Failed", "SyncNotFound", id="sync gone while awaiting"),
        pytest.param(
            run_view(AWAITING, spec={"approval": {"planHash": "xyz"}}),
            "AwaitingApproval",
            "ApprovalOfAnotherPlan",
            id="other approval",
        ),
        pytest.param(
            run_view(AWAITING, spec={"approval": {"planHash": "abc"}}, resolved=None),
            "Failed",
            "ReservationLost",
            id="reservation lost",
        ),
        pytest.param(run_view(PENDING, job=job(owner_uid="stranger")), "Failed", "NameTaken", id="a stranger's Job"),
        pytest.param(run_view(PENDING, refused="too big"), "Failed", "JobRefused", id="refused Job"),
        pytest.param(run_view(PENDING, job=job()), "Running", "Running", id="Job is there"),
        pytest.param(
            run_view(PENDING, job=job(), pods=(pod(waiting=("ImagePullBackOff", "no such image")),)),
            "Running",
            "ImagePullBackOff",
            id="image",
        ),
        pytest.param(
            run_view(PENDING, job=job(), pods=(pod(waiting=("ContainerCreating", "")),)),
            "Running",
            "Running",
            id="creating",
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(status="Succeeded"),)),
            "Succeeded",
            "Succeeded",
            id="succeeded",
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(status="AwaitingApproval", reason="GuardBreached"),)),
            "AwaitingApproval",
            "GuardBreached",
            id="breach",
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(**DOWN | {"retriable": False}),)),
            "Failed",
            "DestinationUnavailable",
            id="final failure",
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(**DOWN),), spec={"cancel": True}),
            "Cancelled",
            "Cancelled",
            id="failed after cancel",
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(status="Succeeded"),), spec={"cancel": True}),
            "Succeeded",
            "Succeeded",
            id="done before cancel",
        ),
        pytest.param(run_view(RUNNING, spec={"cancel": True}), "Cancelled", "Cancelled", id="Job gone after cancel"),
        pytest.param(run_view(RUNNING | {"attempt": 4}), "Failed", "JobDeleted", id="Job deleted, no attempts left"),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(**DOWN),), sync=None),
            "Failed",
            "SyncNotFound",
            id="nothing to try again",
        ),
    ],
)
def test_each_state_has_its_next(view: RunView, phase: str, reason: str) -> None:
    status, condition, _ = decided(view, at(1))
    assert (status.phase, condition.reason) == (phase, reason)
    expected = {"Succeeded": "True", "Failed": "False", "Cancelled": "False"}.get(phase, "Unknown")
    assert condition.status == expected
    assert (status.finished_at is not None) == (phase in ("Succeeded", "Failed", "Cancelled"))


def test_the_result_becomes_the_record() -> None:
    result = said(status="Succeeded", counts={"read": 3, "created": 3}, dead_letters=1, plan_hash="abc")
    status, _, _ = decided(run_view(RUNNING, job=job(succeeded=True, ended_at=at(2)), pods=(result,)), at(3))
    assert status.counts is not None
    assert (status.counts.read, status.dead_letters, status.plan_hash, status.finished_at) == (3, 1, "abc", at(1))


@pytest.mark.parametrize(("attempt", "pause"), [(1, 1), (2, 2), (3, 3)])
def test_a_retriable_failure_rests_and_then_starts_the_next_attempt(attempt: int, pause: int) -> None:
    before = RUNNING | {"attempt": attempt}
    view = run_view(before, job=ended_job(), pods=(said(**DOWN),))
    status, condition, decision = decided(view, at(1.5))
    assert (status.phase, status.attempt, decision.wake) == ("Pending", attempt, at(1 + pause))
    assert condition.message.startswith(f"attempt {attempt} failed: DestinationUnavailable: it is down; the next one")
    waiting = run_view(status.model_dump(), job=ended_job(), pods=(said(**DOWN),))
    again, _, _ = decided(waiting, at(1.6))
    assert again == status
    started, _, decision = decided(waiting, at(1 + pause))
    assert (started.attempt, started_job(decision)) == (attempt + 1, f"accounts-1-{attempt + 1}")


def test_the_last_attempt_is_final() -> None:
    status, condition, _ = decided(run_view(RUNNING | {"attempt": 4}, job=ended_job(), pods=(said(**DOWN),)), at(60))
    assert (status.phase, condition.message) == ("Failed", "it is down")


def test_an_approval_of_this_plan_starts_an_attempt_that_carries_it() -> None:
    approval = {"approval": {"planHash": "abc"}}
    status, _, decision = decided(run_view(AWAITING, spec=approval, resolved=run_spec(approval=approval["approval"])))
    [create] = decision.actions
    assert isinstance(create, Create)
    told = create.manifest["spec"]["template"]["metadata"]["annotations"][RUN_SPEC_ANNOTATION]
    run = RunSpec.model_validate_json(told).run
    assert (run.attempt, run.approved_plan) == (2, "abc")
    assert (status.phase, status.attempt) == ("Pending", 2)
    assert started_job(decision) == "accounts-1-2"


def test_pending_without_its_job_creates_it() -> None:
    status, _, decision = decided(run_view(PENDING | {"started_at": at(-5)}))
    assert started_job(decision) == "accounts-1-1"
    assert (status.attempt, status.started_at) == (1, at(-5))


def test_running_without_its_job_is_a_lost_attempt() -> None:
    status, _, decision = decided(run_view(RUNNING))
    assert (status.attempt, started_job(decision)) == (2, "accounts-1-2")


def test_a_cancellation_deletes_the_job_in_the_foreground_and_waits() -> None:
    view = run_view(RUNNING, job=job(), pods=(pod(),), spec={"cancel": True})
    status, condition, decision = decided(view)
    assert (status.phase, condition.reason) == ("Running", "Cancelling")
    [stop] = decision.actions
    assert isinstance(stop, Delete)
    assert (stop.key.name, stop.uid, stop.propagation) == ("accounts-1-1", "job-uid", "Foreground")
    assert decide(replace(view, job=job(deleting=True)), NOON, RETRY, RUNNER) == Decision()


def test_a_cancelled_run_ends_with_the_last_word_of_its_pod() -> None:
    last = said(status="Cancelled", counts={"read": 4, "created": 4})
    view = run_view(RUNNING, job=job(deleting=True), pods=(last,), spec={"cancel": True})
    status, _, _ = decided(view, at(2))
    assert status.counts is not None
    assert (status.phase, status.counts.created) == ("Cancelled", 4)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_an_ended_run_is_left_alone(phase: Any) -> None:
    assert decide(run_view({"phase": phase, "attempt": 1}), NOON, RETRY, RUNNER) == Decision()


def test_a_run_that_cannot_be_understood_fails_in_words() -> None:
    status, condition, _ = decided(replace(run_view(), spec=Problem("InvalidSpec", "x")))
    assert (status.phase, condition.reason, condition.message) == ("Failed", "InvalidSpec", "x")


def test_awaiting_approval_without_one_changes_nothing() -> None:
    assert decide(run_view(AWAITING), NOON, RETRY, RUNNER) == Decision()
