"""What is concluded from an answer that was on its way while a watch told something newer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from retl.controller.apiserver.kube import Kube
from retl.controller.cache import Cache
from retl.controller.clock import SystemClock
from retl.controller.kinds import Key
from retl.controller.runs.questions import Questions
from retl.controller.world import Secrets, World
from retl.resources.kinds import RUN, Manifest
from tests.unit.controller.views import run_manifest

RUN_KEY = Key(RUN, "growth", "accounts-1")


class Absent(Kube):
    """An API server that has no such object; something else happens before its answer is there."""

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        super().__init__(ApiClient(), timedelta(seconds=1))
        self._meanwhile = meanwhile

    async def get(self, key: Key) -> Manifest | None:
        self._meanwhile()
        return None


@pytest.mark.parametrize(
    ("before", "meanwhile", "known"),
    [
        pytest.param("1", None, False, id="what the cache had before is gone"),
        pytest.param(None, "2", True, id="made while the answer was on its way"),
        pytest.param("1", "2", True, id="changed while the answer was on its way"),
    ],
)
async def test_an_old_answer_buries_nothing_new(before: str | None, meanwhile: str | None, known: bool) -> None:
    cache = Cache(lambda *_: None)

    def tell(version: str | None) -> None:
        if version:
            run = run_manifest("accounts-1")
            cache.put(RUN, run | {"metadata": run["metadata"] | {"resourceVersion": version}})

    kube = Absent(lambda: tell(meanwhile))
    tell(before)
    world = World(cache, kube, Secrets(kube, SystemClock()), Questions(kube))
    found = await world.fresh(RUN_KEY)
    await kube.close()
    assert (found is not None, cache.was_deleted(RUN_KEY)) == (known, not known)
