"""What becomes of due ticks: catch-up, deadlines, jitter, blackouts, dependencies, a wrong clock."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from retl.controller.decision import RECHECK, Decision, Problem
from retl.controller.syncs.decide import decide
from retl.controller.syncs.view import DependencyFacts, RunFacts, SyncView
from retl.resources.sync import SyncStatus
from retl.schedule import delay
from tests.unit.controller.views import NOON, at, facts, held_by, sync_view

BUSY = ({"active_run": held_by("other")}, (facts("other", "Running", minutes=-40),))


def scheduled(
    status: dict[str, Any] | None = None,
    runs: tuple[RunFacts, ...] = (),
    *,
    view: dict[str, Any] | None = None,
    **more: Any,
) -> SyncView:
    """The hourly sync, with more said in its schedule."""
    return sync_view(status, runs, spec={"schedule": {"cron": "0 * * * *"} | more}, **(view or {}))


def decided(view: SyncView, now: datetime = NOON) -> tuple[SyncStatus, Decision]:
    decision = decide(view, now)
    assert isinstance(decision.status, SyncStatus)
    return decision.status, decision


def told(decision: Decision) -> list[tuple[float, str, str]]:
    """The verdicts, with their ticks in minutes after noon."""
    return [((t.at - NOON).total_seconds() / 60, t.verdict, t.reason) for t in decision.verdicts]


def outcome(
    view: SyncView, now: datetime
) -> tuple[list[tuple[float, str, str]], float | None, tuple[float, str] | None]:
    """Verdicts, the tick that has the sync, and the tick that waits with its reason."""
    status, decision = decided(view, now)
    minutes = {at: (at - NOON).total_seconds() / 60 for at in (status.active_run and status.active_run.tick,) if at}
    waiting = status.waiting_tick
    waits = ((waiting.at - NOON).total_seconds() / 60, waiting.reason) if waiting else None
    return told(decision), next(iter(minutes.values()), None), waits


@pytest.mark.parametrize(
    ("schedule", "last", "now", "expected"),
    [
        pytest.param({"catchUp": "None"}, -30, 1, ([], 0, None), id="None: in time"),
        pytest.param({"catchUp": "None"}, -30, 1.05, ([(0, "Missed", "Late")], None, None), id="None: late"),
        pytest.param(
            {"catchUp": "None"},
            -150,
            0.5,
            ([(-120, "Missed", "NewerTickDue"), (-60, "Missed", "NewerTickDue")], 0, None),
            id="None: the newest is in time",
        ),
        pytest.param(
            {"catchUp": "None"},
            -90,
            30,
            ([(-60, "Missed", "Late"), (0, "Missed", "Late")], None, None),
            id="None: no newer one answers",
        ),
        pytest.param({"catchUp": "Latest"}, -30, 59, ([], 0, None), id="Latest: late"),
        pytest.param(
            {"catchUp": "Latest"}, -90, 30, ([(-60, "Missed", "NewerTickDue")], 0, None), id="Latest: the newest"
        ),
        pytest.param(
            {"catchUp": "All"}, -150, 30, ([], -120, (-60, "PreviousRunActive")), id="All: the oldest, others wait"
        ),
        pytest.param(
            {"catchUp": "All", "catchUpMax": 2},
            -150,
            30,
            ([(-120, "Missed", "CatchUpLimit")], -60, (0, "PreviousRunActive")),
            id="All: too many are late",
        ),
        pytest.param(
            {"catchUp": "All", "catchUpMax": 1},
            -90,
            0,
            ([], -60, (0, "PreviousRunActive")),
            id="All: one that is in time does not count",
        ),
        pytest.param({"startingDeadline": "10m"}, -30, 10, ([], 0, None), id="at its deadline"),
        pytest.param(
            {"startingDeadline": "10m"},
            -30,
            10.1,
            ([(0, "Missed", "StartingDeadlineExceeded")], None, None),
            id="past its deadline",
        ),
        pytest.param(
            {"catchUp": "All", "startingDeadline": "90m"},
            -150,
            0,
            ([(-120, "Missed", "StartingDeadlineExceeded")], -60, (0, "PreviousRunActive")),
            id="All: past its deadline",
        ),
        pytest.param(
            {"blackouts": [{"cron": "0 12 * * *", "duration": "1h", "reason": "close"}]},
            -90,
            0,
            ([], None, (-60, "Blackout")),
            id="in a blackout, and an older one may run after it",
        ),
        pytest.param(
            {"blackouts": [{"cron": "0 11 * * *", "duration": "30m"}]},
            -90,
            30,
            ([(-60, "Skipped", "Blackout")], 0, None),
            id="an older one in a blackout",
        ),
        pytest.param(
            {"blackouts": [{"cron": "10 12 * * *", "duration": "30m"}]},
            -30,
            20,
            ([], None, (0, "Blackout")),
            id="late, and a blackout has begun",
        ),
    ],
)
def test_each_policy_says_what_becomes_of_the_ticks_that_are_due(
    schedule: dict[str, Any], last: float, now: float, expected: Any
) -> None:
    assert outcome(scheduled({"last_tick": at(last)}, **schedule), at(now)) == expected


@pytest.mark.parametrize(
    ("schedule", "phase", "expected"),
    [
        ({}, "Running", ([(0, "Skipped", "PreviousRunActive")], None, None)),
        ({"catchUp": "None"}, "AwaitingApproval", ([(0, "Skipped", "AwaitingApproval")], None, None)),
        ({"catchUp": "All"}, "Running", ([], None, (0, "PreviousRunActive"))),
        ({"catchUp": "All"}, "AwaitingApproval", ([], None, (0, "AwaitingApproval"))),
    ],
)
def test_while_a_run_is_active_a_tick_is_skipped_or_queues(schedule: dict[str, Any], phase: Any, expected: Any) -> None:
    view = scheduled({"active_run": held_by("other")}, (facts("other", phase, minutes=-40),), **schedule)
    assert outcome(view, NOON) == expected


def test_queued_ticks_run_one_after_the_other_each_in_its_turn() -> None:
    status: dict[str, Any] = {"last_tick": at(-150)}
    started: list[str | None] = []
    runs: tuple[RunFacts, ...] = ()
    for minute in (1, 2, 3, 4):
        after, _ = decided(scheduled(status, runs, catchUp="All"), at(minute))
        active = after.active_run
        started.append(active.name if active else None)
        name = active.name if active else ""
        runs = (facts(name, "Succeeded", minutes=minute, owner="sync-uid", tick=active.tick),) if active else ()
        status = after.model_dump()
    assert started == ["accounts-202605041000", "accounts-202605041100", "accounts-202605041200", None]
    assert [(t.at, t.verdict) for t in after.recent_ticks] == [(at(-120), "Ran"), (at(-60), "Ran"), (at(0), "Ran")]


def test_a_start_is_delayed_by_jitter_and_keeps_the_name_of_its_tick() -> None:
    view = scheduled(jitter="30m")
    assert view.spec is not None
    assert view.spec.schedule is not None
    wait = delay(view.spec.schedule, view.meta.uid)
    assert timedelta() < wait < timedelta(minutes=30)
    before, decision = decided(view, NOON + wait - timedelta(seconds=1))
    assert (before.active_run, before.next_run_time, decision.wake) == (None, NOON, NOON + wait)
    status, _ = decided(view, NOON + wait)
    assert status.active_run is not None
    assert (status.active_run.name, status.active_run.tick) == ("accounts-202605041200", NOON)
    assert (status.last_tick, status.next_run_time) == (NOON, at(60))


def test_a_tick_that_waits_is_looked_at_again_when_the_blackout_or_its_deadline_ends() -> None:
    dark = [{"start": at(10).isoformat(), "end": at(40).isoformat(), "reason": "release"}]
    status, decision = decided(scheduled(blackouts=dark), at(20))
    assert status.waiting_tick is not None
    assert (status.waiting_tick.message, decision.wake) == ("release", at(40))
    _, decision = decided(scheduled(blackouts=dark, startingDeadline="25m"), at(20))
    assert decision.wake == at(25) + timedelta(seconds=1)
    waited = status.model_dump()
    assert outcome(scheduled(waited, blackouts=dark), at(40)) == ([], 0, None)
    late = scheduled(waited, blackouts=dark, startingDeadline="25m")
    assert outcome(late, at(26)) == ([(0, "Missed", "StartingDeadlineExceeded")], None, None)


OK = DependencyFacts("orders", True, last_run="orders-1", last_phase="Succeeded", last_success=at(-50))
FAILED = DependencyFacts("orders", True, last_run="orders-2", last_phase="Failed", last_success=at(-50))
RUNNING = DependencyFacts("orders", True, "orders-3", last_run="orders-1", last_phase="Succeeded", last_success=at(-50))
DUE = DependencyFacts("orders", True, next_run_time=at(0), last_run="orders-1", last_phase="Succeeded")
WAITING = DependencyFacts("orders", True, waiting=True, last_run="orders-1", last_phase="Succeeded")


@pytest.mark.parametrize(
    ("other", "on_failure", "max_age", "expected"),
    [
        pytest.param(OK, "Skip", None, ([], 0, None), id="succeeded"),
        pytest.param(FAILED, "Skip", None, ([(0, "Skipped", "DependencyFailed")], None, None), id="failed"),
        pytest.param(FAILED, "Skip", "1h", ([], 0, None), id="failed, and its last success is young enough"),
        pytest.param(FAILED, "Wait", None, ([], None, (0, "DependencyFailed")), id="failed: wait"),
        pytest.param(OK, "Skip", "30m", ([(0, "Skipped", "DependencyStale")], None, None), id="too old"),
        pytest.param(OK, "Wait", "30m", ([], None, (0, "DependencyStale")), id="too old: wait"),
        pytest.param(
            DependencyFacts("orders", True),
            "Skip",
            None,
            ([(0, "Skipped", "DependencyFailed")], None, None),
            id="never ran",
        ),
        pytest.param(
            DependencyFacts("orders", True),
            "Skip",
            "1h",
            ([(0, "Skipped", "DependencyStale")], None, None),
            id="no success",
        ),
        pytest.param(RUNNING, "Skip", None, ([], 0, None), id="under way, its last run succeeded"),
        pytest.param(RUNNING, "Wait", None, ([], None, (0, "DependencyRunning")), id="under way: wait"),
        pytest.param(DUE, "Wait", None, ([], None, (0, "DependencyRunning")), id="due at the same moment: wait"),
        pytest.param(WAITING, "Wait", None, ([], None, (0, "DependencyRunning")), id="waits itself: wait"),
        pytest.param(
            DependencyFacts("orders"),
            "Skip",
            None,
            ([(0, "Skipped", "DependencyNotFound")], None, None),
            id="not there",
        ),
        pytest.param(
            DependencyFacts("orders"), "Wait", None, ([], None, (0, "DependencyNotFound")), id="not there: wait"
        ),
    ],
)
def test_a_dependency_lets_a_tick_start_or_skips_it_or_holds_it(
    other: DependencyFacts, on_failure: str, max_age: str | None, expected: Any
) -> None:
    wanted = {"syncRef": {"name": "orders"}, "onFailure": on_failure} | ({"maxAge": max_age} if max_age else {})
    assert outcome(scheduled(view={"dependencies": (other,)}, dependsOn=[wanted]), NOON) == expected


WAIT = [{"syncRef": {"name": "orders"}, "onFailure": "Wait"}]


def test_a_tick_that_waited_for_a_dependency_starts_when_it_holds_or_gives_way_to_a_newer_one() -> None:
    status, _ = decided(scheduled(view={"dependencies": (FAILED,)}, dependsOn=WAIT))
    waited = status.model_dump()
    again, decision = decided(scheduled(waited, view={"dependencies": (FAILED,)}, dependsOn=WAIT), at(5))
    assert (again, decision.events) == (status, ())
    assert outcome(scheduled(waited, view={"dependencies": (OK,)}, dependsOn=WAIT), at(50)) == ([], 0, None)
    assert outcome(scheduled(waited, view={"dependencies": (FAILED,)}, dependsOn=WAIT), at(60)) == (
        [(0, "Missed", "NewerTickDue")],
        None,
        (60, "DependencyFailed"),
    )
    in_time = scheduled(waited, view={"dependencies": (OK,)}, dependsOn=WAIT, catchUp="None")
    assert outcome(in_time, at(50)) == ([], 0, None)  # it was looked at in time


def test_a_tick_that_waits_keeps_its_place_while_a_persons_run_is_active() -> None:
    status, _ = decided(scheduled(view={"dependencies": (FAILED,)}, dependsOn=WAIT))
    mine = (facts("mine", "Running", minutes=5),)
    held = status.model_copy(update={"active_run": held_by("mine")}).model_dump()
    assert outcome(scheduled(held, mine, view={"dependencies": (OK,)}, dependsOn=WAIT), at(6)) == (
        [],
        None,
        (0, "PreviousRunActive"),
    )


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"state": "Paused", "schedule": {"cron": "0 * * * *"}}, id="paused"),
        pytest.param({"schedule": {"cron": "30 * * * *"}}, id="another schedule"),
        pytest.param({"schedule": None}, id="none any more"),
        pytest.param({"schedule": {"cron": "0 0 30 2 *"}}, id="one that cannot be kept"),
    ],
)
def test_a_tick_that_waits_when_its_schedule_is_withdrawn_gets_its_verdict(spec: dict[str, Any]) -> None:
    status, _ = decided(scheduled(view={"dependencies": (FAILED,)}, dependsOn=WAIT))
    after, decision = decided(sync_view(status.model_dump(), spec=spec), at(5))
    assert (told(decision), after.waiting_tick, after.last_tick) == ([(0, "Skipped", "Withdrawn")], None, NOON)


def test_all_ticks_of_a_queue_get_their_verdict_when_the_sync_is_paused() -> None:
    status, _ = decided(scheduled(BUSY[0] | {"last_tick": at(-150)}, BUSY[1], catchUp="All"), at(10))
    paused = sync_view(
        status.model_dump(), BUSY[1], spec={"state": "Paused", "schedule": {"cron": "0 * * * *", "catchUp": "All"}}
    )
    after, decision = decided(paused, at(20))
    assert told(decision) == [(minute, "Skipped", "Withdrawn") for minute in (-120, -60, 0)]
    assert after.active_run is not None


def after_others(status: dict[str, Any] | None = None, *others: DependencyFacts, **more: Any) -> SyncView:
    schedule = {"cron": "@after", "dependsOn": [{"syncRef": {"name": other.name}} for other in others]} | more
    return sync_view({"next_run_time": None} | (status or {}), spec={"schedule": schedule}, dependencies=tuple(others))


def success(name: str, minutes: float) -> DependencyFacts:
    return DependencyFacts(name, True, last_run=f"{name}-1", last_phase="Succeeded", last_success=at(minutes))


@pytest.mark.parametrize(
    ("others", "now", "expected", "wake"),
    [
        pytest.param([success("a", -0.5)], 0, ([], 0, None), None, id="the minute after a success"),
        pytest.param([success("a", -0.5)], -0.25, ([], None, None), 0, id="not before it"),
        pytest.param([success("a", -40)], 0, ([], None, None), None, id="an older success is dealt with"),
        pytest.param([success("a", -5.5), success("b", -40)], 0, ([], None, None), None, id="one is still to come"),
        pytest.param([success("a", -5.5), success("b", -1.5)], 0, ([], -1, None), None, id="the newest of all"),
        pytest.param([success("a", -0.5), DependencyFacts("b", True)], 0, ([], None, None), None, id="one never"),
    ],
)
def test_after_others_a_sync_runs_once_each_of_them_has_succeeded_again(
    others: list[DependencyFacts], now: float, expected: Any, wake: float | None
) -> None:
    view = after_others(None, *others)
    assert outcome(view, at(now)) == expected
    status, decision = decided(view, at(now))
    assert decision.wake == (None if wake is None else at(wake))
    assert status.next_run_time is None


def test_after_others_a_tick_that_waits_gives_way_to_the_tick_of_a_newer_success() -> None:
    wait = {"dependsOn": [{"syncRef": {"name": "a"}, "onFailure": "Wait"}]}
    running = DependencyFacts("a", True, "a-2", last_run="a-1", last_phase="Succeeded", last_success=at(-0.5))
    status, _ = decided(after_others(None, running, **wait))
    assert status.waiting_tick is not None
    later = after_others(status.model_dump(), success("a", 9.5), **wait)
    assert outcome(later, at(10)) == ([(0, "Missed", "NewerTickDue")], 10, None)


def test_while_the_clock_is_wrong_ticks_stay_due() -> None:
    status, decision = decided(scheduled(view={"skewed": True}))
    assert (status.active_run, status.last_tick, decision.verdicts) == (None, at(-30), ())
    assert status.waiting_tick is not None
    assert (status.waiting_tick.at, status.waiting_tick.reason) == (NOON, "ClockSkew")
    assert [(e.type, e.reason) for e in decision.events] == [("Warning", "ClockSkew")]
    assert decision.wake == NOON + RECHECK
    again, decision = decided(scheduled(status.model_dump(), view={"skewed": True}), at(30))
    assert (again, decision.events) == (status, ())
    assert outcome(scheduled(status.model_dump(), catchUp="None"), at(31)) == ([], 0, None)


def test_a_clock_that_is_wrong_and_one_that_is_right_do_not_write_over_each_other() -> None:
    ahead, _ = decided(scheduled(view={"skewed": True}), at(90))
    assert ahead.waiting_tick is not None
    right, _ = decided(scheduled(ahead.model_dump()), at(-10))
    assert right == ahead
    behind, _ = decided(scheduled(ahead.model_dump(), view={"skewed": True}), at(-70))
    assert behind == ahead


def test_while_the_clock_is_wrong_nothing_new_is_known_of_the_schedule() -> None:
    resumed = {"armed_schedule": None, "next_run_time": None, "last_tick": at(-600)}
    status, _ = decided(scheduled(resumed, view={"skewed": True}))
    assert (status.last_tick, status.next_run_time, status.armed_schedule) == (at(-600), None, None)
    first = {"observed_generation": None, "last_tick": None, "next_run_time": None, "armed_schedule": None}
    status, _ = decided(scheduled(first, view={"skewed": True}))
    assert status.armed_schedule == "0 * * * * UTC"  # else its ticks since its creation would be forgotten


@pytest.mark.parametrize(
    ("view", "reason", "says"),
    [
        ({"circle": ("accounts", "accounts")}, "DependencyCycle", "in a circle: accounts → accounts"),
        ({"circle": ("accounts", "b", "c", "accounts")}, "DependencyCycle", "accounts → b → c → accounts"),
        ({"circle": ("accounts", *"bcdefghijkl", "accounts")}, "DependencyCycle", "→ i → j → … → accounts"),
        ({"dependencies": (DependencyFacts("orders"),)}, "DependencyNotFound", "there is no ReverseETLSync 'orders'"),
    ],
)
def test_dependencies_that_can_never_hold_stall_the_sync(view: dict[str, Any], reason: str, says: str) -> None:
    others = view.get("dependencies", (OK,))
    status, decision = decided(
        scheduled(view={"dependencies": others} | view, dependsOn=[{"syncRef": {"name": "orders"}}])
    )
    stalled = {c.type: c for c in status.conditions}["Stalled"]
    assert (stalled.reason, says in stalled.message) == (reason, True)
    assert told(decision) == [(0, "Skipped", reason)]


def test_a_schedule_whose_ticks_are_all_blacked_out_stalls_the_sync() -> None:
    status, decision = decided(scheduled(blackouts=[{"cron": "0 0 * * *", "duration": "1d"}]))
    stalled = {c.type: c for c in status.conditions}["Stalled"]
    assert stalled.reason == "InvalidSchedule"
    assert "spec.schedule.blackouts: they cover every tick until" in stalled.message
    assert (told(decision), status.next_run_time) == ([], None)


def test_a_blackout_hides_ticks_from_the_next_run_time_and_not_from_their_verdicts() -> None:
    dark = [{"cron": "0 13 * * *", "duration": "2h"}]
    status, decision = decided(scheduled(blackouts=dark))
    assert (status.next_run_time, decision.wake) == (at(180), at(60))
    assert outcome(scheduled(status.model_copy(update={"active_run": None}).model_dump(), blackouts=dark), at(60)) == (
        [(60, "Skipped", "Blackout")],
        None,
        None,
    )


def test_problems_go_before_gates() -> None:
    broken = Problem("SourceNotFound", "there is no SyncSource")
    view = scheduled(view={"dependencies": (FAILED,), "problem": broken}, dependsOn=WAIT)
    assert outcome(view, NOON) == ([(0, "Skipped", "SourceNotFound")], None, None)
