"""What the controller wants to know of objects, read from what the API server says: a Job, its pods, a status."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from retl.controller.syncs.lenient import lenient
from retl.resources.fields import StatusModel
from retl.resources.kinds import Manifest

S = TypeVar("S", bound=StatusModel)

_LOST_AFTER = timedelta(seconds=30)
"""So long after its grace is over, a pod that is being deleted is given up."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One attempt's Job.

    Attributes:
        owner_uid: uid of the object that controls it; empty when nothing does.
        created: by the API server's clock.
        started: the Job controller has taken it up; not so while it is suspended.
        suspended: a queue, or a person, holds it back.
        failed: reason and message of its failure; None unless it failed.
        ended_at: when it completed or failed; None while it is under way.
        deleting: it is being deleted.
    """

    name: str
    uid: str
    owner_uid: str
    created: datetime | None = None
    started: bool = False
    suspended: bool = False
    succeeded: bool = False
    failed: tuple[str, str] | None = None
    ended_at: datetime | None = None
    deleting: bool = False

    @property
    def ended(self) -> bool:
        return self.succeeded or self.failed is not None

    @classmethod
    def read(cls, job: Manifest) -> "JobFacts":
        metadata, status = job["metadata"], job.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or [] if c.get("status") == "True"}
        complete, failed = conditions.get("Complete"), conditions.get("Failed")
        end = complete or failed
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            owner_uid=controller_uid(job),
            created=moment(metadata["creationTimestamp"]),
            started=bool(status.get("startTime")),
            suspended="Suspended" in conditions,
            succeeded=complete is not None,
            failed=(failed.get("reason", ""), failed.get("message", "")) if failed else None,
            ended_at=moment(end["lastTransitionTime"]) if end else None,
            deleting="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of an attempt; a Job starts another one when a pod was evicted.

    Attributes:
        uid: as events name it.
        reason, message: the pod's own, such as Evicted.
        waiting: reason and message of what has not started: of its container, such as ImagePullBackOff, or of the pod
            that no node takes, such as Unschedulable.
        running: its container was started, and has not ended as far as is known.
        started: its container was started at some time.
        exit_code: how its container ended; None while it has not.
        end_reason: the container's, such as OOMKilled.
        last_words: termination message of its container.
        deleting: it is being deleted, or is gone already.
        gone_by: when its grace is over, if it is being deleted.
    """

    name: str
    job: str
    created: datetime
    uid: str = ""
    reason: str = ""
    message: str = ""
    waiting: tuple[str, str] | None = None
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    end_reason: str = ""
    last_words: str = ""
    ended_at: datetime | None = None
    deleting: bool = False
    gone_by: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.exit_code is not None or bool(self.reason)

    def works(self, now: datetime) -> bool:
        """Whether it has not ended; one that should be gone by now is on a node that nobody hears of."""
        return not self.ended and (self.gone_by is None or now < self.gone_by + _LOST_AFTER)

    @classmethod
    def read(cls, pod: Manifest) -> "PodFacts":
        metadata, status = pod["metadata"], pod.get("status") or {}
        state: dict[str, Any] = next((c.get("state") or {} for c in status.get("containerStatuses") or []), {})
        waiting, terminated = state.get("waiting"), state.get("terminated") or {}
        return cls(
            name=metadata["name"],
            job=(metadata.get("labels") or {}).get("batch.kubernetes.io/job-name", ""),
            created=moment(metadata["creationTimestamp"]),
            uid=metadata["uid"],
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            waiting=(waiting.get("reason", ""), waiting.get("message", "")) if waiting else _unschedulable(status),
            running="running" in state,
            started="running" in state or bool(terminated.get("startedAt")),
            exit_code=terminated.get("exitCode"),
            end_reason=terminated.get("reason", ""),
            last_words=terminated.get("message", ""),
            ended_at=moment(terminated["finishedAt"]) if terminated.get("finishedAt") else None,
            deleting="deletionTimestamp" in metadata,
            gone_by=moment(metadata["deletionTimestamp"]) if "deletionTimestamp" in metadata else None,
        )


def status_of(model: type[S], manifest: Manifest) -> S:
    """An object's status; where somebody edited it by hand, what of it can still be understood."""
    return lenient(model, manifest.get("status") or {})[0]


def controller_uid(manifest: Manifest) -> str:
    """uid of the object that controls this one; empty when nothing does."""
    owners = manifest["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def moment(text: str) -> datetime:
    """A Kubernetes timestamp."""
    return datetime.fromisoformat(text)


def _unschedulable(status: dict[str, Any]) -> tuple[str, str] | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", ""), condition.get("message", "")
    return None
