"""A slot is not given on while a pod works that was left over by a run that is over."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from retl.controller.apiserver.kube import Kube
from retl.controller.cache import Cache
from retl.controller.clock import SystemClock
from retl.controller.connections.claims import confirmed
from retl.controller.kinds import Key
from retl.controller.runs.questions import Questions
from retl.controller.world import Secrets, World
from retl.resources.kinds import DESTINATION, RUN, Manifest
from tests.unit.controller.test_run_gather import ENDED, RUNNING, child
from tests.unit.controller.views import NOON, at, run_manifest

CRM = Key(DESTINATION, "growth", "crm")


class Cluster(Kube):
    """An API server that has these pods, and no runs but those that the cache has."""

    def __init__(self, pods: list[Manifest]) -> None:
        super().__init__(ApiClient(), timedelta(seconds=1))
        self._pods = pods

    async def get(self, key: Key) -> Manifest | None:
        return None

    async def list(
        self, kind: str, namespace: str | None = None, selector: str = "", *, fields: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        yield self._pods, "1"


def deleted(pod: Manifest, by: float) -> Manifest:
    """The pod, whose grace is over so many minutes after noon."""
    return pod | {"metadata": pod["metadata"] | {"deletionTimestamp": at(by).isoformat()}}


POD = child("p", "accounts-1", "accounts-1-1", **RUNNING)


@pytest.mark.parametrize(
    ("phase", "pods", "kept"),
    [
        pytest.param("Failed", [POD], True, id="its Job was deleted under it"),
        pytest.param("Succeeded", [child("p", "accounts-1", "accounts-1-1", **ENDED)], False, id="it has ended"),
        pytest.param("Failed", [deleted(POD, 0.5)], True, id="its pod has a moment yet"),
        pytest.param("Failed", [deleted(POD, -1)], False, id="its pod is on a node that nobody hears of"),
        pytest.param(None, [POD], True, id="it was deleted"),
        pytest.param(None, [], False, id="it was deleted, and its pod with it"),
    ],
)
async def test_a_slot_is_kept_for_as_long_as_a_pod_works(phase: str | None, pods: list[Manifest], kept: bool) -> None:
    cache, kube = Cache(lambda *_: None), Cluster(pods)
    run: dict[str, Any] = run_manifest("accounts-1")
    if phase:
        cache.put(RUN, run | {"status": {"phase": phase, "attempt": 1}})
    slot = {"run": "accounts-1", "uid": run["metadata"]["uid"], "since": NOON.isoformat()}
    crm = {"spec": {"maxConcurrentRuns": 1}, "status": {"slots": [slot]}}
    world = World(cache, kube, Secrets(kube, SystemClock()), Questions(kube))
    claims = await confirmed(world, CRM, crm, NOON)
    await kube.close()
    assert [claim.run for claim in claims if claim.under_way] == (["accounts-1"] if kept else [])
