"""How a decision about a run becomes its record: phase, conditions, failed attempts, and events. Pure.

Conditions are read by people (Succeeded, as in Tekton) and by kstatus: Reconciling while the run is not at its end,
Stalled once it has failed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from retl.controller.decision import NOTE_MAX, Decision, Event, Problem, shortened
from retl.controller.runs.outcome import Outcome
from retl.controller.runs.states import NEW, RUN_EDGES
from retl.controller.runs.view import RunView
from retl.controller.states import step
from retl.resources.conditions import Condition, ConditionStatus, find, with_condition, without_condition
from retl.resources.run import TERMINAL, Attempt, RunPhase, RunProgress, RunStatus

MESSAGE_MAX = 2_000
ATTEMPT_MESSAGE_MAX = 512
PROGRESS_EVERY = timedelta(seconds=8)
"""Progress that is newer by less is not written: the runner speaks every ten seconds."""

_KEPT_ATTEMPTS = 5
_UNEVENTFUL = ("Running", "Waiting")
_NORMAL = ("Queued", "WaitingForSlot", "Cancelling")


def publish(view: RunView, now: datetime, phase: RunPhase, reason: str, message: str = "", **changes: Any) -> Decision:
    """The decision that the run is now in this phase, for this reason.

    Args:
        reason, message: of the condition Succeeded.
        changes: further fields of the status.
    """
    step(RUN_EDGES, view.status.phase or NEW, phase)
    message = cut(message, MESSAGE_MAX)
    changes |= {
        "phase": phase,
        "conditions": _conditions(view, now, phase, reason, message),
        "observed_generation": view.meta.generation,
        "progress": _progress(view) if phase == "Running" else None,
    }
    status: RunStatus = view.status.model_copy(update=changes)
    return Decision(status, events=_events(view, status, reason, message))


def with_attempt(status: RunStatus, ended: Outcome) -> dict[str, Any]:
    """Changes of the status by an attempt that has failed: the newest few are kept."""
    if any(attempt.number == status.attempt for attempt in status.failed_attempts):
        return {}
    failed = Attempt(
        number=status.attempt,
        job_name=status.job_name or "",
        reason=ended.reason,
        message=cut(ended.message, ATTEMPT_MESSAGE_MAX),
        finished_at=ended.ended_at,
    )
    return {"failed_attempts": [*status.failed_attempts, failed][-_KEPT_ATTEMPTS:]}


def figures(ended: Outcome) -> dict[str, Any]:
    """What the outcome adds to the record; what it does not know stays as it was."""
    names = ("counts", "dead_letters", "dead_letters_by_code", "plan_hash")
    return {name: value for name in names if (value := getattr(ended, name)) is not None}


def approval_command(view: RunView, plan_hash: str | None) -> str:
    """What a person types to let the run go on."""
    patch = f'{{"spec":{{"approval":{{"planHash":"{plan_hash}"}}}}}}'
    return f"kubectl patch syncrun {view.meta.name} -n {view.meta.namespace} --type=merge -p '{patch}'"


def cut(text: str, most: int) -> str:
    """The text in at most so many characters."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def _conditions(view: RunView, now: datetime, phase: RunPhase, reason: str, message: str) -> Sequence[Condition]:
    known: dict[str, Any] = {"now": now, "generation": view.meta.generation}
    ended: ConditionStatus = "True" if phase == "Succeeded" else "False"
    outcome = ended if phase in TERMINAL else "Unknown"
    conditions = with_condition(view.status.conditions, "Succeeded", outcome, reason, message, **known)
    if phase in TERMINAL:
        conditions = without_condition(conditions, "Reconciling")
    else:
        conditions = with_condition(conditions, "Reconciling", "True", phase, **known)
    if phase == "Failed":
        return with_condition(conditions, "Stalled", "True", reason, message, **known)
    return without_condition(conditions, "Stalled")


def _progress(view: RunView) -> RunProgress | None:
    known, new = view.status.progress, view.progress
    if new is None or (known and new.updated_at - known.updated_at < PROGRESS_EVERY):
        return known
    return new


def _events(view: RunView, status: RunStatus, reason: str, message: str) -> tuple[Event, ...]:
    """What to tell people, once for each change of phase, attempt or reason."""
    before, phase = view.status, status.phase
    said = find(before.conditions, "Succeeded")
    started = (_started(status),) if view.unrecorded else ()
    if (before.phase, before.attempt, said and said.reason) == (phase, status.attempt, reason):
        return started
    event = _event(view, status, reason, message)
    return (*started, event) if event else started


def _event(view: RunView, status: RunStatus, reason: str, message: str) -> Event | None:
    if reason in _UNEVENTFUL:
        return None
    if reason == "Starting":
        if status.attempt == view.status.attempt:
            return None
        return _started(status)
    if status.phase in ("Succeeded", "Cancelled"):
        words = "; ".join(part for part in (_counted(view, status), message) if part)
        note = words if reason == status.phase else f"{reason}: {words}"
        return Event("Normal", status.phase, note)
    if status.phase == "Failed":
        counted = _counted(view, status)
        return Event("Warning", "Failed", _with_end(f"{reason}: {message}", f"; {counted}" if counted else ""))
    if status.phase == "AwaitingApproval" and reason not in ("WaitingForSlot", "ApprovalOfAnotherPlan"):
        command = f"; to let it go on: {approval_command(view, status.plan_hash)}"
        return Event("Warning", "AwaitingApproval", _with_end(f"{reason}: {message}", command))
    return Event("Normal" if reason in _NORMAL else "Warning", reason, message or reason)


def _started(status: RunStatus) -> Event:
    return Event("Normal", "Started", f"attempt {status.attempt}: Job {status.job_name}")


def _with_end(text: str, end: str) -> str:
    """A note whose end is never what is cut off."""
    return shortened(text, NOTE_MAX - len(end.encode())) + end


def _counted(view: RunView, status: RunStatus) -> str:
    """`7 rows read: 3 created, 1 updated, 2 unchanged, 1 invalid; 1 open dead letter`; empty if nothing is known."""
    counts = status.counts
    if counts is None:
        return ""
    numbers = counts.model_dump()
    read = numbers.pop("read")
    parts = ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)
    text = f"{read:,} row{'' if read == 1 else 's'} read{f': {parts}' if parts else ''}"
    if not isinstance(view.spec, Problem) and view.spec.mode == "Plan":
        text = f"a plan, nothing was written: {text}"
    letters = status.dead_letters
    return f"{text}; {letters:,} open dead letter{'' if letters == 1 else 's'}" if letters else text
