"""What to do about a SyncRun. Pure.

    (waits for the sync) -> Pending -> Running -> Succeeded | Failed | Cancelled
                               ^          |
                               |          v
                               +-- AwaitingApproval, or a failure that another attempt may cure

An attempt is written down (phase Pending, attempt n) before its Job is created, under a precondition: a controller
with an old view of the run cannot start anything. Pending with an attempt whose Job is missing means "create it";
Running with a missing Job means that somebody deleted it.
"""

from datetime import UTC, datetime
from typing import Any

from retl.controller.decision import Create, Decision, Delete, Problem
from retl.controller.kinds import JOB, Key
from retl.controller.manifests import job as build_job
from retl.controller.runs.outcome import Outcome, outcome
from retl.controller.runs.view import RunView
from retl.controller.settings import RetryPolicy, RunnerSettings
from retl.resources.conditions import ConditionStatus, with_condition
from retl.resources.names import job_name
from retl.resources.run import TERMINAL, RunPhase, RunStatus, SyncRunSpec
from retl.runspec import RunSpec

NOTHING = Decision()


def decide(view: RunView, now: datetime, retry: RetryPolicy, runner: RunnerSettings) -> Decision:
    """The next step of one run.

    Args:
        view: the run and what surrounds it.
        now: the present (UTC).
        retry: how long a failed attempt rests.
        runner: what all runners have in common.
    """
    if view.status.phase in TERMINAL or view.meta.deletion_timestamp:
        return NOTHING
    return _Steps(view, now, retry, runner).decide()


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
        if self.view.refused:
            return self._fail(Problem("JobRefused", f"Kubernetes refused the Job: {self.view.refused}"))
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
            return self._fail(self._no_sync(spec))
        if sync.state == "Draft":
            return self._fail(
                Problem(
                    "SyncIsDraft",
                    f"ReverseETLSync {spec.sync_ref.name} is a draft; set its spec.state to Active or Paused",
                )
            )
        if sync.state is None:
            return self._fail(
                Problem(
                    "InvalidSync", f"ReverseETLSync {spec.sync_ref.name} is not valid; its Stalled condition says why"
                )
            )
        if self.view.reserved:
            return self._start(1)
        if self.view.scheduled:
            return self._end("Cancelled", "NotReserved", "its tick was answered by another run")
        waits_for = f"it waits for SyncRun {sync.active_run} to end" if sync.active_run else "it waits for its turn"
        return self._publish("Pending", "Unknown", "Waiting", waits_for)

    def _awaiting_approval(self, spec: SyncRunSpec) -> Decision:
        status = self.view.status
        if spec.cancel:
            return self._end("Cancelled", "Cancelled", "it was cancelled while it awaited approval")
        if self.view.sync is None:
            return self._fail(self._no_sync(spec))
        if spec.approval is None:
            return NOTHING
        if spec.approval.plan_hash == status.plan_hash:
            return self._start(status.attempt + 1)
        return self._publish(
            "AwaitingApproval",
            "Unknown",
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
        if job.ended or (job.deleting and self._all_pods_ended()):
            return self._attempt_ended(spec, outcome(job, view.pods))
        if spec.cancel and not job.deleting:
            # In the foreground: the Job stays until its pod has had its SIGTERM and its last word.
            stop = Delete(Key(JOB, view.meta.namespace, job.name), job.uid, "Foreground")
            cancelling = self._publish("Running", "Unknown", "Cancelling", "the runner was told to stop")
            return Decision(cancelling.status, (stop,))
        if spec.cancel or job.deleting:
            return NOTHING
        return self._publish("Running", "Unknown", *self._progress())

    def _without_job(self, spec: SyncRunSpec) -> Decision:
        if self.view.status.phase == "Pending" and not spec.cancel:
            return self._start(self.view.status.attempt)
        return self._attempt_ended(spec, outcome(None, self.view.pods))

    def _attempt_ended(self, spec: SyncRunSpec, ended: Outcome) -> Decision:
        attempt = self.view.status.attempt
        if ended.status == "Succeeded":
            return self._end("Succeeded", "Succeeded", ended.message, ended)
        if spec.cancel:
            return self._end("Cancelled", "Cancelled", "it was cancelled; what had been written is kept", ended)
        if ended.status == "AwaitingApproval":
            return self._publish("AwaitingApproval", "Unknown", ended.reason, ended.message, **_figures(ended))
        if self.view.sync is None:
            return self._fail(self._no_sync(spec))
        limit = 1 + self.view.sync.runner.retries + (1 if spec.approval else 0)
        if ended.retriable and attempt < limit:
            return self._again(ended)
        return self._end("Failed", ended.reason, ended.message, ended)

    def _again(self, ended: Outcome) -> Decision:
        """Rest for a while, then start the next attempt."""
        attempt = self.view.status.attempt
        at = (ended.ended_at or self.now) + self.retry.pause(attempt)
        if ended.ended_at is None or self.now >= at:
            return self._start(attempt + 1)
        message = f"attempt {attempt} failed: {ended.reason}: {ended.message}; the next one starts at {at:%FT%TZ}"
        resting = self._publish("Pending", "Unknown", "Retrying", message, **_figures(ended))
        return Decision(resting.status, wake=at)

    def _start(self, attempt: int) -> Decision:
        view = self.view
        if isinstance(view.resolved, Problem):
            return self._fail(view.resolved)
        if view.resolved is None or view.sync is None:
            return self._fail(
                Problem("ReservationLost", "the sync was deleted meanwhile, or is reserved for another run")
            )
        spec = _of_attempt(view.resolved, attempt)
        started = self._publish(
            "Pending",
            "Unknown",
            "Starting",
            attempt=attempt,
            job_name=job_name(view.meta.name, attempt),
            started_at=view.status.started_at or self.now,
        )
        return Decision(started.status, (Create(JOB, build_job(view.meta, spec, view.sync.runner, self.runner)),))

    def _progress(self) -> tuple[str, str]:
        """Reason and message while the Job is under way."""
        for pod in self.view.pods:
            if pod.waiting and pod.waiting[0] not in ("ContainerCreating", "PodInitializing", ""):
                reason, message = pod.waiting
                return reason, f"pod {pod.name} cannot start: {message or reason}"
        return "Running", ""

    def _all_pods_ended(self) -> bool:
        return bool(self.view.pods) and all(pod.exit_code is not None or pod.reason for pod in self.view.pods)

    def _no_sync(self, spec: SyncRunSpec) -> Problem:
        name, namespace = spec.sync_ref.name, self.view.meta.namespace
        return Problem(
            "SyncNotFound", f"spec.syncRef.name: there is no ReverseETLSync {name!r} in namespace {namespace!r}"
        )

    def _fail(self, problem: Problem) -> Decision:
        return self._end("Failed", problem.reason, problem.message)

    def _end(self, phase: RunPhase, reason: str, message: str, ended: Outcome | None = None) -> Decision:
        finished_at = (ended.ended_at if ended else None) or self.now
        figures = _figures(ended) if ended else {}
        succeeded: ConditionStatus = "True" if phase == "Succeeded" else "False"
        return self._publish(phase, succeeded, reason, message, finished_at=finished_at, **figures)

    def _publish(
        self, phase: RunPhase, succeeded: ConditionStatus, reason: str, message: str = "", **changes: Any
    ) -> Decision:
        status, generation = self.view.status, self.view.meta.generation
        conditions = with_condition(
            status.conditions, "Succeeded", succeeded, reason, message, now=self.now, generation=generation
        )
        changes |= {"phase": phase, "conditions": conditions, "observed_generation": generation}
        updated: RunStatus = status.model_copy(update=changes)
        return Decision(updated)


def _of_attempt(spec: RunSpec, attempt: int) -> RunSpec:
    return spec.model_copy(update={"run": spec.run.model_copy(update={"attempt": attempt})})


def _figures(ended: Outcome) -> dict[str, Any]:
    """What the outcome adds to the record; what it does not know stays as it was."""
    known = {"counts": ended.counts, "dead_letters": ended.dead_letters, "plan_hash": ended.plan_hash}
    return {name: value for name, value in known.items() if value is not None}
