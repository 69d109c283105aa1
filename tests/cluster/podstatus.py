"""What a kubelet reports about a pod at each point of its life, as patches of `status`.

Pure. The shapes are those that the Job controller and people's tools read: phase, conditions, one container status.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.cluster.podspec import POD_IP, Container, Pod

MESSAGE_LIMIT_BYTES = 4096
Status = dict[str, Any]


class Cause(enum.Enum):
    """Why a container ended, where its exit code does not say it."""

    ITSELF = "itself"
    OUT_OF_MEMORY = "out of memory"
    EVICTION = "eviction"


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended: exit code as a shell counts it (128 + signal), times in UTC, its termination message."""

    exit_code: int
    started: datetime
    finished: datetime
    message: str = ""
    cause: Cause = Cause.ITSELF

    @property
    def reason(self) -> str:
        if self.cause is Cause.OUT_OF_MEMORY:
            return "OOMKilled"
        return "Completed" if self.exit_code == 0 else "Error"


def waiting(container: Container, reason: str, message: str = "") -> Status:
    """Pending: the container cannot be started yet."""
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    return _status("Pending", state, container, ready=(False, "ContainersNotReady"))


def running(container: Container, started: datetime, pid: int) -> Status:
    state = {"running": {"startedAt": timestamp(started)}}
    return _status("Running", state, container, pid=pid, started_at=started)


def ended(container: Container, end: End, pid: int) -> Status:
    """Succeeded or Failed by its own exit code; Failed with a DisruptionTarget condition after an eviction."""
    terminated = {
        "exitCode": end.exit_code,
        "reason": end.reason,
        "startedAt": timestamp(end.started),
        "finishedAt": timestamp(end.finished),
        "containerID": f"process://{pid}",
    }
    if end.message:
        terminated["message"] = end.message
    evicted = end.cause is Cause.EVICTION
    phase = "Succeeded" if end.exit_code == 0 and not evicted else "Failed"
    done = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    status = _status(phase, {"terminated": terminated}, container, pid=pid, ready=(False, done))
    if evicted:
        why = "The node was low on resource: memory."
        status |= {"reason": "Evicted", "message": why}
        status["conditions"].append(_condition("DisruptionTarget", True, "TerminationByKubelet", why))
    return status


def without_process(container: Container, code: int, reason: str, message: str) -> Status:
    """Failed: there is no process to tell of, because it could not be started or was lost; times are unknown (null)."""
    terminated = {"exitCode": code, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}
    return _status("Failed", {"terminated": terminated}, container, ready=(False, "PodFailed"))


def failed(reason: str, message: str) -> Status:
    """Failed without an account of any container."""
    return {"phase": "Failed", "reason": reason, "message": message}


def unschedulable(message: str) -> Status:
    """Pending: no node takes the pod."""
    return {"phase": "Pending", "conditions": [_condition("PodScheduled", False, "Unschedulable", message)]}


def exit_code(returncode: int) -> int:
    """The exit code a container runtime reports for what `subprocess` reports: 137 for -9."""
    return 128 - returncode if returncode < 0 else returncode


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def key(pod: Pod) -> tuple[str, str]:
    """(namespace, name)."""
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _status(
    phase: str,
    state: dict[str, Any],
    container: Container,
    *,
    pid: int | None = None,
    started_at: datetime | None = None,
    ready: tuple[bool, str] = (True, ""),
) -> Status:
    container_status = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": ready[0],
        "started": phase == "Running",
        "restartCount": 0,
        "state": state,
    }
    if pid is not None:
        container_status["containerID"] = f"process://{pid}"
    status: Status = {
        "phase": phase,
        "hostIP": POD_IP,
        "podIP": POD_IP,
        "podIPs": [{"ip": POD_IP}],
        "containerStatuses": [container_status],
        "conditions": [
            _condition("Initialized", True),
            _condition("ContainersReady", *ready),
            _condition("Ready", *ready),
        ],
    }
    if started_at is not None:
        status["startTime"] = timestamp(started_at)
    return status


def _condition(kind: str, value: bool, reason: str = "", message: str = "") -> dict[str, str]:
    condition = {"type": kind, "status": str(value), "lastTransitionTime": timestamp(datetime.now(UTC))}
    return condition | {name: text for name, text in (("reason", reason), ("message", message)) if text}
