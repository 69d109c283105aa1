"""Which pods of a sync still work although nothing asks them to."""

from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver.endpoints import JOB, POD
from retl.controller.apiserver.kube import Kube
from retl.controller.cache import Cache
from retl.controller.clock import SystemClock
from retl.controller.kinds import Key
from retl.controller.runs.gather import _leftovers
from retl.controller.runs.questions import Questions
from retl.controller.world import Secrets, World
from retl.resources.kinds import RUN
from retl.resources.marks import RUN_LABEL
from tests.unit.controller.views import NOON, sync_manifest

RUNNING = {"containerStatuses": [{"state": {"running": {"startedAt": NOON.isoformat()}}}]}
ENDED = {"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}
SYNC = sync_manifest() | {"status": {"lastRun": {"name": "before", "phase": "Cancelled"}}}


def child(name: str, run: str, job: str = "", **status: Any) -> dict[str, Any]:
    labels = {RUN_LABEL: run} | ({"batch.kubernetes.io/job-name": job} if job else {})
    metadata = {"name": name, "namespace": "growth", "uid": f"{name}-uid", "resourceVersion": "1", "labels": labels}
    return {"metadata": metadata | {"creationTimestamp": NOON.isoformat()}, "status": status}


@pytest.mark.parametrize(
    ("jobs", "pod", "gone", "left"),
    [
        pytest.param(["now-1"], child("p", "now", "now-1", **RUNNING), False, False, id="of a living Job of its own"),
        pytest.param([], child("p", "now", "now-1", **RUNNING), False, True, id="its Job was deleted"),
        pytest.param([], child("p", "now", "now-1", **ENDED), False, False, id="it has ended"),
        pytest.param([], child("p", "now", "now-1", **RUNNING), True, False, id="it is gone"),
        pytest.param(["before-1"], child("p", "before", "before-1", **RUNNING), False, True, id="of the run before"),
        pytest.param([], child("p", "another", "another-1", **RUNNING), False, False, id="of another sync's run"),
    ],
)
async def test_pods_that_outlive_what_they_worked_for(
    jobs: list[str], pod: dict[str, Any], gone: bool, left: bool
) -> None:
    cache = Cache(lambda *_: None)
    for job in jobs:
        cache.put(JOB, child(job, job.rpartition("-")[0]))
    cache.put(POD, pod)
    if gone:
        cache.remove(POD, pod)
    kube = Kube(ApiClient(), timedelta(seconds=1))
    world = World(cache, kube, Secrets(kube, SystemClock()), Questions(kube))
    assert bool(_leftovers(world, Key(RUN, "growth", "now"), SYNC)) == left
    await kube.close()
