"""Why nothing of a Job has started, as the API server knows it: asked seldom, and remembered in between.

A run is looked at whenever something about it changes. If each look asked, a cluster without room for a thousand pods
would be asked a thousand times, again and again, by the one who only wants to say that there is no room.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from retl.apiserver.endpoints import EVENT
from retl.controller.apiserver.budget import Budget
from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.checks import secret_problem, secrets_of
from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts
from retl.controller.runs.starting import explanation, next_question, present, question_due
from retl.runspec import RunSpec

logger = logging.getLogger(__name__)

_RATE = (2.0, 10)
"""Questions a second, and at once: for each the API server goes through all Events of a namespace."""
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found out about a pod, or a Job without one, and when to ask again."""

    problem: Problem | None
    again: datetime


class Questions:
    """Asks the API server why Jobs do not start."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._budget = Budget(*_RATE)
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    async def obstacle(
        self,
        namespace: str,
        job: JobFacts,
        pods: tuple[PodFacts, ...],
        spec: RunSpec | Problem | None,
        now: datetime,
    ) -> Problem | None:
        """Why nothing of the Job has started; None if that needs no question, or the answer is not known."""
        due = question_due(job, pods)
        if job.ended or job.deleting or job.suspended or due is None or now < due:
            return None
        if isinstance(spec, Problem) and spec.reason == "SecretNotFound":
            return spec
        pod = present(pods)
        uid = pod.uid if pod else job.uid
        known = self._answers.get(uid)
        if known and now < known.again:
            return known.problem
        if not self._budget.spare():
            return known.problem if known else None
        try:
            problem = await self._ask(namespace, uid, spec)
        except KubeError as error:
            logger.warning("Job %s/%s: cannot ask why nothing of it has started: %s", namespace, job.name, error)
            return known.problem if known else None
        self._remember(uid, _Answer(problem, next_question(due, now)))
        return problem

    async def _ask(self, namespace: str, uid: str, spec: RunSpec | Problem | None) -> Problem | None:
        """Its Secrets are asked for, then the Events on its pod, or on itself."""
        if isinstance(spec, RunSpec):
            missing = [name for name in secrets_of(spec) if not await self._kube.secret_exists(namespace, name)]
            if missing:
                return secret_problem(missing, namespace, spec)
        said = []
        async for page, _ in self._kube.list(EVENT, namespace, fields=f"regarding.uid={uid}"):
            said += [event for event in page if (event.get("regarding") or {}).get("uid") == uid]
        return explanation(said)

    def _remember(self, uid: str, answer: _Answer) -> None:
        self._answers[uid] = answer
        self._answers.move_to_end(uid)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
