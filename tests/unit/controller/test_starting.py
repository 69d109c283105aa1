"""Why the pod of an attempt does not start."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.runs.starting import explanation, next_question, obstacle, question_due
from retl.resources.conditions import Condition
from tests.unit.controller.views import NOON, at, job, pod

ASKED = Problem("FailedMount", "no such volume")
SECONDS = timedelta(seconds=1)


def said(reason: str, message: str) -> Condition:
    return Condition(type="Succeeded", status="Unknown", reason=reason, message=message, last_transition_time=NOON)


@pytest.mark.parametrize(
    ("pods", "reason", "says"),
    [
        pytest.param([pod(running=True)], None, "", id="it runs"),
        pytest.param([], "FailedMount", "no such volume", id="no pod"),
        pytest.param([pod()], "FailedMount", "no such volume", id="nothing is known of its container"),
        pytest.param([pod(waiting=("ContainerCreating", ""))], "FailedMount", "no such volume", id="creating"),
        pytest.param([pod(waiting=("ErrImagePull", "not found"))], "ImagePullBackOff", "image: not found", id="image"),
        pytest.param(
            [pod(waiting=("Unschedulable", "0/3 nodes"))], "Unschedulable", "finds no node: 0/3 nodes", id="no node"
        ),
        pytest.param(
            [pod(waiting=("CreateContainerConfigError", 'secret "x" not found'))],
            "CreateContainerConfigError",
            'secret "x" not found',
            id="settings",
        ),
        pytest.param([pod(waiting=("InvalidImageName", ""))], "InvalidImageName", "cannot start", id="image name"),
        pytest.param([pod(waiting=("Odd", "very"))], "PodNotStarting", "Odd: very", id="a word of the future"),
        pytest.param(
            [pod(exit_code=137, reason="Evicted"), pod(waiting=("Unschedulable", "full"), created=at(1))],
            "Unschedulable",
            "full",
            id="the pod after the evicted one",
        ),
        pytest.param([pod(running=True, deleting=True)], "FailedMount", "", id="only a pod that is gone"),
    ],
)
def test_what_keeps_a_pod_from_starting_has_a_word(pods: list[PodFacts], reason: str | None, says: str) -> None:
    found = obstacle(pods, ASKED, None)
    assert (found and found.reason) == reason
    assert found is None or says in found.message


def test_the_registrys_words_outlast_the_back_off() -> None:
    """The kubelet goes back and forth between the two words; people see one, with the better message."""
    first = obstacle([pod(waiting=("ErrImagePull", "x: not found"))], None, None)
    assert first is not None
    backing_off = [pod(waiting=("ImagePullBackOff", 'Back-off pulling image "x"'))]
    assert obstacle(backing_off, None, said(first.reason, first.message)) == first
    assert "Back-off pulling" in str(obstacle(backing_off, None, said("Running", "")))
    another = [pod(name="other", waiting=("ImagePullBackOff", ""))]
    assert "pod other" in str(obstacle(another, None, said(first.reason, first.message)))


@pytest.mark.parametrize(
    ("of", "pods", "due"),
    [
        pytest.param(job(created=NOON), [], NOON + 5 * SECONDS, id="no pod"),
        pytest.param(job(), [], None, id="nobody knows since when"),
        pytest.param(job(created=NOON), [pod(created=at(1))], at(1) + 5 * SECONDS, id="a pod"),
        pytest.param(job(created=NOON), [pod(waiting=("ContainerCreating", ""))], NOON + 5 * SECONDS, id="creating"),
        pytest.param(job(created=NOON), [pod(running=True)], None, id="running"),
        pytest.param(job(created=NOON), [pod(waiting=("Unschedulable", "full"))], None, id="it says why"),
        pytest.param(
            job(created=NOON),
            [pod(exit_code=137, reason="Evicted", ended_at=at(2))],
            at(2) + 5 * SECONDS,
            id="the next one does not come",
        ),
    ],
)
def test_after_a_while_somebody_asks(of: JobFacts, pods: list[PodFacts], due: datetime | None) -> None:
    assert question_due(of, pods) == due


def test_questions_become_fewer() -> None:
    now, asked = NOON, []
    for _ in range(12):
        now = next_question(NOON + 5 * SECONDS, now)
        asked.append(round((now - NOON).total_seconds()))
    assert asked[:3] == [5, 10, 15]
    assert asked[-1] - asked[-2] == 60


def event(reason: str, note: str, minutes: float, **more: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "accounts-1-1-x", "uid": "pod-uid"}
    times = {"metadata": {"creationTimestamp": at(0).isoformat()}, "deprecatedLastTimestamp": at(minutes).isoformat()}
    return {"type": "Warning", "reason": reason, "note": note, "regarding": about} | times | more


@pytest.mark.parametrize(
    ("events", "reason", "says"),
    [
        pytest.param([], None, "", id="nothing"),
        pytest.param([event("Scheduled", "bound", 0, type="Normal")], None, "", id="nothing bad"),
        pytest.param(
            [event("FailedMount", 'secret "crm-login" not found', 1), event("FailedCreatePodSandBox", "no network", 0)],
            "FailedMount",
            'pod accounts-1-1-x cannot start: secret "crm-login" not found',
            id="the newest",
        ),
        pytest.param(
            [
                event("FailedMount", "old", 5),
                event(
                    "FailedAttachVolume",
                    "new",
                    0,
                    deprecatedLastTimestamp=None,
                    eventTime=at(0).isoformat(),
                    series={"count": 9, "lastObservedTime": at(6).isoformat()},
                ),
            ],
            "FailedAttachVolume",
            "new",
            id="a series",
        ),
        pytest.param(
            [event("FailedCreate", "exceeded quota", 0, regarding={"kind": "Job", "name": "accounts-1-1"})],
            "FailedCreate",
            "Job accounts-1-1 gets no pod: exceeded quota",
            id="of the Job",
        ),
        pytest.param(
            [event("FailedMount", "no such Secret", 0), event("DeadlineExceeded", "Job was active too long", 9)],
            "FailedMount",
            "no such Secret",
            id="that a Job ends is no reason why it did not start",
        ),
        pytest.param([event("Odd", "very", 0)], "PodNotStarting", "Odd: very", id="a word of the future"),
    ],
)
def test_events_explain_what_the_status_does_not(events: list[dict[str, Any]], reason: str | None, says: str) -> None:
    found = explanation(events)
    assert (found and found.reason) == reason
    assert found is None or says in found.message
