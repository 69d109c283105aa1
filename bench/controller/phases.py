"""What is measured, one phase after the other, on one control plane that is full of syncs and CronJobs."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.controller import objects
from bench.controller.api import MERGE_PATCH, Api, Arrivals, in_flight
from bench.controller.objects import CRONJOBS, SYNCS
from bench.controller.pods import Ending
from bench.controller.process import ControllerProcess, resident_mb
from retl.resources.sync import Schedule
from retl.schedule import delay
from tests.cluster.controlplane import ControlPlane

ACCOUNT = "system:serviceaccount:retl-system:retl-controller"
SETTLED = timedelta(seconds=5)
"""Between the last change of a schedule and the minute it names."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything.

    Attributes:
        syncs: as many CronJobs are made beside them.
        counted: syncs whose runs go on to their end, for the requests of a run.
        together: due in one minute.
        rate: ticks a second, sustained for `seconds`.
    """

    syncs: int
    counted: int
    together: int
    rate: int
    seconds: int

    @property
    def spread(self) -> int:
        return self.rate * self.seconds


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process.

    Attributes:
        armed: until every schedule was armed.
        rested: until every object had been looked at, and what had to be written was.
        peak_mb, rest_mb: resident memory at its peak, and at rest.
        cpu: seconds of CPU until then.
    """

    armed: float
    rested: float
    peak_mb: float
    rest_mb: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Latency:
    """From the moment that a run was due until its Job was there.

    Attributes:
        due: how many were due.
        seconds: of those whose Job came, sorted.
        cpu: seconds of CPU that the controller used meanwhile; 0 if unknown.
    """

    due: int
    seconds: list[float]
    cpu: float

    def quantile(self, share: float) -> float:
        """Seconds within which this share of all Jobs was there; infinite if they were not."""
        last = max(0, int(share * self.due + 0.999999) - 1)
        return self.seconds[last] if last < len(self.seconds) else float("inf")


class Bench:
    """One control plane, what is on it, and a connection to it."""

    def __init__(self, plane: ControlPlane, api: Api, account: Path, directory: Path, sizes: Sizes) -> None:
        self.plane = plane
        self.api = api
        self.sizes = sizes
        self.controller = ControllerProcess(account, directory / "controller.log")

    async def fill(self) -> tuple[float, float]:
        """Namespaces, connections, syncs and CronJobs, at rest; seconds for the syncs and for the CronJobs."""
        for number in range(objects.NAMESPACES):
            await self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": objects.namespace(number)}})
        for path, manifest in objects.connections():
            await self.api.request("POST", path, manifest)
        now, numbers = datetime.now(UTC), range(self.sizes.syncs)
        resting = [objects.resting(number, now) for number in numbers]
        post = self.api.request
        return (
            await in_flight(post("POST", objects.path(SYNCS, n), objects.sync(n, resting[n])) for n in numbers),
            await in_flight(post("POST", objects.path(CRONJOBS, n), objects.cronjob(n, resting[n])) for n in numbers),
        )

    async def plain_list(self) -> float:
        """Seconds for a LIST of all syncs in pages."""
        started = time.perf_counter()
        listed = await self.api.list(objects.path(SYNCS))
        assert len(listed) == self.sizes.syncs
        return time.perf_counter() - started

    async def start(self) -> Start:
        """Start the controller, and leave it running once it is at rest."""
        patience = 60 + self.sizes.syncs / 20
        self.controller.start()
        armed = await asyncio.to_thread(self.controller.armed, self.sizes.syncs, patience)
        rested = await asyncio.to_thread(self.controller.at_rest, patience)
        cpu = self.controller.cpu_seconds()
        if behind := await self._unseen():
            raise RuntimeError(f"the controller is at rest, and {behind} syncs have no status")
        rest, peak = self.controller.resident_mb()
        return Start(armed, rested, peak, rest, cpu)

    async def _unseen(self) -> int:
        return sum("observedGeneration" not in s.get("status", {}) for s in await self.api.list(objects.path(SYNCS)))

    async def requests_of_a_run(self) -> tuple[int, Counter[str]]:
        """Runs from tick to end, and the controller's requests meanwhile, by verb and resource."""
        numbers = range(self.sizes.counted)
        ending = Ending(self.api)
        async with self.api.watching("/api/v1/pods", ending.note):
            due = await self._schedule(SYNCS, numbers, jitter=0)
            before = sum(1 for _ in self.plane.audit_events())
            await asyncio.sleep(due - time.time())
            limit = time.time() + 120
            while await self._ended(numbers) < len(numbers):
                if time.time() > limit:
                    raise RuntimeError("the runs whose requests are counted do not end")
                await asyncio.sleep(1)
            await asyncio.sleep(3)
        return len(numbers), self._requests(before)

    async def together(self, collection: str) -> Latency:
        """Many due in one minute."""
        first = self.sizes.counted
        return await self._ticks(collection, range(first, first + self.sizes.together), jitter=0, patience=90)

    async def sustained(self) -> Latency:
        """So many a second, spread by their jitter."""
        first = self.sizes.counted + self.sizes.together
        return await self._ticks(SYNCS, range(first, first + self.sizes.spread), jitter=self.sizes.seconds, patience=60)

    def cronjob_controller_mb(self) -> tuple[float, float]:
        """Memory of kube-controller-manager, now and at its peak; it has the Job controller in it as well."""
        return resident_mb(self.plane.pids["kube-controller-manager"])

    async def _ticks(self, collection: str, numbers: range, *, jitter: int, patience: float) -> Latency:
        arrivals = Arrivals()
        async with self.api.watching("/apis/batch/v1/jobs", arrivals.note):
            minute = await self._schedule(collection, numbers, jitter=jitter)
            due = await self._due(collection, numbers, minute, jitter)
            arrivals.expect(due)
            await asyncio.sleep(minute - time.time())
            used = self._cpu(collection)
            seconds = await arrivals.until_all(max(due.values()) + patience)
            return Latency(len(numbers), seconds, self._cpu(collection) - used)

    async def _schedule(self, collection: str, numbers: range, *, jitter: int) -> float:
        """Have them all fire in one minute, soon; epoch seconds of that minute, which is still to come."""
        minute = _next_minute(timedelta(seconds=10 + len(numbers) / 25))
        cron = objects.once(minute)
        spec = {"schedule": {"cron": cron} | ({"jitter": f"{jitter}s"} if jitter else {})}
        body = {"spec": spec if collection == SYNCS else {"schedule": cron}}
        paths = (f"{objects.path(collection, n)}/{_name(collection, n)}" for n in numbers)
        await in_flight(self.api.request("PATCH", path, body, MERGE_PATCH) for path in paths)
        if collection == SYNCS:
            await self._armed(numbers, minute)
        if datetime.now(UTC) > minute - SETTLED:
            raise RuntimeError(f"{len(numbers)} schedules took until after {minute:%T}, when they should have fired")
        return minute.timestamp()

    async def _armed(self, numbers: range, minute: datetime) -> None:
        """Wait until the controller has taken note of a change of schedule."""
        wanted = minute.strftime("%FT%TZ")
        names = {objects.name(number) for number in numbers}
        while datetime.now(UTC) < minute - SETTLED:
            syncs = await self.api.list(objects.path(SYNCS))
            seen = sum(
                s.get("status", {}).get("nextRunTime") == wanted for s in syncs if s["metadata"]["name"] in names
            )
            if seen == len(names):
                return
            await asyncio.sleep(1)

    async def _due(self, collection: str, numbers: range, minute: float, jitter: int) -> dict[str, float]:
        """When each is due (epoch seconds), by name."""
        names = [_name(collection, number) for number in numbers]
        if not jitter:
            return dict.fromkeys(names, minute)
        uids = {s["metadata"]["name"]: s["metadata"]["uid"] for s in await self.api.list(objects.path(SYNCS))}
        schedule = Schedule.model_validate({"cron": "* * * * *", "jitter": f"{jitter}s"})
        return {name: minute + delay(schedule, uids[name]).total_seconds() for name in names}

    async def _ended(self, numbers: range) -> int:
        names = {objects.name(number) for number in numbers}
        syncs = [s for s in await self.api.list(objects.path(SYNCS)) if s["metadata"]["name"] in names]
        return sum("lastRun" in s["status"] and "activeRun" not in s["status"] for s in syncs)

    def _requests(self, since: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for number, event in enumerate(self.plane.audit_events()):
            what = event.get("objectRef", {})
            ours = event["user"]["username"] == ACCOUNT and str(what.get("namespace", "")).startswith("bench-")
            if number >= since and ours and event["verb"] != "watch":
                resource = "/".join(filter(None, [what.get("resource"), what.get("subresource")]))
                found[f"{event['verb']} {resource}"] += 1
        return found

    def _cpu(self, collection: str) -> float:
        return self.controller.cpu_seconds() if collection == SYNCS else 0.0


def _name(collection: str, number: int) -> str:
    return objects.name(number) if collection == SYNCS else objects.cronjob(number, "")["metadata"]["name"]


def _next_minute(ahead: timedelta) -> datetime:
    """The first full minute (UTC) at least so far ahead."""
    return (datetime.now(UTC) + ahead + timedelta(seconds=59.999)).replace(second=0, microsecond=0)
