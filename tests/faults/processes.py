"""Controllers as processes: started, killed at any write, told to stop, started again; each with a clock of its own."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from kubernetes.aio.client import Configuration

from retl.apiserver.endpoints import LEASE
from retl.apiserver.transport import Call
from retl.controller.apiserver.watch import WATCHED_BY_KOPF
from retl.controller.cache import Cache
from retl.controller.settings import ControllerSettings, LeaseSettings, RunnerSettings
from retl.controller.shell import Controller
from retl.errors import RetlError
from tests.faults.faults import CALM, Faults
from tests.faults.server import ApiServer, Refusal
from tests.faults.transport import Died, SimKube, Watch

if TYPE_CHECKING:
    from tests.faults.simulation import Simulation

RUNNER = RunnerSettings(image="runner", state_url="http://127.0.0.1:1")
SETTINGS = ControllerSettings(runner=RUNNER, metrics_port=0, health_port=0, workers=4)


class SimClock:
    """What one machine believes the time to be."""

    patience = timedelta(seconds=30)

    def __init__(self, true: Callable[[], datetime]) -> None:
        self._true = true
        self.offset = timedelta()

    def now(self) -> datetime:
        return self._true() + self.offset


class Trouble:
    """What one process suffers from, drawn from its own random numbers."""

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self.rng = rng

    def happens(self, name: str) -> bool:
        """Whether it happens now."""
        chance: float = getattr(self.faults, name)
        return chance > 0 and self.rng.random() < chance

    def delays(self) -> tuple[float, float]:
        """Seconds until a request has its effect, and from there until its answer is heard."""
        there, back = self.rng.uniform(0.001, 0.02), self.rng.uniform(0.001, 0.02)
        if self.happens("slow"):
            there += self.rng.uniform(0.5, 10)
        if self.happens("unanswered"):
            return self.rng.choice((there, self.rng.uniform(1, 40))), 60.0
        return there, back

    def watch_delay(self) -> float:
        """Seconds that events are on their way; those of one kind stay in their order."""
        return self.rng.uniform(20, 400) if self.happens("lag") else self.rng.uniform(0.001, 0.1)


class Process:
    """One replica of the controller; it is started again whenever it ends, as Kubernetes would."""

    def __init__(self, simulation: "Simulation", number: int, lease: LeaseSettings | None) -> None:
        self.name = f"controller-{number}"
        self.server: ApiServer = simulation.server
        self.clock = SimClock(simulation.now)
        self.trouble = Trouble(simulation.plan.faults, simulation.random(self.name))
        self.lives = 0
        self.controller: Controller | None = None
        self._simulation = simulation
        self._lease = lease
        self._alive = False
        self._told_to_stop = asyncio.Event()

    @property
    def identity(self) -> str:
        """Of this life, in the Lease."""
        return f"{self.name}-{self.lives}"

    async def run(self) -> None:
        """Live, die, and live again; until cancelled."""
        while True:
            await self._live()
            calm = self.trouble.faults == CALM
            await asyncio.sleep(1 if calm else self.trouble.rng.choice((0.5, 2, 20, 120, 900)))

    def calm_down(self) -> None:
        """From now on nothing goes wrong."""
        self.trouble.faults = CALM
        self.clock.offset = timedelta()

    def die(self, why: str) -> None:
        """Be killed: all memory is lost, nothing runs any further; what is on its way is on its way."""
        if self._alive:
            self._simulation.note(self.name, f"killed {why}")
            self._alive = False
            self._main.cancel()

    def stop(self) -> None:
        """Be told to end (SIGTERM)."""
        self._simulation.note(self.name, "told to stop")
        self._told_to_stop.set()

    def must_live(self) -> None:
        """Raises Died in what is left of a process that was killed."""
        if not self._alive:
            raise Died

    def asks(self, call: Call) -> None:
        """A request is about to be sent."""
        self.must_live()
        if call.writes and call.kind != LEASE and self._lease:
            self._simulation.judge.writes_as_leader(self.identity, str(call))

    async def watch(self, cache: Cache) -> None:
        """In the place of kopf: feeds the cache until the process is told to end."""
        feeds = [asyncio.create_task(self._feed(cache, kind)) for kind in WATCHED_BY_KOPF]
        try:
            await self._told_to_stop.wait()
        finally:
            for one in feeds:
                one.cancel()

    async def _live(self) -> None:
        self.lives += 1
        self._simulation.note(self.name, f"starts, life {self.lives}")
        self._alive = True
        self._told_to_stop = asyncio.Event()
        settings = replace(SETTINGS, lease=replace(self._lease, identity=self.identity) if self._lease else None)
        kube = SimKube(self, settings.request_timeout)
        self.controller = Controller(settings, kube, self.clock, random.Random(self.trouble.rng.random()))
        # `watch_of` below gets it back.
        self._main = asyncio.create_task(self.controller.run(cast(Configuration, self)))
        try:
            await self._main
            self._simulation.note(self.name, "ended")
        except (Died, RetlError) as error:
            self._simulation.note(self.name, f"ended: {type(error).__name__} {error}")
        except asyncio.CancelledError:
            if self._alive:
                raise  # the simulation is over
        except Exception as error:
            self._simulation.judge.broke(f"{self.name} ended by itself: {type(error).__name__} {error}")
            raise
        finally:
            self._alive = False

    async def _feed(self, cache: Cache, kind: str) -> None:
        """LIST, then WATCH; after a break it goes on, or lists again and never tells what was deleted meanwhile."""
        version: int | None = None
        while True:
            await asyncio.sleep(self.trouble.watch_delay())
            if version is None:
                version = self.server.version
                for manifest in self.server.all(kind):
                    cache.put(kind, manifest)
            try:
                told = self.server.since(kind, version)
            except Refusal:
                version = None
                continue
            watch = Watch(self.server, kind, "", told)
            version = await self._follow(cache, kind, watch, version)
            if self.trouble.rng.random() < 0.5:
                version = None

    async def _follow(self, cache: Cache, kind: str, watch: Watch, version: int) -> int:
        """Until the watch breaks; the version up to which everything was told."""
        try:
            while not self.trouble.happens("cut"):
                changes = await watch.wait(300)
                await asyncio.sleep(self.trouble.watch_delay())
                for change in changes:
                    version = change.version
                    if change.type == "DELETED":
                        cache.remove(kind, change.manifest)
                    else:
                        cache.put(kind, change.manifest)
        finally:
            watch.close()
        return version


async def watch_of(cache: Cache, process: Any, *_: Any) -> None:
    """Takes the place of the module's `watch`, which would start kopf."""
    await process.watch(cache)
