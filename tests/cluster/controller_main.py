"""The controller as a test runs it: the real one, with a clock that the test drives and, if wanted, a sudden death.

Started as `python -m tests.cluster.controller_main CONFIG`, where CONFIG is a JSON file written by `controllers`.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from retl.apiserver.endpoints import EVENT
from retl.controller import ControllerSettings, LeaseSettings, RetryPolicy, RunnerSettings, run_controller
from retl.controller.apiserver.kube import Kube
from retl.controller.kinds import Key
from retl.resources.kinds import Manifest

T = TypeVar("T")


class DrivenClock:
    """The real time plus an offset in seconds that the test writes into a file."""

    patience = timedelta(milliseconds=50)

    def __init__(self, offset: Path) -> None:
        self._offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._offset.read_text()))


class Mortal(Kube):
    """A Kube whose process is killed right before or right after its n-th write; Events do not count.

    One write at a time: before the n-th, all others have happened.
    """

    def __init__(self, kube: Kube, number: int, after: bool) -> None:
        self.__dict__ = kube.__dict__
        self._left = number
        self._after = after
        self._turn = asyncio.Lock()

    async def create(self, kind: str, manifest: Manifest) -> Manifest:
        if kind == EVENT:
            return await super().create(kind, manifest)
        return await self._counted(lambda: super(Mortal, self).create(kind, manifest))

    async def put_status(self, key: Key, observed: Manifest, status: Manifest) -> Manifest:
        return await self._counted(lambda: super(Mortal, self).put_status(key, observed, status))

    async def delete(self, key: Key, uid: str, propagation: str = "Background") -> None:
        return await self._counted(lambda: super(Mortal, self).delete(key, uid, propagation))

    async def _counted(self, write: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            self._left -= 1
            mine = self._left == 0
            if mine and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await write()
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer


def main(config: dict[str, Any]) -> None:
    settings = ControllerSettings(
        runner=RunnerSettings(image="runner:test", state_url=config["state_url"], command=tuple(config["command"])),
        namespaces=tuple(config["namespaces"]),
        kubeconfig=Path(config["kubeconfig"]),
        metrics_port=config["metrics_port"],
        health_port=config["health_port"],
        lease=LeaseSettings("retl-system", config["lease"]) if config["lease"] else None,
        state_token_file=Path(config["state_token"]) if config["state_token"] else None,
        retry=RetryPolicy(first=timedelta(seconds=config["retry_seconds"])),
    )
    death = config["dies"]
    wrap = (lambda kube: Mortal(kube, death["write"], death["after"])) if death else None
    asyncio.run(run_controller(settings, clock=DrivenClock(Path(config["clock"])), wrap=wrap))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main(json.loads(Path(sys.argv[1]).read_text()))
