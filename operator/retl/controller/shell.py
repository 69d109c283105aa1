"""The controller as a process: start, run until told to stop, end cleanly."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from kubernetes.aio.client import ApiClient, Configuration

from retl.apiserver import access
from retl.apiserver.endpoints import LEASE
from retl.controller.apiserver.informer import FOLLOWED, Informer, fill
from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.apiserver.lease import Lease
from retl.controller.apiserver.watch import WATCHED_BY_KOPF, watch
from retl.controller.cache import Cache
from retl.controller.clock import Alarm, Clock, SystemClock
from retl.controller.decision import Event
from retl.controller.garbage import spare
from retl.controller.kinds import RESOURCES, Key
from retl.controller.queue import Queue
from retl.controller.reconcile import Reconciler
from retl.controller.routing import concerned, only_to_be_noted
from retl.controller.runs.questions import Questions
from retl.controller.settings import ControllerSettings
from retl.controller.state_reads import StateReads
from retl.controller.syncs.arming import first_alarm
from retl.controller.telemetry.events import Recorder
from retl.controller.telemetry.health import answering
from retl.controller.telemetry.metrics import Metrics
from retl.controller.telemetry.scrape import serving
from retl.controller.telemetry.watchdog import Watchdog
from retl.controller.world import Secrets, World
from retl.errors import InvalidInput, RetlError
from retl.resources.kinds import SYNC, Manifest
from retl.resources.run import TERMINAL

logger = logging.getLogger(__name__)

_MENDING_INTERVAL = timedelta(minutes=5)
_FIRST_MENDING = timedelta(seconds=30)
_CLOCK_INTERVAL = timedelta(seconds=5)
_PATIENCE = timedelta(minutes=4)
"""How long a controller that starts waits for an API server: one that ends at once is restarted less and less often."""
_LAST_STEPS = timedelta(seconds=1)
"""How long what is in hand may take to end when the process is told to."""
_FAREWELL = timedelta(seconds=10)
"""How long the parts may take to end once the first of them has."""


class Controller:
    """The parts of one controller, wired together."""

    def __init__(
        self, settings: ControllerSettings, kube: Kube, clock: Clock, chance: random.Random | None = None
    ) -> None:
        """Args:
        chance: what every pause is jittered by; one with a seed makes a simulated run repeatable.
        """
        chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
        self.settings = settings
        self.kube = kube
        self.metrics = Metrics(settings.metrics_max_syncs, clock.now)
        self.queue = Queue(self.metrics.waited)
        self.filled = asyncio.Event()
        self._clock = clock
        self.alarm = Alarm(clock, self.queue.add)
        self.cache = Cache(self._changed)
        token_file = settings.state_token_file
        runner = settings.runner
        self.state = StateReads(runner.state_url, token_file, ca=runner.state_ca) if token_file else None
        self.world = World(self.cache, kube, Secrets(kube, clock), Questions(kube), self.state)
        self.events = Recorder(kube, clock, settings.identity, self.metrics.event, self.queue.busy)
        self.reconciler = Reconciler(
            self.world, clock, self.queue, self.alarm, self.metrics, self.events, settings, chance
        )
        places = settings.namespaces or (None,)
        self.informers = [Informer(self.cache, kube, kind, place, chance) for place in places for kind in FOLLOWED]
        self.lease = Lease(kube, settings.lease) if settings.lease else None
        self.leading = asyncio.Event()
        self.watchdog = Watchdog(self.informers, self.queue, self.alarm, self.leading.is_set)
        self._connect()

    def _connect(self) -> None:
        """Let the parts hear of each other."""
        self.kube.observer = self.metrics
        readings = self.metrics.readings
        readings.queue_depth, readings.cached_objects = self.queue.__len__, self.cache.__len__
        readings.leading, readings.watch_ages = self.leading.is_set, self.watchdog.ages
        readings.clock_skew = lambda: (self.kube.skew() or timedelta()).total_seconds()
        if lease := self.lease:
            self.kube.fence = lease.fence
            readings.lease_transitions = lambda: lease.transitions

    async def run(self, configuration: Configuration) -> None:
        """Fill the cache, then watch and work until the process is told to end."""
        async with answering(self.settings.health_port, self.watchdog.doubts, self._obstacles):
            await self.fill()
            crew = self.crew()
            # kopf comes last: at its end it waits for all tasks that came after it.
            crew.append(asyncio.create_task(watch(self.cache, configuration, self.settings)))
            logger.info("the controller is at work: %d objects", len(self.cache))
            try:
                await asyncio.wait(crew, return_when=asyncio.FIRST_COMPLETED)
                await self._finish(crew)
            finally:
                await _dismiss(crew)
                await self._leave()
            _raise_what_broke(crew)

    async def _finish(self, crew: list[asyncio.Task[None]]) -> None:
        """Begin nothing new, and let what is in hand come to its end, for a moment; without the lease just stop."""
        self.queue.close()
        if self.leading.is_set() and not any(_broken(member) for member in crew):
            await asyncio.wait(crew[: self.settings.workers], timeout=_LAST_STEPS.total_seconds())

    async def _leave(self) -> None:
        if self.leading.is_set():
            await self.events.flush()
        if self.lease:
            await self.lease.release()

    async def fill(self) -> None:
        """Make the cache agree with the API server, once it answers (raises RetlError, with what to do about it)."""
        loop, told = asyncio.get_running_loop(), False
        given_up = loop.time() + _PATIENCE.total_seconds()
        while True:
            try:
                for informer in self.informers:
                    await informer.fill()
                await self._compare()
                break
            except KubeError as error:
                if not error.passing or loop.time() >= given_up:
                    raise _cannot_start(error) from error
                if not told:
                    logger.warning("cannot start yet, and goes on trying: %s", error)
                told = True
            await asyncio.sleep(_CLOCK_INTERVAL.total_seconds())
        self._arm()
        self.filled.set()

    def _arm(self) -> None:
        """Set the alarm for every tick that the first LIST tells of: none waits until all syncs were looked at."""
        now, armed = self._clock.now(), 0
        for key in self.cache.keys(SYNC):
            sync = self.cache.get(key)
            if sync and (at := first_alarm(sync, now)):
                self.alarm.set(key, at)
                armed += 1
        logger.info("%d schedules are armed", armed)

    def crew(self) -> list[asyncio.Task[None]]:
        """Everything that goes on at the same time, apart from kopf; the workers first."""
        hands = [self._work() for _ in range(self.settings.workers)]
        eyes = [informer.run() for informer in self.informers]
        return [
            asyncio.create_task(work)
            for work in (
                *hands,
                *eyes,
                self._lead(),
                self._report(),
                self.alarm.run(),
                self._mend(),
                self._mind_the_clock(),
                self._follow_progress(),
            )
        ]

    async def _lead(self) -> None:
        """Become the leader, and stay it."""
        if self.lease is None:
            self.leading.set()
            await asyncio.Event().wait()
            return
        await self.lease.acquire()
        self.leading.set()
        await self.lease.keep()

    async def _work(self) -> None:
        await self.leading.wait()
        await self.queue.work(self.reconciler.reconcile)

    async def _report(self) -> None:
        await self.leading.wait()
        await self.events.run()

    async def _follow_progress(self) -> None:
        await self.leading.wait()
        if self.state is None:
            await asyncio.Event().wait()
            return
        await self.world.progress.follow(self.state, self.cache, self.queue.add)

    async def _mend(self) -> None:
        """LIST now and then what kopf watches: it does not tell of what was deleted while its watch was interrupted."""
        pause = _FIRST_MENDING
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = _MENDING_INTERVAL
            await self._try_to_compare()

    async def _mind_the_clock(self) -> None:
        """While our clock is wrong, ask the API server again and again; once it is right, look at everything anew.

        What was set by a wrong clock to be looked at later may be hours away by the right one.
        """
        while True:
            await asyncio.sleep(_CLOCK_INTERVAL.total_seconds())
            if not self.world.skewed():
                continue
            self._say_that_the_clock_is_wrong()
            while self.world.skewed():
                await self._try_to_compare()
                await asyncio.sleep(_CLOCK_INTERVAL.total_seconds())
            logger.warning("this machine's clock is right again")
            for key in (key for kind in RESOURCES for key in self.cache.keys(kind)):
                manifest = self.cache.get(key)
                if manifest and manifest["status"].get("phase") not in TERMINAL:
                    self.queue.add(key)

    def _say_that_the_clock_is_wrong(self) -> None:
        skew = (self.kube.skew() or timedelta()).total_seconds()
        where = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
        note = f"the controller's clock is {where} the API server's; no tick fires until "
        note += "they agree to within 30 s: correct the clock of the node"
        logger.warning("%s", note)
        if self.lease and (held := self.lease.held):
            self.events.record(Key.of(LEASE, held), held, [Event("Warning", "ClockSkew", note)])

    async def _try_to_compare(self) -> None:
        try:
            await self._compare()
        except KubeError as error:
            logger.warning("cannot compare the cache with the API server: %s", error)

    async def _compare(self) -> None:
        for kind in WATCHED_BY_KOPF:
            for namespace in self.settings.namespaces or (None,):
                await fill(self.cache, self.kube, kind, namespace)

    def _changed(self, key: Key, before: Manifest | None, now: Manifest | None) -> None:
        self.metrics.changed(key, now)
        if now is None:
            self.alarm.forget(key)
        starting = not self.filled.is_set()
        for other in concerned(self.cache, key, before, now):
            self.queue.add(other, later=starting or only_to_be_noted(self.cache, other, key, before, now))

    def _obstacles(self) -> list[str]:
        return [] if self.filled.is_set() else ["the cache is not filled yet"]


async def run_controller(
    settings: ControllerSettings, *, clock: Clock | None = None, wrap: Callable[[Kube], Kube] | None = None
) -> None:
    """Run the controller until SIGTERM or SIGINT.

    Args:
        settings: everything it can be told.
        clock: what time it is; a test may drive it.
        wrap: makes another Kube of the Kube, for tests that let requests fail.
    Raises:
        RetlError: the API server cannot be reached or refuses, or the CustomResourceDefinitions are missing.
    """
    configuration = await access.load(settings.kubeconfig, settings.context)
    # A request for each worker and a few more, and the watches beside them.
    connections = settings.workers + 8 + len(FOLLOWED) * max(1, len(settings.namespaces))
    kube = Kube(ApiClient(configuration), settings.request_timeout, rate=settings.api_rate, connections=connections)
    controller = Controller(settings, wrap(kube) if wrap else kube, clock or SystemClock())
    logging.getLogger("kopf").setLevel(logging.WARNING)  # it has a line for every event
    sparing = asyncio.create_task(spare(controller.filled))
    try:
        with serving(settings.metrics_port, controller.metrics):
            await controller.run(configuration)
    finally:
        sparing.cancel()
        if controller.state:
            await controller.state.close()
        await kube.close()


async def _dismiss(crew: list[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait for their end."""
    for member in crew:
        member.cancel()
    await asyncio.wait(crew, timeout=_FAREWELL.total_seconds())


def _raise_what_broke(crew: list[asyncio.Task[None]]) -> None:
    for member in crew:
        if error := _broken(member):
            raise error


def _broken(member: asyncio.Task[None]) -> BaseException | None:
    return member.exception() if member.done() and not member.cancelled() else None


def _cannot_start(error: KubeError) -> RetlError:
    if error.status == HTTPStatus.NOT_FOUND:
        return InvalidInput(
            "the CustomResourceDefinitions of reverseetl.io are not installed; "
            f"apply the files in crds/ first (kubectl apply --server-side -f crds/): {error}"
        )
    if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return InvalidInput(
            f"the API server refuses this controller; check its ServiceAccount and ClusterRole: {error}"
        )
    return error
