"""How often the API server is asked why nothing of a Job has started."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from kubernetes.aio.client import ApiClient

from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.facts import JobFacts
from retl.controller.runs.questions import Questions
from retl.resources.kinds import Manifest
from tests.unit.controller.views import NOON, at, job

STUCK = job(created=NOON, started=True)


class Witness(Kube):
    """An API server that knows one thing about each Job."""

    def __init__(self) -> None:
        super().__init__(ApiClient(), timedelta(seconds=1))
        self.asked: list[str] = []
        self.fails = False

    async def list(
        self, kind: str, namespace: str | None = None, selector: str = "", *, fields: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        uid = fields.partition("=")[2]
        self.asked.append(uid)
        if self.fails:
            raise KubeError("no answer")
        about = {"kind": "Job", "name": "accounts-1-1", "uid": uid}
        said = {"type": "Warning", "reason": "FailedCreate", "note": "exceeded quota", "regarding": about}
        yield [said | {"eventTime": NOON.isoformat(), "metadata": {}}], "1"


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    kube = Witness()
    yield kube
    await kube.close()


async def said(questions: Questions, minutes: float, about: JobFacts = STUCK) -> str | None:
    problem = await questions.obstacle("growth", about, (), None, at(minutes))
    return problem.reason if problem else None


async def test_an_answer_is_remembered_until_it_is_time_to_ask_again(witness: Witness) -> None:
    questions = Questions(witness)
    answers = [await said(questions, seconds / 60) for seconds in (1, 5, 6, 9, 10, 12)]
    assert answers == [None, *["FailedCreate"] * 5]
    assert len(witness.asked) == 2


async def test_what_is_known_stands_while_nobody_answers(witness: Witness) -> None:
    questions = Questions(witness)
    assert await said(questions, 0.1) == "FailedCreate"
    witness.fails = True
    assert await said(questions, 1) == "FailedCreate"


async def test_a_thousand_jobs_that_do_not_start_are_not_asked_about_at_once(witness: Witness) -> None:
    questions = Questions(witness)
    for number in range(1_000):
        await said(questions, 1, replace(STUCK, uid=f"job-{number}"))
    assert 10 <= len(set(witness.asked)) == len(witness.asked) < 50


async def test_a_job_that_goes_on_is_not_asked_about(witness: Witness) -> None:
    questions = Questions(witness)
    for changes in ({"suspended": True}, {"deleting": True}, {"failed": ("x", "")}, {"succeeded": True}):
        assert await said(questions, 1, job(**{"created": NOON} | changes)) is None
    assert witness.asked == []
