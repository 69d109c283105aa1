"""Why the pod of an attempt does not start, in words, within seconds. Pure.

Most reasons stand in the pod's status, and a watch tells of them. Of a Secret that went missing, a volume that cannot
be mounted or a pod that may not be created the status says nothing: after a short while somebody has to ask (`gather`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts, moment
from retl.resources.conditions import Condition
from retl.resources.kinds import Manifest

PATIENCE = timedelta(seconds=5)
"""How long a pod may take to start before anyone asks why."""
_LONGEST = timedelta(minutes=1)

_PULLING = ("ErrImagePull", "ImagePullBackOff")
"""The kubelet goes back and forth between the two."""
_CONTAINER = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
_EVENTS = ("FailedCreate", "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
ON_ITS_WAY = ("", "ContainerCreating", "PodInitializing")
"""What the container of a pod that is about to start waits for."""
_ENDS = ("DeadlineExceeded", "BackoffLimitExceeded")
"""What is said of a Job when it is about to end: no reason why nothing of it has started."""


def obstacle(pods: Sequence[PodFacts], asked: Problem | None, said: Condition | None) -> Problem | None:
    """What keeps the attempt's pod from starting; None if nothing does, as far as is known.

    Args:
        asked: what was found out by asking.
        said: the run's present condition; a good explanation in it is kept.
    """
    pod = present(pods)
    if pod is None:
        return asked
    if pod.running:
        return None
    reason, message = pod.waiting or ("", "")
    if reason in ON_ITS_WAY:
        return asked
    if reason in _PULLING:
        return _pulling(pod, message, said)
    if reason == "Unschedulable":
        return Problem(reason, f"pod {pod.name} finds no node: {message or 'the scheduler does not say why'}")
    if reason == "SchedulingGated":
        return Problem("Queued", f"pod {pod.name} waits at its scheduling gates: {message}")
    if reason in _CONTAINER:
        return Problem(reason, f"pod {pod.name} cannot start: {message or reason}")
    return Problem("PodNotStarting", f"pod {pod.name} cannot start: {reason}: {message}")


def present(pods: Sequence[PodFacts]) -> PodFacts | None:
    """The newest pod that is there and has not ended."""
    return max((pod for pod in pods if not pod.ended and not pod.deleting), key=lambda pod: pod.created, default=None)


def question_due(job: JobFacts, pods: Sequence[PodFacts]) -> datetime | None:
    """When somebody should ask why nothing has started yet; None if the pod runs, or says itself what it waits for."""
    pod = present(pods)
    if pod and (pod.running or (pod.waiting or ("", ""))[0] not in ON_ITS_WAY):
        return None
    since = pod.created if pod else _without_pod_since(job, pods)
    return since + PATIENCE if since else None


def next_question(due: datetime, now: datetime) -> datetime:
    """When to ask (again): soon at first, less often as time goes by."""
    return due if now < due else now + min(_LONGEST, max(PATIENCE, (now - due) / 2))


def explanation(events: Sequence[Manifest]) -> Problem | None:
    """What the newest warning about a pod or Job says (objects of events.k8s.io/v1)."""
    warnings = [event for event in events if event.get("type") == "Warning" and event.get("reason") not in _ENDS]
    if not warnings:
        return None
    newest = max(warnings, key=_last_seen)
    reason, note = newest.get("reason") or "", newest.get("note") or ""
    about = newest.get("regarding") or {}
    where = f"{str(about.get('kind', 'pod')).replace('Pod', 'pod')} {about.get('name', '')}"
    if reason == "FailedCreate":
        return Problem(reason, f"{where} gets no pod: {note}")
    if reason in _EVENTS:
        return Problem(reason, f"{where} cannot start: {note}")
    return Problem("PodNotStarting", f"{where} cannot start: {reason}: {note}")


def _without_pod_since(job: JobFacts, pods: Sequence[PodFacts]) -> datetime | None:
    """When the Job was made, or its last pod was lost."""
    return max((pod.ended_at or pod.created for pod in pods), default=job.created)


def _pulling(pod: PodFacts, message: str, said: Condition | None) -> Problem:
    """The registry's own words come first and only once; "Back-off pulling image" comes after them, again and again."""
    about = f"pod {pod.name} cannot pull its image: "
    if said and said.reason == "ImagePullBackOff" and said.message.startswith(about) and _backs_off(message):
        return Problem("ImagePullBackOff", said.message)
    return Problem("ImagePullBackOff", about + (message or "the registry does not say why"))


def _backs_off(message: str) -> bool:
    return not message or message.startswith("Back-off pulling image")


def _last_seen(event: Manifest) -> datetime:
    series = event.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return moment(text)
