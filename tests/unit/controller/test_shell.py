"""The controller's own tasks, as far as they need no API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import chain, repeat
from typing import cast

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from retl.controller import shell
from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.clock import SystemClock
from retl.controller.kinds import Key
from retl.controller.queue import Queue
from retl.controller.settings import ControllerSettings, RunnerSettings
from retl.errors import RetlError
from retl.resources.kinds import DESTINATION, RUN, SYNC, Manifest
from tests.faults.loop import simulate
from tests.unit.controller.views import connection_manifest, run_manifest, sync_manifest

SETTINGS = ControllerSettings(runner=RunnerSettings(image="runner:1", state_url="http://state"))


class Down(Kube):
    """An API server that refuses for a while."""

    statuses: Iterator[int]

    async def list(
        self, kind: str, namespace: str | None = None, selector: str = "", *, fields: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        if status := next(self.statuses):
            raise KubeError("refused", status=status)
        yield [], "1"


@pytest.mark.parametrize(
    ("statuses", "starts"),
    [((503, 429, 500), True), ((503, 403), False), ((503,) * 1_000, False)],
    ids=["an outage", "no rights", "for good"],
)
def test_a_controller_that_starts_during_an_outage_waits_for_its_end(
    statuses: Sequence[int], starts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> bool:
        kube = Down(cast(ApiClient, None), timedelta(seconds=1))
        kube.statuses = chain(statuses, repeat(0))
        controller = shell.Controller(SETTINGS, kube, SystemClock())
        with suppress(RetlError):
            await controller.fill()
        return controller.filled.is_set()

    assert simulate(main()) == starts
    assert caplog.text.count("cannot start yet") == 1


class Astray(Kube):
    """An API server that nobody reaches, and a clock that differs from its clock when it is asked the first times."""

    answers: Iterator[timedelta]

    def skew(self) -> timedelta:
        return next(self.answers)


@pytest.mark.parametrize(("ahead", "words"), [(3600, "is 3600 s ahead of the API"), (-60, "is 60 s behind the API")])
async def test_once_a_clock_is_right_again_everything_is_looked_at_that_it_may_have_put_off(
    ahead: int, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shell, "_CLOCK_INTERVAL", timedelta(milliseconds=10))
    kube = Astray(ApiClient(Configuration(host="http://127.0.0.1:1")), timedelta(seconds=1))
    kube.answers = chain(repeat(timedelta(seconds=ahead), 3), repeat(timedelta()))
    controller = shell.Controller(SETTINGS, kube, SystemClock())
    found = {SYNC: sync_manifest(), RUN: run_manifest(), DESTINATION: connection_manifest(DESTINATION, "crm")}
    for kind, manifest in found.items():
        controller.cache.put(kind, manifest)
    controller.queue = Queue()
    minding = asyncio.create_task(controller._mind_the_clock())
    try:
        async with asyncio.timeout(10):
            taken = {await controller.queue._take() for _ in found}
    finally:
        minding.cancel()
        await kube.close()
    assert taken == {Key.of(kind, manifest) for kind, manifest in found.items()}
    assert words in caplog.text
