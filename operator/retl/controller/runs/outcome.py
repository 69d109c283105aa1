"""How an attempt ended, from the runner's own words if it left any, else from what Kubernetes saw.

Pure. A runner that was killed says nothing; the reason then comes from its container, its pod or its Job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.resources.run import RunCounts
from retl.runspec.pod import EXIT_INVALID
from retl.runspec.result import RunResult, RunStatusName

_KEPT_CODES = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt; `retriable` says whether another attempt may do better."""

    status: RunStatusName
    reason: str = ""
    message: str = ""
    retriable: bool = False
    counts: RunCounts | None = None
    dead_letters: int | None = None
    dead_letters_by_code: dict[str, int] | None = None
    plan_hash: str | None = None
    ended_at: datetime | None = None


def outcome(job: JobFacts | None, pods: Sequence[PodFacts], obstacle: Problem | None = None) -> Outcome:
    """What became of an attempt whose Job has ended or is gone (None).

    Args:
        obstacle: what its pod was waiting for when it was last looked at.
    """
    # An evicted pod is followed by another one of the same attempt: the newest has the say.
    last = max((pod for pod in pods if pod.ended), key=lambda pod: pod.created, default=None)
    result = _result(last.last_words) if last else None
    return _said(result, job, last) if last and result else _unsaid(job, last, obstacle)


def _result(last_words: str) -> RunResult | None:
    try:
        return RunResult.model_validate_json(last_words)
    except ValidationError:
        return None


def _said(result: RunResult, job: JobFacts | None, pod: PodFacts) -> Outcome:
    """The runner's result. What it calls cancelled without having been asked to was cut short from outside."""
    reason, message, retriable = result.reason or result.status, result.message, result.retriable
    status = result.status
    if status == "Cancelled":
        status, retriable = "Failed", True
        reason, message = _interruption(job, pod)
    return Outcome(
        status=status,
        reason=reason,
        message=message,
        retriable=retriable,
        counts=result.counts,
        dead_letters=result.dead_letters,
        dead_letters_by_code=dict(sorted(result.dead_letters_by_code.items())[:_KEPT_CODES]),
        plan_hash=result.plan_hash,
        ended_at=pod.ended_at or (job.ended_at if job else None),
    )


def _unsaid(job: JobFacts | None, pod: PodFacts | None, obstacle: Problem | None) -> Outcome:
    ended_at = (job.ended_at if job else None) or (pod.ended_at if pod else None)
    for_good = bool(job and job.failed and job.failed[0] == "PodFailurePolicy")
    if pod is None or (job and job.failed and job.failed[0] == "DeadlineExceeded"):
        reason, message = _interruption(job, pod)
        if obstacle and not (pod and pod.started):
            message = f"{message}; its pod never started: {obstacle.reason}: {obstacle.message}"
        return Outcome("Failed", reason, message, retriable=not for_good, ended_at=ended_at)
    reason, message = _death(pod)
    retriable = not for_good and pod.exit_code != EXIT_INVALID
    return Outcome("Failed", reason, message, retriable=retriable, ended_at=ended_at)


def _death(pod: PodFacts) -> tuple[str, str]:
    if pod.end_reason == "OOMKilled":
        return "OOMKilled", (
            f"pod {pod.name} used more memory than it may and was killed; raise spec.runner.resources.limits.memory"
        )
    if pod.reason == "Evicted":
        return "Evicted", f"pod {pod.name}: {pod.message or pod.reason}"
    if pod.reason:
        return "PodFailed", f"pod {pod.name}: {pod.reason}: {pod.message}"
    if pod.end_reason in ("StartError", "ContainerCannotRun"):
        return "StartError", f"pod {pod.name} could not start: {pod.last_words[:500]}"
    return "RunnerFailed", (
        f"the runner in pod {pod.name} ended with exit code {pod.exit_code} and without a result; see its log"
    )


def _interruption(job: JobFacts | None, pod: PodFacts | None) -> tuple[str, str]:
    if job is None:
        return "JobDeleted", "the attempt's Job was deleted while it was under way"
    if job.failed and job.failed[0] == "DeadlineExceeded":
        return "DeadlineExceeded", "the attempt took longer than spec.runner.timeout"
    if pod is None:
        why = f" ({job.failed[0]})" if job.failed else ""
        return "PodLost", f"Job {job.name} ended{why} and left no pod to read the result from"
    return "Interrupted", f"pod {pod.name} was told to stop before the run was at its end"
