"""Informer, lease, budget, clock skew and watchdog in virtual time: who waits how long for whom."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import cast

import orjson
import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver.transport import Answer, Call, Transport
from retl.controller.apiserver.budget import Budget
from retl.controller.apiserver.informer import Informer
from retl.controller.apiserver.kube import Kube, KubeError, NotLeading
from retl.controller.apiserver.lease import Lease, LeaseLost
from retl.controller.apiserver.skew import Skew
from retl.controller.cache import Cache
from retl.controller.clock import Alarm, SystemClock
from retl.controller.kinds import Key
from retl.controller.queue import Queue
from retl.controller.settings import ApiRate, LeaseSettings
from retl.controller.telemetry.watchdog import Watchdog
from retl.resources.kinds import RUN, SYNC, Manifest
from tests.faults.loop import simulate
from tests.unit.controller.views import NOON, run_manifest

Stream = AsyncIterator[bytes]


def now() -> float:
    return asyncio.get_running_loop().time()


def event(type: str, name: str, version: int) -> bytes:
    manifest = run_manifest(name)
    manifest["metadata"] |= {"resourceVersion": str(version), "uid": name}
    return orjson.dumps({"type": type, "object": manifest})


GONE = orjson.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
BROKEN = orjson.dumps({"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}})


class Scripted(Transport):
    """An API server that lists what it is told to, and follows a script for each watch in turn."""

    def __init__(self, listed: list[list[str]], watches: Sequence[Sequence[bytes | int]]) -> None:
        self.listed = listed
        self.watches = list(watches)
        self.asked: list[tuple[str, str, float]] = []

    async def exchange(self, call: Call) -> Answer:
        self.asked.append((call.verb, "", now()))
        names = self.listed.pop(0)
        items = [orjson.loads(event("", name, 10))["object"] for name in names]
        return Answer(200, {}, orjson.dumps({"items": items, "metadata": {"resourceVersion": "10"}}))

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[tuple[Answer, Stream]]:
        self.asked.append((call.verb, call.query["resourceVersion"], now()))
        script: Sequence[bytes | int] = self.watches.pop(0) if self.watches else [0]
        status = script[0] if script and isinstance(script[0], int) and script[0] else 200
        if status == 1:
            raise KubeError("no answer")
        yield Answer(status, {}, b"{}"), self._lines(script)

    async def _lines(self, script: Sequence[bytes | int]) -> Stream:
        for line in script:
            if isinstance(line, int):
                await asyncio.Event().wait()  # says nothing any more
            else:
                yield line

    def verbs(self) -> list[tuple[str, str]]:
        return [(verb, version) for verb, version, _ in self.asked]


def kube_over(transport: Transport, rate: ApiRate | None = None) -> Kube:
    kube = Kube(cast(ApiClient, None), timedelta(seconds=15), rate=rate)
    kube._transport = transport
    return kube


def follow(server: Scripted, seconds: float) -> tuple[list[str], float]:
    """Names in the cache after an informer has run for so long, and its age then."""

    async def main() -> tuple[list[str], float]:
        cache = Cache(lambda *_: None)
        informer = Informer(cache, kube_over(server), RUN, None, random.Random(1))
        running = asyncio.create_task(informer.run())
        await asyncio.sleep(seconds)
        assert not running.done()
        running.cancel()
        return [key.name for key in cache.keys(RUN)], informer.age()

    return simulate(main())


def test_a_watch_that_says_nothing_is_begun_anew_where_it_stood() -> None:
    server = Scripted([["a"]], [[event("ADDED", "b", 12), 0], [event("ADDED", "c", 13), 0]])
    names, age = follow(server, 100)
    assert names == ["a", "b", "c"]
    assert server.verbs() == [("list", ""), ("watch", "10"), ("watch", "12")]
    assert 90 <= server.asked[2][2] < 91
    assert age < 10


def test_bookmarks_keep_a_quiet_watch_alive_and_move_its_version() -> None:
    bookmark = orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}})
    server = Scripted([["a"]], [[bookmark], [0]])
    follow(server, 5)
    assert server.verbs() == [("list", ""), ("watch", "10"), ("watch", "77")]


@pytest.mark.parametrize("refusal", [[410], [GONE]], ids=["by its status", "by an event"])
def test_a_version_that_is_too_old_gives_way_to_a_list_that_finds_what_was_deleted(
    refusal: list[bytes | int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server = Scripted([["a", "b"], ["b", "c"]], [refusal, [0]])
    names, _ = follow(server, 2)
    assert names == ["b", "c"]
    assert server.verbs() == [("list", ""), ("watch", "10"), ("list", ""), ("watch", "10")]
    assert 0 < server.asked[2][2] - server.asked[1][2] < 1
    assert [
        record.message.count("SyncRun of all namespaces") for record in caplog.records if "anew" in record.message
    ] == [1]


@pytest.mark.parametrize(
    "trouble",
    [[BROKEN], [b"<html>"], [b'{"type": "ADDED"}'], [b'{"type": "ADDED", "object": {"metadata": {}}}'], [b"[]"], [500]],
    ids=["error event", "no JSON", "no object", "no name", "no event", "server error"],
)
def test_nonsense_ends_nothing_and_leads_to_a_list_when_it_goes_on(trouble: list[bytes | int]) -> None:
    server = Scripted([["a"], ["b"]], [trouble, trouble, trouble, [event("ADDED", "c", 12), 0]])
    names, _ = follow(server, 10)
    assert names == ["b", "c"]
    assert [verb for verb, _ in server.verbs()] == ["list", "watch", "watch", "watch", "list", "watch"]


def test_an_api_server_that_is_away_is_asked_ever_less_often_and_never_listed_again_for_it() -> None:
    server = Scripted([["a"]], [[1]] * 8 + [[0]])
    _, age = follow(server, 120)
    times = [at for verb, _, at in server.asked if verb == "watch"]
    assert times[-1] - times[-2] > 10 > 1 > times[1] - times[0]
    assert [verb for verb, _ in server.verbs()] == ["list"] + ["watch"] * 9
    assert age == pytest.approx(120, abs=1)


class Slow(Transport):
    """One Lease that is always written, after so many seconds each time."""

    outage = range(0)
    """Seconds in which nobody answers."""

    def __init__(self, delays: list[float]) -> None:
        self.delays = delays
        self.record: Manifest = {}
        self.version = 0

    async def exchange(self, call: Call) -> Answer:
        if int(now()) in self.outage:
            raise KubeError("no answer")
        await asyncio.sleep(self.delays.pop(0) if self.delays else 0.1)
        if call.body is not None:
            self.version += 1
            self.record = call.body | {"metadata": call.body["metadata"] | {"resourceVersion": str(self.version)}}
        return Answer(200 if self.record else 404, {}, orjson.dumps(self.record))


def fenced(lease: Lease) -> bool:
    try:
        lease.fence()
    except NotLeading:
        return True
    return False


def test_a_lease_counts_from_when_its_renewal_was_sent_and_not_from_when_it_was_answered() -> None:
    async def main() -> None:
        lease = Lease(kube_over(Slow([0, 3.0])), LeaseSettings("n", identity="me"))
        assert fenced(lease)
        await lease.acquire()
        assert now() == pytest.approx(3)
        assert not fenced(lease)
        await asyncio.sleep(6.9)
        assert not fenced(lease)
        await asyncio.sleep(0.2)
        assert fenced(lease)

    simulate(main())


def test_who_stands_by_while_nobody_answers_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = Slow([])
        server.outage = range(60)
        lease = Lease(kube_over(server), LeaseSettings("n", identity="me"))
        await lease.acquire()

    simulate(main())
    assert [record.levelname for record in caplog.records if "cannot ask" in record.message] == ["WARNING"]


def test_who_cannot_renew_stops_before_another_may_take_over() -> None:
    async def main() -> float:
        lease = Lease(kube_over(Slow([0, 0.1, 0.1, 900, 900, 900])), LeaseSettings("n", identity="me"))
        await lease.acquire()
        with pytest.raises(LeaseLost, match="could not be renewed for 10 s"):
            await lease.keep()
        assert fenced(lease)
        return now()

    assert simulate(main()) == pytest.approx(12.1, abs=0.5)


def test_a_lease_is_kept_as_other_tools_read_it() -> None:
    async def main() -> list[Manifest]:
        server, records = Slow([]), []
        first = Lease(kube_over(server), LeaseSettings("n", identity="first"))
        second = Lease(kube_over(server), LeaseSettings("n", identity="second"))
        await first.acquire()
        records.append(server.record["spec"])
        waiting = asyncio.create_task(second.acquire())
        keeping = asyncio.create_task(first.keep())
        assert second.transitions is None
        await asyncio.sleep(60)
        assert not waiting.done()
        assert second.transitions == 0
        records.append(server.record["spec"])
        keeping.cancel()
        await first.release()
        started = now()
        await waiting
        assert now() - started < 2
        records.append(server.record["spec"])
        assert (first.transitions, fenced(first), fenced(second)) == (0, True, False)
        return records

    taken, renewed, handed_over = simulate(main())
    assert [r["holderIdentity"] for r in (taken, renewed, handed_over)] == ["first", "first", "second"]
    assert [r["leaseTransitions"] for r in (taken, renewed, handed_over)] == [0, 0, 1]
    assert taken["acquireTime"] == renewed["acquireTime"] < renewed["renewTime"]
    assert handed_over["acquireTime"] > renewed["acquireTime"]


def test_a_budget_lets_a_burst_through_and_then_so_many_a_second_in_the_order_of_asking() -> None:
    async def main() -> list[tuple[int, float]]:
        budget, passed = Budget(10, 3), list[tuple[int, float]]()

        async def ask(number: int) -> None:
            await budget.take()
            passed.append((number, round(now(), 3)))

        await asyncio.gather(*(ask(number) for number in range(6)))
        await asyncio.sleep(100)
        assert await budget.take() == 0
        budget.rest(7)
        assert await budget.take() == pytest.approx(7)
        return passed

    assert simulate(main()) == [(0, 0), (1, 0), (2, 0), (3, 0.1), (4, 0.2), (5, 0.3)]


class Busy(Transport):
    """Refuses the first requests with 429, then answers; the Date is of a clock that is an hour behind."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.times: list[float] = []

    async def exchange(self, call: Call) -> Answer:
        self.times.append(now())
        date = format_datetime(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1), usegmt=True)
        if len(self.times) <= self.refusals:
            return Answer(429, {"Retry-After": "3", "Date": date}, b"{}")
        return Answer(200, {"Date": date}, b'{"metadata": {}}')


def test_a_request_is_put_off_for_as_long_as_the_api_server_asks() -> None:
    async def main() -> None:
        server = Busy(2)
        kube = kube_over(server)
        await kube.get(Key(SYNC, "n", "s"))
        assert server.times == [0, 3, 6]
        skew = kube.skew()
        assert skew is not None
        assert skew == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=30))

    simulate(main())


def test_without_the_lease_nothing_is_sent_that_writes() -> None:
    async def main() -> None:
        server = Busy(0)
        kube = kube_over(server)
        kube.fence = Lease(kube, LeaseSettings("n")).fence
        with pytest.raises(NotLeading):
            await kube.create(RUN, {"metadata": {"namespace": "n"}})
        assert server.times == []
        await kube.get(Key(SYNC, "n", "s"))
        assert server.times == [0]

    simulate(main())


def test_a_clock_that_jumps_is_noticed_before_the_next_answer() -> None:
    async def main() -> list[timedelta | None]:
        clock = [NOON]
        skew = Skew(lambda: clock[0])
        skew.learn("no date", now(), now())
        found = [skew.value()]
        for seconds, time in ((2, "12:00:02"), (4, "09:00:00"), (6, "12:00:06"), (6.1, "09:00:00")):
            skew.learn(f"Mon, 04 May 2026 {time} GMT", now() + seconds, now() + seconds + 1)
        found.append(skew.value())
        clock[0] += timedelta(hours=2)
        found.append(skew.value())
        await asyncio.sleep(7200)
        found.append(skew.value())
        return found

    unknown, right, jumped, right_again = simulate(main())
    assert unknown is None
    # The header has whole seconds, cut off.
    assert right is not None
    assert abs(right) <= timedelta(seconds=1)
    assert right_again == right
    assert jumped == timedelta(hours=2) + right


def test_the_watchdog_names_what_is_stuck() -> None:
    async def main() -> list[list[str]]:
        queue = Queue()
        alarm = Alarm(SystemClock(), queue.add)
        informer = Informer(Cache(lambda *_: None), kube_over(Scripted([], [])), RUN, "growth", random.Random(1))
        leading = asyncio.Event()
        watchdog = Watchdog([informer], queue, alarm, leading.is_set)
        queue.add(Key(SYNC, "growth", "accounts"))
        found = [watchdog.doubts()]
        await asyncio.sleep(1000)
        found.append(watchdog.doubts())
        leading.set()
        found.append(watchdog.doubts())
        assert watchdog.ages() == {RUN: 1000}
        return found

    healthy, standby, leader = simulate(main())
    assert healthy == []
    assert standby == [
        "the watch of SyncRun of growth has told nothing for 1000 s",
        "the alarm has not looked at the clock for 1000 s",
    ]
    assert leader[2:] == ["an object has waited for its turn for 1000 s"]


def test_runs_do_not_wait_behind_a_thousand_syncs_and_a_closed_queue_hands_out_nothing() -> None:
    async def main() -> list[str]:
        waited: list[float] = []
        queue, done = Queue(waited.append), list[str]()
        for number in range(1000):
            queue.add(Key(SYNC, "n", f"sync-{number}"))
        queue.add(Key(RUN, "n", "run-1"))
        queue.add(Key(RUN, "n", "run-2"))

        async def reconcile(key: Key) -> None:
            await asyncio.sleep(1)
            done.append(key.name)
            if len(done) == 5:
                queue.close()

        await queue.work(reconcile)
        assert waited == [0, 1, 2, 3, 4]
        return done

    assert simulate(main()) == ["run-1", "sync-0", "run-2", "sync-1", "sync-2"]
