"""One seed, from the first manifest to rest: trouble for a while, then none, then nothing left to do."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from unittest.mock import patch

from retl.apiserver.endpoints import LEASE
from retl.controller import shell
from retl.resources.kinds import RUN, SYNC
from tests.faults.judge import Judge
from tests.faults.loop import Stuck, simulate
from tests.faults.nodes import Nodes
from tests.faults.people import People
from tests.faults.plan import DOOMED, Plan, plan_of
from tests.faults.processes import Process, watch_of
from tests.faults.server import ApiServer, Change

HEALTHY = 1200.0
"""Seconds without faults in which schedules still tick."""
COMING_TO_REST = 7200.0
"""Longest time until everything is at rest once there are no more ticks."""
REST = 3600.0
"""Seconds in which nothing is written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed.

    Attributes:
        violations: what should never happen and did; none in a correct program.
        trace: everything that happened, a line each.
    """

    seed: int
    violations: tuple[str, ...]
    trace: tuple[str, ...]


def run(seed: int) -> Outcome:
    """Simulate one seed."""
    with patch.object(shell, "watch", watch_of), _unexpected_errors() as errors:
        simulations: list[Simulation] = []
        try:
            simulate(_start(plan_of(seed), simulations))
        except Stuck as stuck:
            simulations[0].judge.broke(str(stuck))
        simulation = simulations[0]
    violations = (*simulation.judge.violations, *(f"unexpected: {error}" for error in errors))
    return Outcome(seed, violations, tuple(simulation.lines()))


async def _start(plan: Plan, started: list["Simulation"]) -> None:
    started.append(Simulation(plan))
    await started[0].run()


class Simulation:
    """The parts of one simulation."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._loop = asyncio.get_running_loop()
        self._trace: list[tuple[float, str, str]] = []
        self.server = ApiServer(self.now, self.random("server"))
        self.judge = Judge(self.now, self.server.find, lambda line: self.note("judge", line))
        self.server.observers += [self._note_change, self.judge.see]
        self.nodes = Nodes(self.server, self.random("nodes"), self.judge.started, self.judge.ended)
        self.people = People(self.server, plan, self.random("people"), self._loop.call_later)
        self._processes = [Process(self, number, plan.lease) for number in range(plan.controllers)]

    def now(self) -> datetime:
        """The true time."""
        return self.plan.start + timedelta(seconds=self._loop.time())

    def random(self, of: str) -> random.Random:
        """Random numbers of one part: what it draws does not depend on what the others do."""
        return random.Random(f"{of} {self.plan.seed}")

    def note(self, who: str, what: str) -> None:
        """One more line of the trace."""
        self._trace.append((self._loop.time(), who, what))

    def lines(self) -> Iterator[str]:
        """The trace, as text."""
        for seconds, who, what in self._trace:
            yield f"{self.plan.start + timedelta(seconds=seconds):%F %T.%f} {who}: {what}"

    async def run(self) -> None:
        """Trouble, recovery, rest."""
        lives = [asyncio.create_task(process.run()) for process in self._processes]
        self.people.begin()
        for deed in self.plan.deeds:
            self._loop.call_later(deed.at, self._do, deed.what)
        hitches = [asyncio.create_task(self._hitches(process)) for process in self._processes]
        await asyncio.sleep(self.plan.troubled)
        for hitch in hitches:
            hitch.cancel()
        self._calm_down()
        await asyncio.sleep(HEALTHY)
        self.note("plan", "no more ticks")
        paused_at = self.now()
        self.people.pause_everything()
        await self._come_to_rest()
        self._judge_rest(paused_at)
        await self._stay_at_rest()
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, *hitches, return_exceptions=True)

    def _do(self, what: str) -> None:
        self.note("person", what)
        self.people.do(what)

    async def _hitches(self, process: Process) -> None:
        """What happens to a process by itself, minute by minute."""
        trouble = process.trouble
        while True:
            await asyncio.sleep(60)
            wrong = process.clock.offset != timedelta()
            if trouble.rng.random() < 0.1 if wrong else trouble.happens("jump"):
                jump = 0 if wrong else trouble.rng.choice((-3600, -90, -20, 20, 90, 3600))
                process.clock.offset = timedelta(seconds=jump)
                self.note(process.name, f"its clock is off by {jump} s")
            if trouble.happens("crash") and trouble.rng.random() < 0.2:
                process.stop()
            if trouble.happens("cut") and trouble.rng.random() < 0.2:
                self.note("server", "forgets the past")
                self.server.compact()

    def _calm_down(self) -> None:
        self.note("plan", "no more faults")
        for process in self._processes:
            process.calm_down()
        self.nodes.calm_down()
        self.people.put_in_order()

    async def _come_to_rest(self) -> None:
        quiet, writes = 0.0, self.judge.writes
        for _ in range(int(COMING_TO_REST / 60)):
            await asyncio.sleep(60)
            self.people.look_at_plans()
            quiet = quiet + 60 if writes == self.judge.writes else 0.0
            writes = self.judge.writes
            if quiet >= 600:
                return

    def _judge_rest(self, paused_at: datetime) -> None:
        syncs = [one for one in self.server.all(SYNC) if one["metadata"]["namespace"] != DOOMED]
        runs = [one for one in self.server.all(RUN) if one["metadata"]["namespace"] != DOOMED]
        self.judge.at_rest(syncs, runs, paused_at)

    async def _stay_at_rest(self) -> None:
        writes = self.judge.writes
        await asyncio.sleep(REST)
        for process in self._processes:
            controller = process.controller
            if controller and controller.leading.is_set() and len(controller.queue):
                self.judge.violations.append(f"{process.name} has {len(controller.queue)} keys in its queue")
        if self.judge.writes != writes:
            self.judge.violations.append(f"{self.judge.writes - writes} writes in an hour in which nothing happened")

    def _note_change(self, change: Change) -> None:
        if change.key.kind == LEASE and change.before:
            holders = [one["spec"].get("holderIdentity") for one in (change.before, change.manifest)]
            if holders[0] == holders[1]:
                return  # renewals are most of what happens
        what = {"ADDED": "creates", "DELETED": "deletes"}.get(change.type, "changes")
        self.note(change.by, f"{what} {change.key} {_gist(change)}".rstrip())


def _gist(change: Change) -> str:
    """What a reader of the trace wants to know of a change."""
    status = change.manifest.get("status") or {}
    parts = [f"v{change.version}"]
    if "phase" in status:
        parts.append(str(status["phase"]))
    if "attempt" in status:
        parts.append(f"attempt {status['attempt']}")
    if "activeRun" in status:
        parts.append(f"held by {status['activeRun']['name']}")
    if "lastTick" in status:
        parts.append(f"last tick {status['lastTick']}")
    parts += [f"{c['type']}={c['status']} {c.get('reason', '')}" for c in status.get("conditions") or []]
    if "deletionTimestamp" in change.manifest["metadata"]:
        parts.append("being deleted")
    return ", ".join(parts)


class _Listener(logging.Handler):
    """Hears of exceptions that the controller did not expect."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._hear(f"{record.getMessage()} {type(error).__name__}: {error}")


@contextmanager
def _unexpected_errors() -> Iterator[list[str]]:
    """What is logged as an error, and nothing of what is logged below that."""
    heard: list[str] = []
    logger, listener = logging.getLogger("retl"), _Listener(heard.append)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate
