"""Every tick of any schedule, however the controller is woken, gets exactly one verdict."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from retl.controller.decision import Create
from retl.controller.syncs.decide import decide
from retl.controller.syncs.view import DependencyFacts, RunFacts, SyncView
from retl.resources import ReverseETLSync
from retl.resources.sync import Schedule, SyncStatus, TickRecord
from retl.schedule import InvalidSchedule, blackout_at, delay, due, next_run, next_tick
from tests.unit.controller.views import sync_manifest

START = datetime(2026, 3, 28, 12, 7, 30, tzinfo=UTC)  # the night after, clocks change in Europe
_KEPT = 20

crons = st.sampled_from(
    ["*/5 * * * *", "0 * * * *", "*/20 1-4 * * *", "30 2 * * *", "7,37 * * * sat,sun", "@hourly", "0 0 29 * *"]
)
zones = st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
minutes = st.integers(1, 300).map(lambda count: f"{count}m")
blackouts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["0 2 * * *", "*/45 * * * *", "15 * * * sun"]), st.integers(1, 90)).map(
            lambda pair: {"cron": pair[0], "duration": f"{pair[1]}m"}
        ),
        st.integers(0, 40).map(
            lambda hours: {
                "start": (START + timedelta(hours=hours)).isoformat(),
                "end": (START + timedelta(hours=hours + 3)).isoformat(),
            }
        ),
    ),
    max_size=2,
)
policies = st.one_of(
    st.fixed_dictionaries({"catchUp": st.sampled_from(["None", "Latest", "All"])}),
    st.fixed_dictionaries({"catchUp": st.just("All"), "catchUpMax": st.integers(1, 20)}),
)
schedules = st.fixed_dictionaries(
    {"cron": crons, "timeZone": zones, "blackouts": blackouts},
    optional={"jitter": minutes, "startingDeadline": minutes},
)
gates = st.sampled_from([None, "Skip", "Wait"])


class World:
    """One sync, its runs and the other sync it depends on, driven by nothing but wake-ups."""

    def __init__(self, schedule: dict[str, Any], uid: str) -> None:
        manifest = sync_manifest(schedule=schedule)
        manifest["metadata"] |= {"uid": uid, "creationTimestamp": START.isoformat()}
        sync = ReverseETLSync.read(manifest)
        assert sync.spec.schedule is not None
        self.schedule: Schedule = sync.spec.schedule
        self.view = SyncView(sync.metadata, sync.spec, SyncStatus())
        self.runs: dict[str, RunFacts] = {}
        self.made: set[str] = set()
        self.verdicts: list[TickRecord] = []
        self.wake: datetime | None = None

    def look(self, now: datetime) -> None:
        """Decide until there is nothing more to do, as the controller does."""
        for _ in range(30):
            view = replace(self.view, runs=tuple(self.runs.values()))
            decision = decide(view, now)
            assert isinstance(decision.status, SyncStatus)
            self.verdicts += decision.verdicts
            self.wake = decision.wake
            for action in decision.actions:
                if isinstance(action, Create):
                    self._create(action, now)
                else:
                    del self.runs[action.key.name]
            if decision.status == view.status and not decision.actions:
                return
            self.view = replace(self.view, status=decision.status)
        raise AssertionError("it does not come to rest")

    def _create(self, action: Create, now: datetime) -> None:
        manifest = action.manifest
        manifest["metadata"] |= {"uid": manifest["metadata"]["name"], "creationTimestamp": now.isoformat()}
        run = RunFacts.read(manifest)
        assert run.name not in self.made
        self.made.add(run.name)
        assert run.tick is not None
        assert now >= run.tick + delay(self.schedule, self.view.meta.uid)
        assert blackout_at(self.schedule, now) is None
        self.runs[run.name] = run

    def end_runs(self, now: datetime) -> None:
        for name, run in self.runs.items():
            if not run.ended:
                self.runs[name] = replace(run, phase="Succeeded", finished_at=now, raw_status={"phase": "Succeeded"})

    def other(self, *, running: bool, succeeded: bool) -> None:
        if self.schedule.depends_on:
            phase = "Succeeded" if succeeded else "Failed"
            facts = DependencyFacts("other", True, "run" if running else "", last_run="run", last_phase=phase)
            self.view = replace(self.view, dependencies=(facts,))

    def skew(self, *, skewed: bool) -> None:
        self.view = replace(self.view, skewed=skewed)


steps = st.lists(
    st.tuples(
        st.integers(1, 5_400),  # seconds to the next look
        st.booleans(),  # runs end before it
        st.booleans(),  # the other sync runs
        st.booleans(),  # the other sync succeeded last
        st.integers(0, 9),  # 0: the clock is wrong
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=250, deadline=None)
@given(schedules, policies, gates, steps, st.uuids().map(str))
def test_each_tick_gets_exactly_one_verdict(
    schedule: dict[str, Any], policy: dict[str, Any], gate: str | None, steps: list[Any], uid: str
) -> None:
    depends = {"dependsOn": [{"syncRef": {"name": "other"}, "onFailure": gate}]} if gate else {}
    world = World(schedule | policy | depends, uid)
    try:
        next_run(world.schedule, START)
    except InvalidSchedule:
        reject()
    now = START
    wait = delay(world.schedule, uid)
    world.other(running=False, succeeded=True)
    world.look(now)
    looked = now
    for seconds, ends, running, succeeded, clock in steps:
        now += timedelta(seconds=seconds)
        # Of ticks that were slept through, only as many as a status keeps are told one by one.
        waiting = world.view.status.waiting_tick
        oldest = waiting.at - timedelta(seconds=1) if waiting else world.view.status.last_tick or START
        assume(len(due(world.schedule, min(oldest, looked - wait), now - wait, 100)) <= _KEPT)
        if ends:
            world.end_runs(now)
        world.other(running=running, succeeded=succeeded)
        world.skew(skewed=clock == 0)
        world.look(now)
        looked = now
    world.skew(skewed=False)
    world.other(running=False, succeeded=True)
    expected = due(world.schedule, START, now - wait, 10_000)
    for _ in range(500):  # a blackout may last for days, with more ticks in it
        world.end_runs(now)
        world.look(now)
        status = world.view.status
        if status.active_run is None and status.waiting_tick is None:
            break
        if status.active_run is None and world.wake:
            now = max(now, world.wake)  # it waits for the end of a blackout
    given = Counter(record.at for record in world.verdicts)
    assert [at for at, count in given.items() if count > 1] == []
    assert set(expected) <= set(given)
    assert all(next_tick(world.schedule, at - timedelta(seconds=1)) == at for at in given)
    for record in world.verdicts:
        covered = blackout_at(world.schedule, record.at) is not None
        assert covered == (record.reason == "Blackout"), record
    assert len(world.view.status.recent_ticks) <= _KEPT
    assert world.view.status.next_run_time == next_run(world.schedule, max(START, now - wait))
