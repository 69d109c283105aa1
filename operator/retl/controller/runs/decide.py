"""What to do about a SyncRun. Pure.

    (waits for its sync and a slot) -> Pending -> Running -> Succeeded | Failed | Cancelled
                                          ^          |
                                          |          v
                                          +-- AwaitingApproval, or a failure that another attempt may cure

An attempt is written down (phase Pending, attempt n) before its Job is created, under a precondition: a controller
with an old view of the run cannot start anything. Pending with an attempt whose Job is missing means "create it";
Running with a missing Job means that somebody deleted it. `states.py` has the whole table.

Only the first attempt of a tick's run is created before it is written down: a tick does not wait for what is already
certain. The reservation names the run, the run's name the tick, and the Job's name the run, each only once.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from retl.apiserver.endpoints import JOB
from retl.controller.decision import RECHECK, Action, Create, Decision, Delete, Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.kinds import Key
from retl.controller.manifests import job as build_job
from retl.controller.runs.outcome import Outcome, outcome
from retl.controller.runs.record import ATTEMPT_MESSAGE_MAX, cut, figures, publish, with_attempt
from retl.controller.runs.starting import next_question, obstacle, present, question_due
from retl.controller.runs.view import RunView, SlotFacts, SyncFacts
from retl.controller.settings import RetryPolicy, RunnerSettings
from retl.resources.conditions import find
from retl.resources.names import job_name
from retl.resources.run import TERMINAL, RunPhase, SyncRunSpec
from retl.runspec import RunSpec

NOTHING = Decision()

GRACE = timedelta(seconds=60)
"""How long a new run waits for what it refers to: `kubectl apply -f DIR` creates things in no particular order."""
_LOOK_AGAIN = timedelta(seconds=5)
_LONGEST_IN_LINE = timedelta(minutes=5)
_UNOBSTRUCTED = ("Starting", "Running", "Cancelling", "Queued", "JobForbidden")


def decide(view: RunView, now: datetime, retry: RetryPolicy, runner: RunnerSettings) -> Decision:
    """The next step of one run.

    Args:
        view: the run and what surrounds it.
        now: the present (UTC).
        retry: how long a failed attempt rests.
        runner: what all runners have in common.
    """
    if view.meta.deletion_timestamp:
        return NOTHING
    if view.status.phase in TERMINAL:
        return _closed(view)
    return _Steps(view, now, retry, runner).decide()


def _closed(view: RunView) -> Decision:
    """A run that has ended does not change; whatever is still done for it comes to its end too."""
    seen = view.status.model_copy(update={"observed_generation": view.meta.generation})
    return Decision(seen, tuple(_stop(view, view.job)) if view.job else ())


def _stop(view: RunView, job: JobFacts) -> list[Action]:
    """Have a Job of this run end, if it has not; in the foreground, so that it stays until its pod's last word."""
    if job.ended or job.deleting or job.owner_uid != view.meta.uid:
        return []
    return [Delete(Key(JOB, view.meta.namespace, job.name), job.uid, "Foreground")]


class _Steps:
    """One decision about one run; each method is one state of the diagram above."""

    def __init__(self, view: RunView, now: datetime, retry: RetryPolicy, runner: RunnerSettings) -> None:
        self.view = view
        self.now = now.astimezone(UTC).replace(microsecond=0)
        self.retry = retry
        self.runner = runner

    def decide(self) -> Decision:
        if isinstance(self.view.spec, Problem):
            return self._fail(self.view.spec)
        if self.view.status.attempt == 0:
            return self._before_start(self.view.spec)
        if self.view.status.phase == "AwaitingApproval":
            return self._awaiting_approval(self.view.spec)
        return self._under_way(self.view.spec)

    def _before_start(self, spec: SyncRunSpec) -> Decision:
        sync = self.view.sync
        if spec.cancel:
            return self._end("Cancelled", "Cancelled", "it was cancelled before it started")
        if sync is None:
            return self._once_it_is_there(self._no_sync(spec))
        if problem := _unusable(spec, sync):
            return self._fail(problem)
        if self.view.reserved:
            return self._first_attempt()
        if self.view.scheduled:
            return self._end("Cancelled", "NotReserved", "its tick was answered by another run")
        waits_for = f"it waits for SyncRun {sync.active_run} to end" if sync.active_run else "it waits for its turn"
        return self._publish("Pending", "Waiting", waits_for)

    def _first_attempt(self) -> Decision:
        view = self.view
        if isinstance(view.resolved, Problem) and view.resolved.reason.endswith("NotFound"):
            return self._once_it_is_there(view.resolved)
        if view.slot and not view.slot.held and not isinstance(view.resolved, Problem):
            return self._in_line("Pending", view.slot)
        return self._start(1)

    def _once_it_is_there(self, missing: Problem) -> Decision:
        """Wait a little for what a new run refers to, then give up."""
        patience = (self.view.meta.creation_timestamp or self.now) + GRACE
        if self.now >= patience:
            return self._fail(missing)
        waiting = self._publish("Pending", missing.reason, missing.message)
        return replace(waiting, wake=min(patience, self.now + _LOOK_AGAIN))

    def _in_line(self, phase: RunPhase, slot: SlotFacts) -> Decision:
        """Wait for a slot. Who is far back looks at the line less often."""
        place = f"{slot.before} before it in line" if slot.before else "it is next in line"
        message = f"SyncDestination {slot.destination} has maxConcurrentRuns {slot.limit}; {place}"
        waiting = self._publish(phase, "WaitingForSlot", message)
        return replace(waiting, wake=self.now + min(_LONGEST_IN_LINE, RECHECK * (slot.before + 1)))

    def _awaiting_approval(self, spec: SyncRunSpec) -> Decision:
        status, slot = self.view.status, self.view.slot
        if spec.cancel:
            return self._end("Cancelled", "Cancelled", "it was cancelled while it awaited approval")
        if self.view.sync is None:
            return self._fail(self._no_sync(spec))
        if spec.approval is None:
            return self._unchanged()
        if spec.approval.plan_hash == status.plan_hash:
            if slot and not slot.held:
                return self._in_line("AwaitingApproval", slot)
            return self._start(status.attempt + 1)
        return self._publish(
            "AwaitingApproval",
            "ApprovalOfAnotherPlan",
            f"spec.approval names plan {spec.approval.plan_hash}, but this run planned {status.plan_hash}; "
            "set spec.approval.planHash to that to let it go on",
        )

    def _under_way(self, spec: SyncRunSpec) -> Decision:
        view, job = self.view, self.view.job
        if job is None:
            return self._without_job(spec)
        if job.owner_uid != view.meta.uid:
            return self._fail(
                Problem("NameTaken", f"Job {job.name} exists and is not of this run; delete or rename it")
            )
        if job.ended or (job.deleting and view.pods and all(pod.ended for pod in view.pods)):
            return self._attempt_ended(spec, self._rested() or outcome(job, view.pods, self._obstacle_so_far()))
        if spec.cancel and not job.deleting:
            phase: RunPhase = "Running" if job.started else "Pending"
            cancelling = self._publish(phase, "Cancelling", "its Job was told to stop")
            return replace(cancelling, actions=tuple(_stop(view, job)))
        if spec.cancel or job.deleting:
            return self._unchanged()
        return self._job_goes_on(job)

    def _job_goes_on(self, job: JobFacts) -> Decision:
        if job.suspended:
            held = f"Job {job.name} is suspended; it goes on when its queue, or who suspended it, lets it"
            return self._publish("Pending", "Queued", held)
        said = find(self.view.status.conditions, "Succeeded")
        problem = obstacle(self.view.pods, self.view.obstacle, said)
        if problem and problem.reason == "Queued":
            return self._publish("Pending", problem.reason, problem.message)
        started = job.started or any(not pod.deleting for pod in self.view.pods)
        phase: RunPhase = "Running" if started else "Pending"
        if problem is None and present(self.view.pods) is None:
            problem = self._obstacle_so_far()  # its pod is gone, because the Job is about to end, or to try again
        problem = problem or Problem("Running" if started else "Starting", "")
        due = question_due(job, self.view.pods)
        going_on = self._publish(phase, problem.reason, problem.message)
        return replace(going_on, wake=next_question(due, self.now) if due else None)

    def _obstacle_so_far(self) -> Problem | None:
        """What the pod of this attempt was waiting for when the run was last looked at."""
        said = find(self.view.status.conditions, "Succeeded")
        return None if said is None or said.reason in _UNOBSTRUCTED else Problem(said.reason, said.message)

    def _rested(self) -> Outcome | None:
        """How the present attempt ended, if it is on record: it rests, and its Job may have been tidied away."""
        status = self.view.status
        last = status.failed_attempts[-1] if status.failed_attempts else None
        if last is None or last.number != status.attempt:
            return None
        return Outcome("Failed", last.reason, last.message, retriable=True, ended_at=last.finished_at)

    def _without_job(self, spec: SyncRunSpec) -> Decision:
        status, refusal = self.view.status, self.view.refusal
        if rested := self._rested():
            return self._attempt_ended(spec, rested)
        if status.phase != "Pending" or spec.cancel:
            return self._attempt_ended(spec, outcome(None, self.view.pods))
        if refusal and refusal.final:
            return self._fail(Problem("JobRefused", f"Kubernetes refused the Job: {refusal.message}"))
        if refusal and self.now < refusal.at + RECHECK:
            waiting = self._publish("Pending", "JobForbidden", f"Kubernetes does not let the Job be: {refusal.message}")
            return replace(waiting, wake=refusal.at + RECHECK)
        again = self._start(status.attempt)
        return replace(self._unchanged(), actions=again.actions) if refusal and again.actions else again

    def _attempt_ended(self, spec: SyncRunSpec, ended: Outcome) -> Decision:
        attempt = self.view.status.attempt
        if ended.status == "Succeeded":
            return self._end("Succeeded", ended.reason, ended.message, ended)
        if spec.cancel:
            return self._end("Cancelled", "Cancelled", "it was cancelled; what had been written is kept", ended)
        if ended.status == "AwaitingApproval":
            return self._publish("AwaitingApproval", ended.reason, ended.message, **figures(ended))
        if self.view.sync is None:
            return self._fail(self._no_sync(spec))
        limit = 1 + self.view.sync.runner.retries + (1 if spec.approval else 0)
        if ended.retriable and attempt < limit:
            return self._again(ended)
        return self._end("Failed", ended.reason, ended.message, ended, **with_attempt(self.view.status, ended))

    def _again(self, ended: Outcome) -> Decision:
        """Rest for a while, then start the next attempt."""
        attempt, failed = self.view.status.attempt, with_attempt(self.view.status, ended)
        at = (ended.ended_at or self.now) + self.retry.pause(attempt)
        if ended.ended_at is None or self.now >= at:
            return self._start(attempt + 1, **failed)
        why = f"{ended.reason}: {cut(ended.message, ATTEMPT_MESSAGE_MAX)}"
        message = f"attempt {attempt} failed: {why}; the next one starts at {at:%FT%TZ}"
        return replace(self._publish("Pending", "Retrying", message, **figures(ended), **failed), wake=at)

    def _start(self, attempt: int, **changes: Any) -> Decision:
        view = self.view
        if busy := self._leftover():
            phase: RunPhase = "AwaitingApproval" if view.status.phase == "AwaitingApproval" else "Pending"
            waiting = self._publish(phase, "Waiting", f"it waits for pod {busy.name} to end", **changes)
            return replace(waiting, wake=self.now + _LOOK_AGAIN)
        if isinstance(view.resolved, Problem):
            return self._fail(view.resolved)
        if view.resolved is None or view.sync is None:
            return self._fail(
                Problem("ReservationLost", "the sync was deleted meanwhile, or is reserved for another run")
            )
        spec = _of_attempt(view.resolved, attempt)
        job = build_job(view.meta, spec, view.sync.runner, self.runner, view.sync.labels)
        if view.status.attempt == 0 and view.scheduled and view.slot is None and view.refusal is None:
            return Decision(actions=(Create(JOB, job),))
        started = self._publish(
            "Pending",
            "Starting",
            attempt=attempt,
            job_name=job_name(view.meta.name, attempt),
            started_at=view.status.started_at or self.now,
            **changes,
        )
        return replace(started, actions=(Create(JOB, job),))

    def _leftover(self) -> PodFacts | None:
        """A pod of this sync that still works."""
        return next((pod for pod in self.view.leftovers if pod.works(self.now)), None)

    def _unchanged(self) -> Decision:
        """The record stays as it is, and tells kstatus that this generation of the spec was looked at."""
        return Decision(self.view.status.model_copy(update={"observed_generation": self.view.meta.generation}))

    def _no_sync(self, spec: SyncRunSpec) -> Problem:
        name, namespace = spec.sync_ref.name, self.view.meta.namespace
        return Problem(
            "SyncNotFound", f"spec.syncRef.name: there is no ReverseETLSync {name!r} in namespace {namespace!r}"
        )

    def _fail(self, problem: Problem) -> Decision:
        return self._end("Failed", problem.reason, problem.message)

    def _end(
        self, phase: RunPhase, reason: str, message: str, ended: Outcome | None = None, **changes: Any
    ) -> Decision:
        finished_at = (ended.ended_at if ended else None) or self.now
        known = figures(ended) if ended else {}
        return self._publish(phase, reason, message, finished_at=finished_at, **known, **changes)

    def _publish(self, phase: RunPhase, reason: str, message: str = "", **changes: Any) -> Decision:
        return publish(self.view, self.now, phase, reason, message, **changes)


def _unusable(spec: SyncRunSpec, sync: SyncFacts) -> Problem | None:
    """Why this sync has no runs at all, as it is."""
    name = spec.sync_ref.name
    if sync.state == "Draft":
        return Problem("SyncIsDraft", f"ReverseETLSync {name} is a draft; set its spec.state to Active or Paused")
    if sync.state is None:
        return Problem("InvalidSync", f"ReverseETLSync {name} is not valid; its Stalled condition says why")
    return None


def _of_attempt(spec: RunSpec, attempt: int) -> RunSpec:
    return spec.model_copy(update={"run": spec.run.model_copy(update={"attempt": attempt})})
