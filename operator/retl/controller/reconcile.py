"""One reconcile: gather, decide, act; and what to do when that fails."""

import asyncio
import logging
import random
from datetime import timedelta

from retl.controller.act import Refused, act
from retl.controller.apiserver.kube import Conflict, KubeError
from retl.controller.clock import Alarm, Clock
from retl.controller.connections.decide import decide as decide_connection
from retl.controller.connections.gather import gather as gather_connection
from retl.controller.decision import Decision
from retl.controller.kinds import Key
from retl.controller.queue import Queue
from retl.controller.runs.decide import decide as decide_run
from retl.controller.runs.gather import gather as gather_run
from retl.controller.runs.view import Refusal
from retl.controller.settings import ControllerSettings
from retl.controller.syncs.decide import decide as decide_sync
from retl.controller.syncs.gather import gather as gather_sync
from retl.controller.telemetry.events import Recorder
from retl.controller.telemetry.metrics import Metrics
from retl.controller.world import World
from retl.resources.kinds import RUN, SYNC, Manifest
from retl.resources.run import TERMINAL, RunStatus

logger = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(milliseconds=500)
_LONGEST_PAUSE = timedelta(minutes=1)


class Reconciler:
    """Works on keys. Whatever fails is tried again after a pause that grows; nothing is given up."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        queue: Queue,
        alarm: Alarm,
        metrics: Metrics,
        events: Recorder,
        settings: ControllerSettings,
        chance: random.Random,
    ) -> None:
        self._world = world
        self._clock = clock
        self._queue = queue
        self._alarm = alarm
        self._metrics = metrics
        self._events = events
        self._settings = settings
        self._chance = chance
        self._failures: dict[Key, int] = {}
        self._refusals: dict[Key, Refusal] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one object a step forward; never raises but for cancellation."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self._step(key)
            self._failures.pop(key, None)
        except Conflict:
            await self._look_again(key)
        except KubeError as error:
            self._rest(key, error)
        except Exception as error:
            logger.exception("%s: this should not have happened", key)
            self._rest(key, error)
        finally:
            self._metrics.reconciles.labels(key.kind).observe(loop.time() - started)

    async def _step(self, key: Key) -> None:
        gathered = await self._decide(key)
        if gathered is None:
            self._refusals.pop(key, None)
            return
        decision, observed = gathered
        refused = False
        try:
            acted = await act(self._world, key, observed, decision, lambda: self._tell(key, observed, decision))
        except Refused as error:
            if key.kind == SYNC:
                raise
            self._refusals[key] = Refusal(str(error), self._clock.now(), error.final)
            acted = refused = True
        else:
            if decision.actions or key.kind != RUN:
                self._refusals.pop(key, None)
        if acted:
            self._queue.add(key, later=bool(decision.actions) and not refused)
        if decision.wake:
            self._alarm.set(key, decision.wake)

    async def _decide(self, key: Key) -> tuple[Decision, Manifest] | None:
        """The decision on an object, and the version of it that it is about; None when it is gone."""
        world, settings = self._world, self._settings
        if key.kind == SYNC:
            sync = await gather_sync(world, key)
            return sync and (decide_sync(sync[0], self._clock.now()), sync[1])
        if key.kind == RUN:
            run = await gather_run(world, key, self._clock.now(), self._refusals.get(key))
            if run and run[0].job:
                self._refusals.pop(key, None)
            return run and (decide_run(run[0], self._clock.now(), settings.retry, settings.runner), run[1])
        refusal = self._refusals.get(key)
        connection = await gather_connection(world, key, self._clock.now(), refusal.message if refusal else "")
        return connection and (decide_connection(connection[0], self._clock.now(), settings.runner), connection[1])

    def _tell(self, key: Key, observed: Manifest, decision: Decision) -> None:
        """Count, and say to people, what has just been written down."""
        self._metrics.decided(key, observed, decision)
        self._events.record(key, observed, decision.events)
        if isinstance(decision.status, RunStatus) and decision.status.phase in TERMINAL:
            self._refusals.pop(key, None)

    async def _look_again(self, key: Key) -> None:
        """Somebody wrote the object first: look at what they wrote."""
        try:
            await self._world.fresh(key)
        except KubeError as error:
            self._rest(key, error)
        else:
            self._queue.add(key)

    def _rest(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures - 1, 16)) * self._chance.uniform(0.8, 1.2)
        self._metrics.errors.labels(key.kind).inc()
        logger.warning("%s: %s; trying again in %.1f s", key, error, pause.total_seconds())
        self._alarm.set(key, self._clock.now() + pause)
