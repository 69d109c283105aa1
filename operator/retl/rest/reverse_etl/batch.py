"""Runs of several syncs at once: each stands for itself, so that one that cannot run stops no other."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from retl.rest.problems import KEY_REUSED, Problem
from retl.rest.reverse_etl import answers, translate
from retl.rest.service.interface import Runs
from retl.rest.service.values import RunOrder, RunRecord, Write

AT_ONCE = 4
"""Requests to the API server under way for one of ours."""


async def start(runs: Runs, syncs: Sequence[UUID], order: RunOrder, how: Write) -> tuple[answers.RunsStarted, bool]:
    """Start a run of each sync, once.

    Returns:
        The runs in that order, and why there is none of the others; whether a request before this one made them.
    Raises:
        Problem: 422 there is none of any, or another request came with the key.
    """
    turn, each = asyncio.Semaphore(AT_ONCE), list(dict.fromkeys(syncs))

    async def one(sync: UUID) -> RunRecord | Problem:
        async with turn:
            try:
                return await runs.start(sync, order, how)
            except Problem as problem:
                return problem

    ends = await asyncio.gather(*map(one, each))
    errors = [
        translate.not_started(sync, end) for sync, end in zip(each, ends, strict=True) if isinstance(end, Problem)
    ]
    if reused := next((end for end in ends if isinstance(end, Problem) and end.slug == KEY_REUSED), None):
        raise reused  # for all of them
    if len(errors) == len(each):
        detail = "no sync was run; errors says why, for each"
        raise Problem(422, "no-run-started", detail, further={"errors": errors})
    started = [end for end in ends if isinstance(end, RunRecord)]
    answer: answers.RunsStarted = {"data": [translate.run_started(run) for run in started]}
    if errors:
        answer["errors"] = errors
    return answer, all(run.replayed for run in started)
