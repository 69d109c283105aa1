"""How far runs are, asked for all of them at once."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import pytest

from retl.controller import progress
from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.controller.progress import Progress
from retl.controller.state_reads import StateReads
from retl.resources.kinds import RUN, SYNC
from retl.resources.run import RunProgress
from tests.unit.controller.views import at, run_manifest, sync_manifest

THE_RUN = Key(RUN, "growth", "accounts-1")


class Answers(StateReads):
    """The state service's answers, one after the other, and then nothing new."""

    def __init__(self, *answers: dict[str, RunProgress]) -> None:
        super().__init__("http://127.0.0.1:1", Path("/nowhere"))
        self.answers = list(answers)
        self.asked: list[list[str]] = []
        self.done = asyncio.Event()

    async def progress(self, run_uids: Collection[str]) -> dict[str, RunProgress]:
        self.asked.append(list(run_uids))
        if not self.answers:
            self.done.set()
            return {}
        return self.answers.pop(0)


def rows(number: int) -> RunProgress:
    return RunProgress(step="deliver", rows=number, total=9, updated_at=at(number))


async def test_runs_that_got_on_are_looked_at_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", timedelta(milliseconds=1))
    cache, known, changed = Cache(lambda *_: None), Progress(), list[Key]()
    sync, run = sync_manifest(), run_manifest()
    run["metadata"]["resourceVersion"] = "2"
    cache.put(SYNC, sync | {"status": {"activeRun": {"name": "accounts-1"}}})
    cache.put(RUN, run | {"status": {"phase": "Running"}})
    state = Answers({}, {"run-uid": rows(1)}, {"run-uid": rows(1)}, {}, {"run-uid": rows(2)})
    following = asyncio.create_task(known.follow(state, cache, changed.append))
    await asyncio.wait_for(state.done.wait(), 10)
    assert changed == [THE_RUN, THE_RUN]
    assert known.of("run-uid") == rows(2)
    assert state.asked[0] == ["run-uid"]
    run["metadata"]["resourceVersion"] = "3"
    cache.put(RUN, run | {"status": {"phase": "Succeeded"}})
    for _ in range(2):
        state.done.clear()
        await asyncio.wait_for(state.done.wait(), 10)
    following.cancel()
    assert state.asked[-1] == []
    assert known.of("run-uid") is None
