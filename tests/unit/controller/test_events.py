"""The recorder of Events in virtual time: what is told, how often, and what becomes of what cannot be."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retl.controller.apiserver.kube import AlreadyExists, Kube, KubeError
from retl.controller.decision import Event
from retl.controller.kinds import Key
from retl.controller.telemetry.events import Recorder
from retl.resources.kinds import RUN, Manifest
from tests.faults.loop import simulate
from tests.unit.controller.views import NOON, run_manifest

KEY = Key(RUN, "growth", "accounts-1")
FAILED = Event("Warning", "Failed", "the destination is not there")
MINUTE = 60.0


class LoopClock:
    """Noon when the simulation begins."""

    patience = timedelta(seconds=30)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())


class Desk(Kube):
    """The part of an API server that takes Events; it refuses as it is told to, and can lose its answer."""

    def __init__(self) -> None:
        self.events: dict[str, Manifest] = {}
        self.requests: list[str] = []
        self.refusals: list[KubeError] = []
        self.loses_answer = False
        self.asleep = asyncio.Event()
        self.asleep.set()

    async def create(self, kind: str, manifest: Manifest) -> Manifest:
        await self._asked("create")
        name = manifest["metadata"]["name"]
        if name in self.events:
            raise AlreadyExists("there is one", status=409)
        self.events[name] = manifest
        if self.loses_answer:
            self.loses_answer = False
            raise KubeError("no answer")
        return manifest

    async def patch(self, key: Key, change: Manifest) -> Manifest:
        await self._asked("patch")
        if key.name not in self.events:
            raise KubeError("there is none", status=404)
        self.events[key.name] = self.events[key.name] | change
        return self.events[key.name]

    async def _asked(self, verb: str) -> None:
        self.requests.append(verb)
        await self.asleep.wait()
        if self.refusals:
            raise self.refusals.pop(0)

    @property
    def only(self) -> Manifest:
        [event] = self.events.values()
        return event


class Scene:
    """A recorder at work."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.outcomes: Counter[str] = Counter()
        self.busy = False
        self.recorder = Recorder(
            self.desk, LoopClock(), "controller-0", lambda outcome: self.outcomes.update([outcome]), lambda: self.busy
        )
        self.run = run_manifest()
        self.run["metadata"]["resourceVersion"] = "7"

    def say(self, *events: Event) -> None:
        self.recorder.record(KEY, self.run, events)


def play(script: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Run a script beside a recorder that posts."""

    async def main() -> Scene:
        scene = Scene()
        posting = asyncio.create_task(scene.recorder.run())
        await script(scene)
        posting.cancel()
        return scene

    return simulate(main())


def test_an_event_says_what_happened_to_which_version_of_which_object_and_who_says_so() -> None:
    async def script(scene: Scene) -> None:
        scene.say(FAILED)
        await asyncio.sleep(1)

    event = play(script).desk.only
    assert event | {"metadata": {}} == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {},
        "eventTime": "2026-05-04T12:00:00.000000Z",
        "reportingController": "reverseetl.io/controller",
        "reportingInstance": "controller-0",
        "action": "Execute",
        "reason": "Failed",
        "note": "the destination is not there",
        "type": "Warning",
        "regarding": {
            "apiVersion": "reverseetl.io/v1alpha1",
            "kind": "SyncRun",
            "namespace": "growth",
            "name": "accounts-1",
            "uid": "run-uid",
            "resourceVersion": "7",
        },
    }
    assert event["metadata"]["namespace"] == "growth"
    assert event["metadata"]["name"].startswith("accounts-1.")


def test_a_repetition_is_told_at_once_and_later_ones_together() -> None:
    async def script(scene: Scene) -> None:
        scene.say(FAILED)
        await asyncio.sleep(10)
        for _ in range(5):
            scene.say(FAILED)
            await asyncio.sleep(10)
        assert scene.desk.only["series"]["count"] == 2
        await asyncio.sleep(MINUTE)

    scene = play(script)
    assert scene.desk.only["series"] == {"count": 6, "lastObservedTime": "2026-05-04T12:00:50.000000Z"}
    assert scene.desk.requests == ["create", "patch", "patch"]
    assert scene.outcomes == {"posted": 1, "repeated": 2}


def test_what_was_not_said_for_six_minutes_is_told_anew() -> None:
    async def script(scene: Scene) -> None:
        for pause in (5.9 * MINUTE, 6.1 * MINUTE, 1):
            scene.say(FAILED)
            await asyncio.sleep(pause)

    scene = play(script)
    assert [event.get("series", {}).get("count", 1) for event in scene.desk.events.values()] == [2, 1]


@pytest.mark.parametrize(
    "other",
    [
        Event("Normal", "Failed", FAILED.note),
        Event("Warning", "GuardBreached", FAILED.note),
        Event("Warning", "Failed", "the source is not there"),
    ],
)
def test_what_differs_in_type_reason_or_note_is_no_repetition(other: Event) -> None:
    async def script(scene: Scene) -> None:
        scene.say(FAILED, other)
        await asyncio.sleep(1)

    assert len(play(script).desk.events) == 2


def test_the_same_words_of_another_object_of_the_name_are_no_repetition() -> None:
    async def script(scene: Scene) -> None:
        scene.say(FAILED)
        scene.run["metadata"]["uid"] = "another"
        scene.say(FAILED)
        await asyncio.sleep(1)

    assert len(play(script).desk.events) == 2


def test_an_event_whose_answer_was_lost_is_there_once_and_its_repetition_counts() -> None:
    async def script(scene: Scene) -> None:
        scene.desk.loses_answer = True
        scene.say(FAILED)
        await asyncio.sleep(5)
        scene.say(FAILED)
        await asyncio.sleep(5)

    scene = play(script)
    assert scene.desk.only["series"]["count"] == 2
    assert scene.desk.requests == ["create", "create", "patch"]


def test_an_event_that_the_api_server_has_forgotten_is_made_again_with_its_count() -> None:
    async def script(scene: Scene) -> None:
        scene.say(FAILED)
        await asyncio.sleep(1)
        scene.desk.events.clear()
        scene.say(FAILED)
        await asyncio.sleep(1)

    assert play(script).desk.only["series"]["count"] == 2


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (404, 1), (422, 1), (0, 3), (429, 3), (503, 3)])
def test_what_is_refused_is_given_up_and_what_may_pass_is_tried_thrice(status: int, requests: int) -> None:
    async def script(scene: Scene) -> None:
        scene.desk.refusals = [KubeError("no", status=status)] * 3
        scene.say(FAILED)
        await asyncio.sleep(MINUTE)

    scene = play(script)
    assert len(scene.desk.requests) == requests
    assert scene.outcomes == {"refused": 1}


def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def script(scene: Scene) -> None:
        scene.desk.refusals = [KubeError("namespaces growth not found", status=404)] * 5
        scene.say(*(Event("Normal", "Started", f"attempt {n}") for n in range(5)))
        await asyncio.sleep(MINUTE)

    with caplog.at_level(logging.WARNING):
        assert play(script).outcomes == {"refused": 5}
    assert len(caplog.records) == 1


def test_events_wait_for_more_urgent_work_but_not_for_long() -> None:
    async def script(scene: Scene) -> None:
        scene.busy = True
        scene.say(FAILED)
        await asyncio.sleep(0.9)
        assert not scene.desk.events
        await asyncio.sleep(0.2)
        assert scene.desk.events

    play(script)


def test_recording_never_waits_and_what_is_too_much_is_dropped_oldest_first() -> None:
    async def script(scene: Scene) -> None:
        scene.desk.asleep.clear()
        for n in range(5_500):
            scene.say(Event("Normal", "Started", f"attempt {n}"))
        assert asyncio.get_running_loop().time() == 0
        scene.desk.asleep.set()
        await asyncio.sleep(5 * MINUTE)

    scene = play(script)
    assert scene.outcomes == {"posted": 5_000, "dropped": 500}
    assert [e["note"] for e in scene.desk.events.values()] == [f"attempt {n}" for n in range(500, 5_500)]


def test_at_the_end_what_still_waits_is_posted() -> None:
    async def main() -> Scene:
        scene = Scene()
        scene.say(FAILED, Event("Normal", "Started", "attempt 1"))
        scene.say(FAILED)
        await scene.recorder.flush()
        return scene

    scene = simulate(main())
    assert [(e["reason"], e.get("series", {}).get("count")) for e in scene.desk.events.values()] == [
        ("Started", None),
        ("Failed", 2),
    ]


def test_the_end_is_not_held_up_by_an_api_server_that_does_not_answer() -> None:
    async def main() -> float:
        scene = Scene()
        scene.desk.asleep.clear()
        scene.say(FAILED)
        await scene.recorder.flush()
        return asyncio.get_running_loop().time()

    assert simulate(main()) == pytest.approx(0.5)


def test_words_that_are_too_long_are_cut_to_what_the_api_server_takes() -> None:
    async def script(scene: Scene) -> None:
        key = Key(RUN, "growth", "a" * 235 + "-" + "b" * 17)
        scene.recorder.record(key, scene.run, [Event("Normal", "R" * 200, "ü" * 1_000)])
        await asyncio.sleep(1)

    event = play(script).desk.only
    sizes: dict[str, Any] = {field: len(event[field].encode()) for field in ("note", "reason")}
    assert sizes == {"note": 1_023, "reason": 128}
    assert event["note"].endswith("ü…")
    prefix, _, digest = event["metadata"]["name"].rpartition(".")
    assert (prefix, len(digest)) == ("a" * 235, 16)


def test_times_are_told_in_utc_to_the_microsecond() -> None:
    class Late(LoopClock):
        def now(self) -> datetime:
            return datetime(2026, 5, 4, 12, 0, 0, 25, UTC)

    async def main() -> Manifest:
        scene = Scene()
        recorder = Recorder(scene.desk, Late(), "controller-0", lambda _: None, lambda: False)
        recorder.record(KEY, scene.run, [FAILED])
        await recorder.flush()
        return scene.desk.only

    assert simulate(main())["eventTime"] == "2026-05-04T12:00:00.000025Z"
