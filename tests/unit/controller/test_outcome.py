"""How an attempt ended, when the runner says so and when it cannot."""

from typing import Any

import pytest

from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.runs.outcome import outcome
from tests.unit.controller.views import at, job, pod, said

FAILED: dict[str, Any] = {"failed": ("BackoffLimitExceeded", ""), "ended_at": at(2)}
FOR_GOOD: dict[str, Any] = {"failed": ("PodFailurePolicy", ""), "ended_at": at(2)}
TOO_LONG: dict[str, Any] = {"failed": ("DeadlineExceeded", ""), "ended_at": at(2)}


@pytest.mark.parametrize(
    ("of", "pods", "reason", "retriable", "says"),
    [
        pytest.param(
            job(**FAILED),
            [pod(exit_code=137, end_reason="OOMKilled")],
            "OOMKilled",
            True,
            "raise spec.runner.resources.limits.memory",
            id="oom",
        ),
        pytest.param(
            job(**FAILED),
            [pod(exit_code=137, reason="Evicted", message="low on memory")],
            "Evicted",
            True,
            "low on memory",
            id="evicted",
        ),
        pytest.param(
            job(**FAILED), [pod(exit_code=1, end_reason="Error")], "RunnerFailed", True, "exit code 1", id="silent"
        ),
        pytest.param(
            job(**FAILED),
            [pod(exit_code=1, last_words="Traceback …")],
            "RunnerFailed",
            True,
            "exit code 1",
            id="not a result",
        ),
        pytest.param(
            job(**FAILED),
            [pod(exit_code=2, end_reason="Error")],
            "RunnerFailed",
            False,
            "exit code 2",
            id="invalid input",
        ),
        pytest.param(
            job(**FAILED),
            [pod(exit_code=128, end_reason="StartError", last_words="no such file")],
            "StartError",
            True,
            "no such file",
            id="command",
        ),
        pytest.param(job(**TOO_LONG), [], "DeadlineExceeded", True, "spec.runner.timeout", id="deadline, no pod"),
        pytest.param(
            job(**TOO_LONG),
            [pod(exit_code=143, end_reason="Error")],
            "DeadlineExceeded",
            True,
            "spec.runner.timeout",
            id="deadline",
        ),
        pytest.param(
            job(**TOO_LONG),
            [said(status="Cancelled")],
            "DeadlineExceeded",
            True,
            "spec.runner.timeout",
            id="deadline, said cancelled",
        ),
        pytest.param(
            job(**FAILED),
            [said(status="Cancelled")],
            "Interrupted",
            True,
            "told to stop",
            id="told to stop by nobody we know",
        ),
        pytest.param(None, [], "JobDeleted", True, "was deleted", id="deleted"),
        pytest.param(None, [said(status="Cancelled")], "JobDeleted", True, "was deleted", id="deleted, said cancelled"),
        pytest.param(
            job(**FAILED), [], "PodLost", True, "ended (BackoffLimitExceeded) and left no pod", id="no pod left"
        ),
        pytest.param(job(**FOR_GOOD), [], "PodLost", False, "ended (PodFailurePolicy)", id="no pod left, exit code 2"),
        pytest.param(
            job(**FAILED),
            [pod(exit_code=137, reason="Terminated", message="node shutdown")],
            "PodFailed",
            True,
            "Terminated: node shutdown",
            id="the node was shut down",
        ),
        pytest.param(
            job(**FAILED),
            [said(status="Failed", reason="SourceFailed", message="no table")],
            "SourceFailed",
            False,
            "no table",
            id="said so",
        ),
    ],
)
def test_a_failed_attempt_has_a_reason_in_words(
    of: JobFacts | None, pods: list[PodFacts], reason: str, retriable: bool, says: str
) -> None:
    ended = outcome(of, pods)
    assert (ended.status, ended.reason, ended.retriable) == ("Failed", reason, retriable)
    assert says in ended.message


def test_the_newest_pod_of_an_attempt_has_the_say() -> None:
    evicted = said(status="Cancelled")
    second = said(status="Succeeded", counts={"read": 9, "created": 9})
    ended = outcome(job(succeeded=True), [PodFacts(**_as_dict(second) | {"created": at(1)}), evicted])
    assert (ended.status, ended.counts and ended.counts.read) == ("Succeeded", 9)
    dead = pod(created=at(1), exit_code=137, end_reason="OOMKilled")
    assert outcome(job(**FAILED), [evicted, dead]).reason == "OOMKilled"


def _as_dict(facts: PodFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in PodFacts.__slots__}


def test_the_deadline_keeps_what_the_pod_was_waiting_for() -> None:
    stuck = Problem("Unschedulable", "pod x finds no node: 0/3 nodes are available")
    ended = outcome(job(**TOO_LONG), [pod(waiting=("Unschedulable", "0/3"), deleting=True)], stuck)
    assert ended.reason == "DeadlineExceeded"
    assert ended.message.endswith("never started: Unschedulable: pod x finds no node: 0/3 nodes are available")
    deleted = pod(exit_code=137, end_reason="ContainerStatusUnknown", deleting=True)
    assert "never started: Unschedulable" in outcome(job(**TOO_LONG), [deleted], stuck).message
    ran = outcome(job(**TOO_LONG), [pod(exit_code=143, end_reason="Error", started=True)], stuck)
    assert "never started" not in ran.message


def test_open_dead_letters_are_told_by_code() -> None:
    codes = {f"CODE_{number:02}": number for number in range(25)}
    ended = outcome(job(succeeded=True), [said(status="Succeeded", dead_letters=300, dead_letters_by_code=codes)])
    assert ended.dead_letters_by_code == dict(list(codes.items())[:20])
