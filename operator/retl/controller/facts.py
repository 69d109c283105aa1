"""What the controller wants to know of a Job and of its pods, read from what the API server says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retl.controller.kinds import Manifest


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One attempt's Job.

    Attributes:
        owner_uid: uid of the object that controls it; empty when nothing does.
        failed: reason and message of its failure; None unless it failed.
        ended_at: when it completed or failed; None while it is under way.
        deleting: it is being deleted.
    """

    name: str
    uid: str
    owner_uid: str
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
            succeeded=complete is not None,
            failed=(failed.get("reason", ""), failed.get("message", "")) if failed else None,
            ended_at=moment(end["lastTransitionTime"]) if end else None,
            deleting="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of an attempt; a Job starts another one when a pod was evicted.

    Attributes:
        reason, message: the pod's own, such as Evicted.
        waiting: reason and message of a container that cannot start, such as ImagePullBackOff.
        exit_code: how its container ended; None while it has not.
        end_reason: the container's, such as OOMKilled.
        last_words: termination message of its container.
    """

    name: str
    job: str
    created: datetime
    reason: str = ""
    message: str = ""
    waiting: tuple[str, str] | None = None
    exit_code: int | None = None
    end_reason: str = ""
    last_words: str = ""
    ended_at: datetime | None = None

    @classmethod
    def read(cls, pod: Manifest) -> "PodFacts":
        metadata, status = pod["metadata"], pod.get("status") or {}
        state: dict[str, Any] = next((c.get("state") or {} for c in status.get("containerStatuses") or []), {})
        waiting, terminated = state.get("waiting"), state.get("terminated") or {}
        return cls(
            name=metadata["name"],
            job=(metadata.get("labels") or {}).get("batch.kubernetes.io/job-name", ""),
            created=moment(metadata["creationTimestamp"]),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            waiting=(waiting.get("reason", ""), waiting.get("message", "")) if waiting else _unschedulable(status),
            exit_code=terminated.get("exitCode"),
            end_reason=terminated.get("reason", ""),
            last_words=terminated.get("message", ""),
            ended_at=moment(terminated["finishedAt"]) if terminated.get("finishedAt") else None,
        )


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
