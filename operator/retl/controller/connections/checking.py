"""The life of a connection's checks: when one is due, what became of it, and what that says of the connection. Pure.

    due -> activeCheck is written -> its Job is created -> lastCheck is written

A check is written down, under a precondition, before its Job exists, and its Job is named after its number: whatever
step a crash interrupts, the next decision goes on there. A Job that is missing is made: a check writes nothing, so it
may well be carried out twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from zlib import crc32

from retl.apiserver.endpoints import JOB
from retl.controller.check_job import DEADLINE, check_job, found
from retl.controller.decision import Create, Decision, Delete, Event, Problem, readiness
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.kinds import Key
from retl.controller.settings import RunnerSettings
from retl.resources.conditions import Condition, find, with_condition, without_condition
from retl.resources.meta import ObjectMeta
from retl.resources.names import check_job_name
from retl.resources.source import ActiveCheck, ConnectionStatus, LastCheck
from retl.runspec.check import CheckResult, CheckSpec

S = TypeVar("S", bound=ConnectionStatus)

MOST_AT_ONCE = 20
"""Checks under way in all namespaces together: a thousand connections are not logged in to at the same moment."""
SETTLING = timedelta(seconds=5)
"""Syncs are applied one after the other; so long after a check, what they want may change without another one."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=30)
"""Between checks that failed and may succeed if they are tried again."""
SHORTEST_INTERVAL = timedelta(minutes=1)
"""Of spec.checkInterval: a Job a second for one connection would take the room of all the others."""
MENDING = timedelta(minutes=10)
"""After a check that failed for good: what mends it may be a Secret's new content, and no event tells of that."""
GIVEN_UP = DEADLINE + timedelta(minutes=1)
"""A check that has no end after this time has none to come."""
_QUEUEING = timedelta(seconds=2)
_LAST_NUMBER = 9_999_999
"""With more digits, the Job's name would not fit."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check answers, as it stands in the status: generation, request, and what is wanted."""

    generation: int
    request: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.generation}-{crc32(self.request.encode()):08x}-{self.wanted}"

    def same_but_wanted(self, text: str) -> bool:
        """Whether a check answered the same but for what syncs and models want of it."""
        return text.rpartition("-")[0] == str(self).rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class CheckView:
    """What is known of a connection's checks.

    Attributes:
        spec: what its runner would be told, without a number; None if the connection cannot be understood.
        asked: what a check would answer now.
        interval: how often it is checked even if nothing asks for it.
        left_out: how many row sets or objects are too many for a check to be told.
        wanted_until: what is wanted may be out of date, and is gathered anew from then on; None if it is not.
        busy: as many checks are under way as may be.
        job, pods: of the active check.
        refused: why Kubernetes did not take that Job; empty if it did not say so.
    """

    spec: CheckSpec | None
    asked: Asked
    interval: timedelta
    left_out: int = 0
    wanted_until: datetime | None = None
    busy: bool = False
    job: JobFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    refused: str = ""


def checked(
    view: CheckView, meta: ObjectMeta, status: S, problem: Problem | None, now: datetime, runner: RunnerSettings
) -> Decision:
    """The next step in the life of the connection's checks; the decision has a status in any case.

    Args:
        problem: what is wrong with the connection, so that it need not be tried.
        now: the present (UTC).
    """
    now = now.replace(microsecond=0)
    ended = _end(view, meta, status, now)
    events: tuple[Event, ...] = ()
    if ended is not None:
        status, events = _recorded(view, meta, status, ended, now)
    due = None if status.active_check or problem or view.spec is None else _due(view, meta, status, now)
    if due is not None and due <= now and view.busy:
        due = now + _QUEUEING + timedelta(seconds=_hash(meta) % 8)
    elif due is not None and due <= now:
        status = status.model_copy(update={"active_check": _begun(view, meta, status, now)})
    active = status.active_check
    conditions = _conditions(view, meta, status, problem, now)
    status = status.model_copy(update={"conditions": conditions, "observed_generation": meta.generation})
    wakes = [active.since + GIVEN_UP if active else due, None if active else view.wanted_until]
    return Decision(
        status,
        actions=_actions(view, meta, active, ended, runner),
        wake=min((at for at in wakes if at is not None), default=None),
        events=events,
    )


def _end(view: CheckView, meta: ObjectMeta, status: ConnectionStatus, now: datetime) -> CheckResult | None:
    """How the active check ended; None if it has not, or there is none."""
    active, job = status.active_check, view.job
    if active is None:
        return None
    failed = CheckResult(succeeded=False, retriable=True, finished_at=now)
    if job is not None and job.owner_uid != meta.uid:
        words = f"Job {job.name} exists and is not of this object; delete or rename it"
        return failed.model_copy(update={"reason": "NameTaken", "message": words})
    if job is not None and (job.ended or (job.deleting and any(pod.ended for pod in view.pods))):
        return found(job, view.pods)
    if job is None and view.refused:
        words = f"Kubernetes refused the check's Job: {view.refused}"
        return failed.model_copy(update={"reason": "JobRefused", "message": words[:2000]})
    if now >= active.since + GIVEN_UP:
        words = (
            f"the check had no end after {int(GIVEN_UP.total_seconds())} s: {_waiting(view) or 'its pod says nothing'}"
        )
        return failed.model_copy(update={"reason": "DeadlineExceeded", "message": words[:2000]})
    return None


def _recorded(
    view: CheckView, meta: ObjectMeta, status: S, ended: CheckResult, now: datetime
) -> tuple[S, tuple[Event, ...]]:
    """The status after a check. What an earlier one found stands until another finds something else."""
    active, before = status.active_check, status.last_check
    assert active is not None
    known = before if before and not ended.succeeded else None
    last = LastCheck(
        number=active.number,
        asked=active.asked,
        succeeded=ended.succeeded,
        reason=ended.reason,
        message=ended.message[:2000],
        retriable=ended.retriable,
        finished_at=min(ended.finished_at or now, now).replace(microsecond=0),
        connector_version=known.connector_version if known else ended.connector_version,
        server=(known.server if known else ended.server)[:255],
        objects=known.objects if known else ended.objects,
        fields=known.fields if known else ended.fields,
        catalog=ended.catalog or (before.catalog if before else ""),
    )
    changes: dict[str, object] = {"active_check": None, "last_check": last}
    if view.asked.same_but_wanted(active.asked):
        changes["last_handled_check"] = view.asked.request[:255]
    events = _events(before, last, ended)
    if ended.succeeded and ended.changes:
        changes["conditions"] = with_condition(
            status.conditions, "CatalogChanged", "True", "CatalogChanged", ended.changes,
            now=now, generation=meta.generation,
        )  # fmt: skip
    elif ended.succeeded and find(status.conditions, "CatalogChanged"):
        changes["conditions"] = with_condition(
            status.conditions, "CatalogChanged", "False", "Unchanged", now=now, generation=meta.generation
        )
    return status.model_copy(update=changes), events


def _events(before: LastCheck | None, last: LastCheck, ended: CheckResult) -> tuple[Event, ...]:
    """What is new to people: a check that fails otherwise than the one before, or works again, or finds a change."""
    if not last.succeeded:
        same = before and (before.succeeded, before.reason, before.message) == (False, last.reason, last.message)
        note = f"{last.reason}: {last.message}"
        return () if same else (Event("Warning", "CheckFailed", note),)
    told = []
    if before is None or not before.succeeded:
        told.append(Event("Normal", "CheckSucceeded", _summary(last)))
    if ended.changes:
        told.append(Event("Warning", "CatalogChanged", ended.changes))
    return tuple(told)


def _due(view: CheckView, meta: ObjectMeta, status: ConnectionStatus, now: datetime) -> datetime:
    """When the next check begins."""
    last = status.last_check
    if last is None or not view.asked.same_but_wanted(last.asked):
        return now
    if last.asked != str(view.asked):
        return last.finished_at + SETTLING
    # Some are early, always by the same, so that connections that were made together are not checked together.
    interval = max(view.interval, SHORTEST_INTERVAL)
    early = timedelta(seconds=_hash(meta) % (int(interval.total_seconds()) // 10))
    regular = last.finished_at + interval - early
    if last.succeeded:
        return regular
    pause = MENDING
    if last.retriable:
        ready = find(status.conditions, "Ready")
        failing = last.finished_at - ready.last_transition_time if ready and ready.status == "False" else timedelta()
        pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, failing))  # as long as it has failed, so it doubles
    return min(regular, last.finished_at + pause + timedelta(seconds=_hash(meta) % 10))


def _begun(view: CheckView, meta: ObjectMeta, status: ConnectionStatus, now: datetime) -> ActiveCheck:
    number = status.last_check.number % _LAST_NUMBER + 1 if status.last_check else 1
    name = check_job_name(meta.name, meta.uid, number)
    return ActiveCheck(job_name=name, number=number, asked=str(view.asked), since=now)


def _actions(
    view: CheckView, meta: ObjectMeta, active: ActiveCheck | None, ended: CheckResult | None, runner: RunnerSettings
) -> tuple[Create | Delete, ...]:
    if ended is not None:
        overdue = view.job if view.job and not view.job.ended and view.job.owner_uid == meta.uid else None
        return (Delete(Key(JOB, meta.namespace, overdue.name), overdue.uid),) if overdue else ()
    if active is None or view.job is not None or view.spec is None:
        return ()
    spec = view.spec.model_copy(update={"number": active.number})
    return (Create(JOB, check_job(meta, spec, runner)),)


def _conditions(
    view: CheckView, meta: ObjectMeta, status: ConnectionStatus, problem: Problem | None, now: datetime
) -> Sequence[Condition]:
    conditions: Sequence[Condition] = status.conditions
    generation, last, active = meta.generation, status.last_check, status.active_check
    told = active is not None and (last is None or active.asked != last.asked)
    if problem is not None:
        conditions = readiness(conditions, problem, reason="", now=now, generation=generation)
        return without_condition(conditions, "Reconciling")
    if last is None or not last.asked.startswith(f"{generation}-"):
        words = _waiting(view) if active else "it waits for its turn"
        conditions = with_condition(conditions, "Ready", "Unknown", "Checking", words, now=now, generation=generation)
        conditions = without_condition(conditions, "Stalled")
        return with_condition(conditions, "Reconciling", "True", "Checking", words, now=now, generation=generation)
    if last.succeeded:
        conditions = with_condition(
            conditions, "Ready", "True", "Checked", _summary(last, view.left_out), now=now, generation=generation
        )
        conditions = without_condition(conditions, "Stalled")
    elif last.retriable:
        why = last.reason, last.message
        conditions = with_condition(conditions, "Ready", "False", *why, now=now, generation=generation)
        conditions = without_condition(conditions, "Stalled")
        if not told:
            again = "it is tried again"
            return with_condition(conditions, "Reconciling", "True", "Retrying", again, now=now, generation=generation)
    else:
        problem = Problem(last.reason, last.message)
        conditions = readiness(conditions, problem, reason="", now=now, generation=generation)
    if not told:
        return without_condition(conditions, "Reconciling")
    return with_condition(conditions, "Reconciling", "True", "Checking", _waiting(view), now=now, generation=generation)


def _waiting(view: CheckView) -> str:
    """What the check's pod waits for, in Kubernetes' words."""
    for pod in view.pods:
        if pod.waiting and pod.waiting[0] not in ("ContainerCreating", "PodInitializing", ""):
            return f"pod {pod.name} cannot start: {pod.waiting[0]}: {pod.waiting[1]}"
    return ""


def _summary(last: LastCheck, left_out: int = 0) -> str:
    """What the newest check found, for people."""
    parts = [last.server, f"{last.objects} objects, {last.fields} fields" if last.objects else "", last.message]
    parts.append(f"{left_out} row sets or objects are too many for a check to be told" if left_out else "")
    return "; ".join(part for part in parts if part)


def _hash(meta: ObjectMeta) -> int:
    """Always the same for one connection."""
    return crc32(meta.uid.encode())
