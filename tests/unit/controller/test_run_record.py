"""What people and tools read of a run: conditions, events, the words of its reasons."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import retl
from retl.controller.decision import NOTE_MAX, Decision, Event, Problem
from retl.controller.facts import status_of
from retl.controller.runs import starting
from retl.controller.runs.decide import decide
from retl.controller.runs.states import NEW, RUN_EDGES, RUN_STATES
from retl.controller.runs.view import Refusal, RunView, SlotFacts
from retl.controller.settings import RetryPolicy, RunnerSettings
from retl.controller.states import IllegalTransition, step
from retl.resources.reasons import RUN_REASONS
from retl.resources.run import TERMINAL, RunPhase, RunStatus
from tests.unit.controller.kstatus import kstatus
from tests.unit.controller.views import at, job, pod, run_manifest, run_view, said

STARTED = {"phase": "Pending", "attempt": 1, "job_name": "accounts-1-1"}
RUNNING = STARTED | {"phase": "Running"}
AWAITING = STARTED | {"phase": "AwaitingApproval", "plan_hash": "abc"}
DOWN: dict[str, Any] = {"status": "Failed", "reason": "DestinationUnavailable", "message": "down", "retriable": True}
COUNTS = {"read": 1234, "created": 1000, "unchanged": 233, "rejected": 1}
ENDED = job(failed=("BackoffLimitExceeded", ""), ended_at=at(1))


def decided(view: RunView) -> Decision:
    return decide(view, at(1), RetryPolicy(), RunnerSettings(image="runner:1", state_url="http://state"))


def ended(result: dict[str, Any], **changes: Any) -> RunView:
    return run_view(RUNNING, **({"job": ENDED, "pods": (said(**result),)} | changes))


VIEWS: dict[str, tuple[RunView, str, Event | None]] = {
    "waiting": (
        run_view(sync=None),
        "Failed",
        Event(
            "Warning",
            "Failed",
            "SyncNotFound: spec.syncRef.name: there is no ReverseETLSync 'accounts' in namespace 'growth'",
        ),
    ),
    "in line": (
        run_view(slot=SlotFacts("crm", 1, held=False)),
        "InProgress",
        Event("Normal", "WaitingForSlot", "SyncDestination crm has maxConcurrentRuns 1; it is next in line"),
    ),
    "started": (run_view(), "InProgress", Event("Normal", "Started", "attempt 1: Job accounts-1-1")),
    "running": (run_view(STARTED, job=job(started=True), pods=(pod(running=True),)), "InProgress", None),
    "queued": (
        run_view(STARTED, job=job(suspended=True)),
        "InProgress",
        Event(
            "Normal",
            "Queued",
            "Job accounts-1-1 is suspended; it goes on when its queue, or who suspended it, lets it",
        ),
    ),
    "forbidden": (
        run_view(STARTED, refusal=Refusal("quota", at(1), final=False)),
        "InProgress",
        Event("Warning", "JobForbidden", "Kubernetes does not let the Job be: quota"),
    ),
    "stuck": (
        run_view(RUNNING, job=job(started=True), pods=(pod(waiting=("Unschedulable", "0/3 nodes")),)),
        "InProgress",
        Event("Warning", "Unschedulable", "pod accounts-1-1-x finds no node: 0/3 nodes"),
    ),
    "resting": (
        ended(DOWN),
        "InProgress",
        Event(
            "Warning",
            "Retrying",
            "attempt 1 failed: DestinationUnavailable: down; the next one starts at 2026-05-04T12:01:10Z",
        ),
    ),
    "awaiting approval": (
        ended({"status": "AwaitingApproval", "reason": "GuardBreached", "message": "too many", "plan_hash": "abc"}),
        "InProgress",
        Event(
            "Warning",
            "AwaitingApproval",
            "GuardBreached: too many; to let it go on: kubectl patch syncrun accounts-1 -n growth --type=merge "
            """-p '{"spec":{"approval":{"planHash":"abc"}}}'""",
        ),
    ),
    "approved another plan": (
        run_view(AWAITING, spec={"approval": {"planHash": "xyz"}}),
        "InProgress",
        Event(
            "Warning",
            "ApprovalOfAnotherPlan",
            "spec.approval names plan xyz, but this run planned abc; "
            "set spec.approval.planHash to that to let it go on",
        ),
    ),
    "succeeded": (
        ended({"status": "Succeeded", "counts": COUNTS, "dead_letters": 1}),
        "Current",
        Event("Normal", "Succeeded", "1,234 rows read: 233 unchanged, 1,000 created, 1 rejected; 1 open dead letter"),
    ),
    "planned": (
        ended({"status": "Succeeded", "counts": {"read": 1, "created": 1}}, spec={"mode": "Plan"}),
        "Current",
        Event("Normal", "Succeeded", "a plan, nothing was written: 1 row read: 1 created"),
    ),
    "not fresh": (
        ended({"status": "Succeeded", "reason": "SourceNotFresh", "message": "nothing new"}),
        "Current",
        Event("Normal", "Succeeded", "SourceNotFresh: 0 rows read; nothing new"),
    ),
    "failed": (
        ended(DOWN | {"retriable": False, "counts": {"read": 2, "created": 2}}),
        "Failed",
        Event("Warning", "Failed", "DestinationUnavailable: down; 2 rows read: 2 created"),
    ),
    "cancelled": (
        run_view(AWAITING, spec={"cancel": True}),
        "Current",
        Event("Normal", "Cancelled", "it was cancelled while it awaited approval"),
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_kstatus_and_people_are_told_once(name: str) -> None:
    view, expected, event = VIEWS[name]
    decision = decided(view)
    assert isinstance(decision.status, RunStatus)
    manifest = run_manifest() | {"status": decision.status.model_dump(mode="json", exclude_none=True)}
    manifest["metadata"] |= {"generation": view.meta.generation}
    assert kstatus(manifest) == expected
    assert decision.events == ((event,) if event else ())
    again = decided(run_view(decision.status.model_dump(), **_surroundings(view)))
    assert again.events == ()


def _surroundings(view: RunView) -> dict[str, Any]:
    names = ("sync", "resolved", "job", "pods", "refusal", "slot")
    return {name: getattr(view, name) for name in names} | {"spec": _spec(view)}


def _spec(view: RunView) -> dict[str, Any]:
    assert not isinstance(view.spec, Problem)
    return view.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"sync_ref"})


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_an_ended_run_that_is_edited_is_current_again(phase: str) -> None:
    view = run_view({"phase": phase, "observed_generation": 1})
    edited = view.meta.model_copy(update={"generation": 2})
    status = decided(run_view({"phase": phase, "observed_generation": 1}, meta=edited)).status
    assert isinstance(status, RunStatus)
    assert status.observed_generation == 2


def test_every_phase_is_in_the_table_and_has_a_way_to_it_and_to_an_end() -> None:
    names = [state.name for state in RUN_STATES]
    assert names == [NEW, *get_args(RunPhase)]
    assert {edge.before for edge in RUN_EDGES} == set(names) - TERMINAL
    assert {edge.after for edge in RUN_EDGES} == set(names) - {NEW}
    for ending in TERMINAL:
        with pytest.raises(IllegalTransition, match=f"from {ending} to Running"):
            step(RUN_EDGES, ending, "Running")


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_long_message_leaves_room_for_the_command(letter: str) -> None:
    view = ended(
        {"status": "AwaitingApproval", "reason": "GuardBreached", "message": letter * 2000, "plan_hash": "abc"}
    )
    [event] = decided(view).events
    assert len(event.note.encode()) <= NOTE_MAX
    assert event.note.endswith("""{"planHash":"abc"}}}'""")


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ({"phase": "Dancing", "attempt": 2}, RunStatus(attempt=2)),
        ({"attempt": "many", "phase": "Running"}, RunStatus(phase="Running")),
        ({"conditions": [{"type": "Succeeded"}], "failedAttempts": 7, "planHash": "x"}, RunStatus(plan_hash="x")),
        ({}, RunStatus()),
    ],
    ids=str,
)
def test_a_status_that_somebody_edited_is_read_as_far_as_it_goes(status: dict[str, Any], kept: RunStatus) -> None:
    assert status_of(RunStatus, {"status": status}) == kept


def test_every_reason_of_a_run_has_a_meaning() -> None:
    known = set(RUN_REASONS)
    assert set(_reasons_of_the_controller()) - known == set()
    # Who stopped a runner, the controller knows better than the runner.
    assert set(_reasons_of_the_runner()) - known == {"Stopped"}
    assert all(meaning.means and not meaning.means.endswith(".") for meaning in RUN_REASONS.values())


def _reasons_of_the_controller() -> Iterator[str]:
    """What the decisions name as a reason: `Problem(reason, …)`, `publish(phase, reason)`, and tables of words."""
    yield from (*starting._CONTAINER, *starting._EVENTS)
    for file in (Path(retl.__path__[0]) / "controller" / "runs").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield from _words(node, {"Problem": 0, "_publish": 1, "_end": 1})
            if isinstance(node, ast.FunctionDef) and node.name in ("_death", "_interruption"):
                for end in ast.walk(node):
                    if isinstance(end, ast.Return) and isinstance(end.value, ast.Tuple):
                        yield from _constants(end.value.elts[0])


def _reasons_of_the_runner() -> Iterator[str]:
    """What a RunResult can name: the reasons of the errors of all that a runner is made of, and of its own endings."""
    root = Path(retl.__path__[0])
    parts = ("errors.py", "runspec", "runner", "engine", "sources", "destinations", "state")
    files = [file for part in parts for file in ([root / part] if "." in part else (root / part).rglob("*.py"))]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield from _words(node, {"Ending": 1, "_failed": 1})
            if isinstance(node, ast.ClassDef):
                yield from _class_reason(node)


def _class_reason(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.Assign) and [ast.unparse(target) for target in line.targets] == ["reason"]:
            yield from _constants(line.value)


def _words(call: ast.Call, places: dict[str, int]) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in places and len(call.args) > places[name]:
        yield from _constants(call.args[places[name]])


def _constants(node: ast.expr) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
