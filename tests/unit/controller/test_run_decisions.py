"""What is decided about a run, state by state."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from retl.controller.decision import RECHECK, Create, Decision, Delete, Problem
from retl.controller.facts import JobFacts
from retl.controller.runs.decide import decide
from retl.controller.runs.view import Refusal, RunView, SlotFacts
from retl.controller.settings import RetryPolicy, RunnerSettings
from retl.resources.conditions import Condition, find
from retl.resources.run import RunProgress, RunStatus
from retl.runspec import RunSpec
from retl.runspec.pod import RUN_SPEC_ANNOTATION
from tests.unit.controller.views import NOON, at, pod, run_spec, run_view, said
from tests.unit.controller.views import job as any_job

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


def job(**changes: Any) -> JobFacts:
    """The Job of the first attempt, taken up by the Job controller."""
    return any_job(**{"created": NOON, "started": True} | changes)


def ended_job(**changes: Any) -> JobFacts:
    return job(failed=("BackoffLimitExceeded", ""), ended_at=at(1), **changes)


def test_a_reserved_run_starts() -> None:
    status, condition, decision = decided(run_view())
    assert (status.phase, status.attempt, status.job_name, status.started_at) == ("Pending", 1, "accounts-1-1", NOON)
    assert (condition.status, condition.reason) == ("Unknown", "Starting")
    assert started_job(decision) == "accounts-1-1"


def test_the_first_job_of_a_tick_is_made_before_it_is_written_down() -> None:
    view = run_view(scheduled=True)
    decision = decide(view, NOON, RETRY, RUNNER)
    assert (decision.status, started_job(decision)) == (None, "accounts-1-1")
    found = replace(view, status=RunStatus(**PENDING | {"phase": None}), job=job(), unrecorded=True)
    status, condition, decision = decided(found)
    assert (status.phase, status.attempt, condition.reason) == ("Running", 1, "Running")
    assert [event.note for event in decision.events] == ["attempt 1: Job accounts-1-1"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"refusal": Refusal("exceeded quota", NOON, final=False)}, id="its Job was refused"),
        pytest.param({"slot": SlotFacts("crm", 2, held=True)}, id="its slot is kept by what is written down"),
    ],
)
def test_an_attempt_is_written_down_first_where_others_count_on_the_record(changes: dict[str, Any]) -> None:
    status, _, decision = decided(run_view(scheduled=True, **changes))
    assert (status.attempt, started_job(decision)) == (1, "accounts-1-1")


SYNC = run_view().sync
assert SYNC is not None
INVALID = Refusal("too big", NOON, final=True)
FORBIDDEN = Refusal("exceeded quota: small", at(0.9), final=False)
IN_LINE = SlotFacts("crm", 2, held=False, before=3)


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
        pytest.param(run_view(PENDING, refusal=INVALID), "Failed", "JobRefused", id="refused Job"),
        pytest.param(run_view(PENDING, refusal=FORBIDDEN), "Pending", "JobForbidden", id="forbidden Job"),
        pytest.param(
            run_view(PENDING, refusal=FORBIDDEN, spec={"cancel": True}),
            "Cancelled",
            "Cancelled",
            id="cancelled while its Job is forbidden",
        ),
        pytest.param(run_view(slot=IN_LINE), "Pending", "WaitingForSlot", id="no slot"),
        pytest.param(
            run_view(slot=IN_LINE, resolved=Problem("SourceNotFound", "none")),
            "Failed",
            "SourceNotFound",
            id="what cannot run does not stand in line",
        ),
        pytest.param(run_view(slot=replace(IN_LINE, held=True)), "Pending", "Starting", id="a slot"),
        pytest.param(
            run_view(slot=IN_LINE, spec={"cancel": True}), "Cancelled", "Cancelled", id="cancelled while in line"
        ),
        pytest.param(
            run_view(AWAITING, spec={"approval": {"planHash": "abc"}}, slot=IN_LINE),
            "AwaitingApproval",
            "WaitingForSlot",
            id="approved, and no slot",
        ),
        pytest.param(run_view(PENDING, job=any_job(suspended=True)), "Pending", "Queued", id="queued"),
        pytest.param(
            run_view(RUNNING, job=any_job(suspended=True), pods=(pod(running=True, deleting=True),)),
            "Pending",
            "Queued",
            id="evicted by its queue",
        ),
        pytest.param(
            run_view(PENDING, job=job(), pods=(pod(waiting=("SchedulingGated", "kueue")),)),
            "Pending",
            "Queued",
            id="the pod is queued",
        ),
        pytest.param(run_view(PENDING, job=any_job()), "Pending", "Starting", id="nobody has taken up the Job yet"),
        pytest.param(
            run_view(RUNNING, job=job(), obstacle=Problem("FailedMount", "no such volume")),
            "Running",
            "FailedMount",
            id="what was found by asking",
        ),
        pytest.param(
            run_view(RUNNING, job=job(), pods=(pod(running=True),), obstacle=None), "Running", "Running", id="running"
        ),
        pytest.param(
            run_view(RUNNING, job=ended_job(), pods=(said(status="Succeeded", reason="SourceNotFresh"),)),
            "Succeeded",
            "SourceNotFresh",
            id="nothing new at the source",
        ),
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
    assert (status.phase, condition.reason, decision.events[0].reason) == ("Running", "Cancelling", "Cancelling")
    [stop] = decision.actions
    assert isinstance(stop, Delete)
    assert (stop.key.name, stop.uid, stop.propagation) == ("accounts-1-1", "job-uid", "Foreground")
    stopping = replace(view, status=status, job=job(deleting=True))
    assert decide(stopping, NOON, RETRY, RUNNER) == Decision(status)


def test_a_cancelled_run_ends_with_the_last_word_of_its_pod() -> None:
    last = said(status="Cancelled", counts={"read": 4, "created": 4})
    view = run_view(RUNNING, job=job(deleting=True), pods=(last,), spec={"cancel": True})
    status, _, _ = decided(view, at(2))
    assert status.counts is not None
    assert (status.phase, status.counts.created) == ("Cancelled", 4)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_an_ended_run_is_left_alone(phase: Any) -> None:
    view = run_view({"phase": phase, "attempt": 1, "observed_generation": 1})
    assert decide(view, NOON, RETRY, RUNNER) == Decision(view.status)


def test_a_job_that_outlives_its_run_is_stopped() -> None:
    view = run_view({"phase": "Cancelled", "attempt": 1}, job=job())
    [stop] = decide(view, NOON, RETRY, RUNNER).actions
    assert isinstance(stop, Delete)
    assert stop.uid == "job-uid"
    for other in (job(owner_uid="stranger"), job(deleting=True), ended_job()):
        assert decide(replace(view, job=other), NOON, RETRY, RUNNER).actions == ()


def test_a_run_that_cannot_be_understood_fails_in_words() -> None:
    status, condition, _ = decided(replace(run_view(), spec=Problem("InvalidSpec", "x")))
    assert (status.phase, condition.reason, condition.message) == ("Failed", "InvalidSpec", "x")


def test_awaiting_approval_without_one_changes_nothing() -> None:
    view = run_view(AWAITING | {"observed_generation": 1})
    assert decide(view, NOON, RETRY, RUNNER) == Decision(view.status)


def test_a_run_that_is_being_deleted_is_left_alone() -> None:
    view = run_view(RUNNING)
    gone = view.meta.model_copy(update={"deletion_timestamp": NOON})
    assert decide(replace(view, meta=gone), NOON, RETRY, RUNNER) == Decision()


@pytest.mark.parametrize(
    "missing",
    [{"sync": None}, {"resolved": Problem("DestinationNotFound", "there is none")}],
    ids=["the sync", "what the sync refers to"],
)
def test_what_a_new_run_refers_to_may_come_a_moment_later(missing: dict[str, Any]) -> None:
    view = run_view(**missing)
    status, condition, decision = decided(view, at(0.5))
    assert (status.phase, condition.reason[-8:], decision.wake) == (
        "Pending",
        "NotFound",
        at(0.5) + timedelta(seconds=5),
    )
    assert decided(view, at(0.98))[2].wake == at(1)
    assert decided(view, at(1))[0].phase == "Failed"
    assert started_job(decided(run_view(status.model_dump()), at(0.6))[2]) == "accounts-1-1"


def test_what_the_attempt_of_an_older_run_refers_to_is_not_waited_for() -> None:
    view = run_view(AWAITING, spec={"approval": {"planHash": "abc"}}, resolved=Problem("SourceNotFound", "gone"))
    assert decided(view, at(0.1))[0].phase == "Failed"


def test_the_place_in_line_is_told_and_looked_at_less_often_from_far_behind() -> None:
    _, condition, near = decided(run_view(slot=replace(IN_LINE, before=0)))
    assert condition.message == "SyncDestination crm has maxConcurrentRuns 2; it is next in line"
    _, condition, decision = decided(run_view(slot=IN_LINE))
    assert condition.message == "SyncDestination crm has maxConcurrentRuns 2; 3 before it in line"
    assert (near.wake, decision.wake) == (NOON + RECHECK, NOON + 4 * RECHECK)
    assert decided(run_view(slot=replace(IN_LINE, before=900)))[2].wake == at(5)


def test_a_forbidden_job_is_tried_again_without_another_word() -> None:
    view = run_view(PENDING, refusal=FORBIDDEN)
    status, condition, decision = decided(view, at(1))
    assert "exceeded quota: small" in condition.message
    assert (decision.actions, decision.wake) == ((), FORBIDDEN.at + RECHECK)
    later = replace(view, status=status)
    again = decide(later, FORBIDDEN.at + RECHECK, RETRY, RUNNER)
    assert (again.status, again.events, started_job(again)) == (status, (), "accounts-1-1")
    assert decide(later, at(1), RETRY, RUNNER).events == ()


def test_the_newest_five_failed_attempts_are_on_record() -> None:
    record: dict[str, Any] = RUNNING
    view = run_view()
    assert view.sync is not None
    patient = replace(view.sync, runner=view.sync.runner.model_copy(update={"retries": 6}))
    for attempt in range(1, 8):
        record = record | {"phase": "Running", "attempt": attempt, "job_name": f"accounts-1-{attempt}"}
        down = said(**DOWN | {"message": "x" * 900})
        status, _, _ = decided(run_view(record, sync=patient, job=ended_job(), pods=(down,)), at(1))
        record = status.model_dump(by_alias=False)
    assert status.phase == "Failed"
    assert [one.number for one in status.failed_attempts] == [3, 4, 5, 6, 7]
    last = status.failed_attempts[-1]
    assert (last.job_name, last.reason, len(last.message), last.finished_at) == (
        "accounts-1-7",
        "DestinationUnavailable",
        512,
        at(1),
    )


def test_an_attempt_that_rests_needs_its_job_no_more() -> None:
    resting, _, _ = decided(run_view(RUNNING, job=ended_job(), pods=(said(**DOWN),)), at(1.5))
    tidied = run_view(resting.model_dump())
    assert decided(tidied, at(1.7))[0] == resting
    assert started_job(decided(tidied, at(2))[2]) == "accounts-1-2"


def test_progress_is_shown_while_the_run_goes_on_and_written_now_and_then() -> None:
    def progress(minutes: float) -> RunProgress:
        return RunProgress(step="deliver", rows=int(minutes * 60), total=600, updated_at=at(minutes))

    view = run_view(RUNNING, job=job(), pods=(pod(running=True),), progress=progress(0))
    status, _, _ = decided(view)
    assert status.progress == progress(0)
    for minutes, shown in ((0.1, 0), (0.2, 0.2)):
        newer = replace(view, status=status, progress=progress(minutes))
        assert decided(newer)[0].progress == progress(shown)
    unknown = replace(view, status=status, progress=None)
    assert decided(unknown)[0].progress == progress(0)
    ended = replace(view, status=status, job=job(succeeded=True, ended_at=at(1)), pods=(said(status="Succeeded"),))
    assert decided(ended)[0].progress is None


def test_a_run_stays_in_the_line_of_its_queue_for_as_long_as_it_takes() -> None:
    queued, _, decision = decided(run_view(PENDING, job=any_job(suspended=True)))
    assert decision.wake is None
    assert queued.failed_attempts == []
    admitted, _, _ = decided(run_view(queued.model_dump(), job=job(), pods=(pod(running=True),)))
    assert (admitted.phase, admitted.attempt) == ("Running", 1)


def test_why_a_pod_never_started_is_in_the_record_of_the_deadline() -> None:
    waiting = run_view(RUNNING, job=job(), pods=(pod(waiting=("ImagePullBackOff", "no such image")),))
    stuck, _, _ = decided(waiting, at(0.1))
    deleted = pod(reason="Deleted", deleting=True)
    going, _, _ = decided(run_view(stuck.model_dump(), job=job(), pods=(deleted,)), at(60))
    too_late = job(failed=("DeadlineExceeded", ""), ended_at=at(60))
    status, condition, _ = decided(run_view(going.model_dump(), job=too_late, pods=(deleted,)), at(60.5))
    [attempt] = status.failed_attempts
    assert attempt.reason == "DeadlineExceeded"
    assert "its pod never started: ImagePullBackOff: pod accounts-1-1-x cannot pull its image: no such image" in (
        attempt.message
    )
    assert attempt.message in condition.message


STILL_THERE = pod(name="accounts-0-1-x", running=True)


@pytest.mark.parametrize(
    ("view", "phase"),
    [
        pytest.param(run_view(), "Pending", id="of the run before, which was deleted"),
        pytest.param(run_view(PENDING), "Pending", id="written down, and not made yet"),
        pytest.param(run_view(RUNNING), "Pending", id="of the attempt before, whose Job was deleted"),
        pytest.param(run_view(AWAITING, spec={"approval": {"planHash": "abc"}}), "AwaitingApproval", id="approved"),
    ],
)
def test_no_job_is_made_while_a_pod_of_the_sync_still_works(view: RunView, phase: str) -> None:
    waiting, condition, decision = decided(replace(view, leftovers=(STILL_THERE,)))
    assert (waiting.phase, condition.reason, started_job(decision)) == (phase, "Waiting", None)
    assert (waiting.attempt, decision.wake) == (view.status.attempt, NOON + timedelta(seconds=5))
    expected = started_job(decided(view)[2])
    assert expected is not None
    free = replace(view, status=waiting, leftovers=())
    assert started_job(decided(free)[2]) == expected
    lost = replace(STILL_THERE, deleting=True, gone_by=NOON)
    assert started_job(decided(replace(free, leftovers=(lost,)), at(0.4))[2]) is None
    assert started_job(decided(replace(free, leftovers=(lost,)), at(0.5))[2]) == expected
