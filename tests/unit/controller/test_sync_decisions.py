"""What is decided about a sync: ticks, the reservation, verdicts, history, conditions."""

from datetime import datetime
from typing import Any

import pytest

from retl.controller.decision import RECHECK, Create, Decision, Delete, Problem
from retl.controller.syncs.decide import decide
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.conditions import find, with_condition
from retl.resources.run import RunPhase
from retl.resources.sync import SyncStatus
from tests.unit.controller.views import NOON, at, facts, held_by, sync_view

TICK_RUN = "accounts-202605041200"
BROKEN = Problem("SourceNotFound", "there is no SyncSource")


def decided(view: SyncView, now: datetime = NOON) -> tuple[SyncStatus, Decision]:
    decision = decide(view, now)
    assert isinstance(decision.status, SyncStatus)
    return decision.status, decision


def told(status: SyncStatus) -> list[tuple[float, str, str]]:
    """The recent verdicts, with their ticks in minutes after noon."""
    return [((t.at - NOON).total_seconds() / 60, t.verdict, t.reason) for t in status.recent_ticks]


def created(decision: Decision) -> list[str]:
    return [a.manifest["metadata"]["name"] for a in decision.actions if isinstance(a, Create)]


def deleted(decision: Decision) -> list[str]:
    return [a.key.name for a in decision.actions if isinstance(a, Delete)]


def test_a_due_tick_is_reserved_and_its_run_created() -> None:
    status, decision = decided(sync_view())
    assert status.active_run is not None
    assert (status.active_run.name, status.active_run.tick) == (TICK_RUN, NOON)
    assert created(decision) == [TICK_RUN]
    assert (status.last_tick, status.next_run_time, decision.wake) == (NOON, at(60), at(60))
    assert told(status) == []


def test_a_second_before_its_tick_nothing_happens() -> None:
    view = sync_view()
    status, decision = decided(view, at(-1 / 60))
    assert (status.active_run, decision.actions, decision.wake) == (None, (), NOON)


def test_what_was_decided_needs_no_second_write() -> None:
    view = sync_view()
    status, _ = decided(view)
    run = facts(TICK_RUN, owner="sync-uid")
    again, decision = decided(sync_view(status.model_dump(), runs=(run,)), at(1))
    assert again == status
    assert decision.actions == ()


@pytest.mark.parametrize(
    ("status", "runs", "problem", "verdicts"),
    [
        pytest.param(
            {"last_tick": at(-180)},
            (),
            None,
            [(-120, "Missed", "NewerTickDue"), (-60, "Missed", "NewerTickDue")],
            id="downtime",
        ),
        pytest.param({}, (), BROKEN, [(0, "Skipped", "SourceNotFound")], id="stalled"),
        pytest.param(
            {"active_run": held_by("other")},
            (facts("other", "Running"),),
            None,
            [(0, "Skipped", "PreviousRunActive")],
            id="busy",
        ),
        pytest.param(
            {"active_run": held_by("other")},
            (facts("other", "AwaitingApproval"),),
            None,
            [(0, "Skipped", "AwaitingApproval")],
            id="awaiting",
        ),
        pytest.param(
            {}, (facts("mine", minutes=-5),), None, [(0, "Skipped", "PreviousRunActive")], id="a person came first"
        ),
        pytest.param({}, (facts("mine", minutes=5),), None, [], id="a person came later"),
        pytest.param(
            {}, (facts(TICK_RUN, "Failed", minutes=-5),), None, [(0, "Skipped", "NameTaken")], id="name taken"
        ),
        pytest.param(
            {}, (facts(TICK_RUN, owner="sync-uid", minutes=-5, tick=NOON),), None, [], id="our own run of it is adopted"
        ),
    ],
)
def test_every_due_tick_gets_a_verdict_or_a_run(
    status: dict[str, Any], runs: tuple[RunFacts, ...], problem: Problem | None, verdicts: list[tuple[float, str, str]]
) -> None:
    after, decision = decided(sync_view(status, runs, problem=problem))
    assert told(after) == verdicts
    assert after.last_tick == NOON
    runs_it = after.active_run is not None and after.active_run.tick == NOON
    assert runs_it == (not verdicts or verdicts[-1][1] == "Missed")
    assert [record.verdict for record in decision.verdicts] == [verdict for _, verdict, _ in verdicts]


@pytest.mark.parametrize(
    ("status", "spec", "generation", "fires"),
    [
        pytest.param({}, {}, 1, True, id="as before"),
        pytest.param({"next_run_time": None, "armed_schedule": None}, {}, 2, False, id="resumed"),
        pytest.param({"armed_schedule": "30 * * * * UTC"}, {}, 2, False, id="another schedule"),
        pytest.param({"armed_schedule": "0 * * * * Europe/Vienna"}, {}, 2, False, id="another zone"),
        pytest.param({"next_run_time": at(600)}, {}, 2, True, id="another edit while the tick was due"),
        pytest.param(
            {"observed_generation": None, "last_tick": None, "next_run_time": None}, {}, 1, True, id="first sight"
        ),
        pytest.param({}, {"state": "Paused"}, 1, False, id="paused"),
        pytest.param({}, {"state": "Draft"}, 1, False, id="draft"),
    ],
)
def test_a_schedule_counts_only_from_when_it_came_into_force(
    status: dict[str, Any], spec: dict[str, Any], generation: int, fires: bool
) -> None:
    view = sync_view(status, spec=spec)
    view = sync_view(status, spec=spec, meta=view.meta.model_copy(update={"generation": generation}))
    now = at(0.5)
    after, _ = decided(view, now)
    assert (after.active_run is not None) == fires
    assert after.recent_ticks == []
    if not fires:
        later, _ = decided(sync_view(after.model_dump(), spec=spec, meta=view.meta), at(1))
        assert later.active_run is None


def test_ticks_before_the_sync_existed_are_not_asked_for() -> None:
    view = sync_view({"observed_generation": None, "last_tick": None, "next_run_time": None})
    born = view.meta.model_copy(update={"creation_timestamp": at(1)})
    status, decision = decided(sync_view(view.status.model_dump(), meta=born), at(2))
    assert (status.active_run, status.last_tick, decision.wake) == (None, None, at(60))


def test_an_ended_run_is_recorded_and_the_oldest_waiting_one_goes_next() -> None:
    record = {"counts": {"read": 5}, "dead_letters": 2}
    runs = (
        facts("done", "Succeeded", minutes=1, owner="sync-uid", status=record),
        facts("b", minutes=0),
        facts("a", minutes=-9),
    )
    status, _ = decided(sync_view({"active_run": held_by("done", at(-60))}, runs), at(-1))
    assert status.active_run is not None
    assert status.active_run.name == "a"
    assert status.last_run is not None
    assert (status.last_run.name, status.last_run.uid) == ("done", runs[0].uid)
    assert (status.last_success_time, status.dead_letters) == (at(1), 2)
    assert told(status) == [(-60, "Ran", "")]
    succeeded = find(status.conditions, "LastRunSucceeded")
    assert succeeded is not None
    assert succeeded.status == "True"


def test_a_failed_run_leaves_the_last_success_alone() -> None:
    before = {"active_run": held_by("bad", at(-60)), "last_success_time": at(-600), "dead_letters": 4}
    status, _ = decided(sync_view(before, (facts("bad", "Failed", owner="sync-uid"),)), at(-1))
    assert (status.last_success_time, status.dead_letters) == (at(-600), 4)
    assert told(status) == [(-60, "Ran", "Failed")]


def test_a_plan_leaves_only_the_reservation() -> None:
    status, _ = decided(sync_view({"active_run": held_by("plan")}, (facts("plan", "Succeeded", plan=True),)), at(-1))
    assert (status.active_run, status.last_run, find(status.conditions, "LastRunSucceeded")) == (None, None, None)


def test_a_reserved_tick_whose_run_is_missing_gets_it() -> None:
    status, decision = decided(sync_view({"active_run": held_by(TICK_RUN, NOON), "last_tick": NOON}), at(1))
    assert created(decision) == [TICK_RUN]
    assert status.active_run == held_by(TICK_RUN, NOON)


def test_a_run_that_was_deleted_frees_the_sync() -> None:
    held = held_by("accounts-202605041100", at(-60))
    status, decision = decided(sync_view({"active_run": held}, vanished=True), at(-1))
    assert (status.active_run, created(decision)) == (None, [])
    assert told(status) == [(-60, "Ran", "Cancelled")]
    assert status.last_run is not None
    assert status.last_run.reason == "Deleted"


def test_a_reserved_name_that_is_somebody_elses_is_given_up() -> None:
    runs = (facts(TICK_RUN, "Failed"),)
    status, decision = decided(sync_view({"active_run": held_by(TICK_RUN, NOON), "last_tick": NOON}, runs), at(1))
    assert (status.active_run, status.last_run, created(decision)) == (None, None, [])
    assert told(status) == [(0, "Skipped", "NameTaken")]


@pytest.mark.parametrize("phase", [None, "Running", "Succeeded"])
def test_a_run_of_another_sync_that_has_the_reserved_name_does_not_get_the_sync(phase: RunPhase | None) -> None:
    """Nor is it counted in, or deleted from, this sync's history, or noted as its last run."""
    history = {"spec": {"history": {"successful": 1}}}
    newer = (facts("newer", "Succeeded", minutes=-1), facts("newest", "Failed", minutes=-0.5))
    held = {"active_run": held_by(TICK_RUN, NOON), "last_tick": NOON}
    status, decision = decided(sync_view(held, newer, stranger=facts(TICK_RUN, phase, minutes=-9), **history), at(1))
    assert (status.active_run, status.last_run, decision.actions) == (None, None, ())
    assert told(status) == [(0, "Skipped", "NameTaken")]


def test_a_reservation_by_hand_for_a_run_of_another_sync_is_dropped() -> None:
    stranger = facts("others", "Running")
    status, _ = decided(sync_view({"active_run": held_by("others")}, stranger=stranger), at(-1))
    assert (status.active_run, status.last_run, status.recent_ticks) == (None, None, [])


def test_a_run_under_way_without_a_reservation_gets_it_before_anyone_else() -> None:
    runs = (facts("waiting", minutes=-9), facts("lost", "Running", owner="sync-uid", status={"attempt": 1}))
    status, _ = decided(sync_view(runs=runs), at(-1))
    assert status.active_run is not None
    assert status.active_run.name == "lost"


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        ({"successful": 2, "failed": 1}, {"s1", "f1"}),
        ({"successful": 0, "failed": 0}, {"s1", "s2", "f1", "f2"}),
        ({"successful": 10, "failed": 10}, set()),
    ],
)
def test_history_keeps_the_newest_of_each_outcome_and_always_the_newest_of_all(
    limits: dict[str, int], gone: set[str]
) -> None:
    ended = [("s1", "Succeeded"), ("f1", "Failed"), ("s2", "Succeeded"), ("f2", "Cancelled"), ("s3", "Succeeded")]
    runs = [facts(name, phase, minutes=minute) for minute, (name, phase) in enumerate(ended)]  # type: ignore[arg-type]
    runs.append(facts("now", "Running"))
    view = sync_view({"active_run": held_by("now")}, tuple(runs), spec={"history": limits})
    _, decision = decided(view, at(-1))
    assert set(deleted(decision)) == gone


def test_a_pinned_run_is_never_deleted_and_takes_nobodys_place() -> None:
    runs = [facts(f"s{number}", "Succeeded", minutes=number, pinned=number in (0, 3)) for number in range(5)]
    view = sync_view(
        {"active_run": held_by("now")}, (*runs, facts("now", "Running")), spec={"history": {"successful": 2}}
    )
    _, decision = decided(view, at(-1))
    assert deleted(decision) == ["s1"]


def test_runs_that_found_nothing_new_are_forgotten_before_any_that_wrote() -> None:
    said = with_condition([], "Succeeded", "True", "SourceNotFresh", now=NOON, generation=1)
    runs = [facts(f"wrote{number}", "Succeeded", minutes=number) for number in range(2)]
    runs += [facts(f"idle{number}", "Succeeded", minutes=number, status={"conditions": said}) for number in (7, 8, 9)]
    view = sync_view(
        {"active_run": held_by("now")}, (*runs, facts("now", "Running")), spec={"history": {"successful": 3}}
    )
    _, decision = decided(view, at(-1))
    assert set(deleted(decision)) == {"idle7", "idle8"}


def test_a_run_of_a_tick_costs_two_writes_of_the_status() -> None:
    status, versions = sync_view().status, 0
    record = {"counts": {"read": 5}}
    life = [
        (0, ()),
        (0, (facts(TICK_RUN, owner="sync-uid", tick=NOON),)),
        (1, (facts(TICK_RUN, "Pending", owner="sync-uid", tick=NOON, status={"attempt": 1}),)),
        (2, (facts(TICK_RUN, "Running", owner="sync-uid", tick=NOON, status={"attempt": 1}),)),
        (9, (facts(TICK_RUN, "Succeeded", minutes=9, owner="sync-uid", tick=NOON, status=record),)),
        (10, (facts(TICK_RUN, "Succeeded", minutes=9, owner="sync-uid", tick=NOON, status=record),)),
    ]
    for minute, runs in life:
        after, _ = decided(sync_view(status.model_dump(), runs), at(minute))
        versions += after != status
        status = after
    assert (versions, told(status)) == (2, [(0, "Ran", "")])


def test_twenty_verdicts_are_kept() -> None:
    after, _ = decided(sync_view({"last_tick": at(-60 * 50)}, problem=BROKEN))
    assert len(after.recent_ticks) == 20
    assert (after.recent_ticks[0].at, after.recent_ticks[-1].at) == (at(-60 * 19), NOON)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "Scheduled"),
        ({"schedule": None}, "OnDemand"),
        ({"state": "Paused"}, "Paused"),
        ({"state": "Draft"}, "Draft"),
    ],
)
def test_ready_says_how_the_sync_runs(spec: dict[str, Any], reason: str) -> None:
    status, _ = decided(sync_view(spec=spec), at(-1))
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [("Ready", "True", reason)]


def test_a_problem_stalls_and_its_end_leaves_no_trace() -> None:
    passing = Problem("SecretNotFound", "there is no Secret", passing=True)
    status, decision = decided(sync_view(problem=passing), at(-1))
    told_of = {c.type: (c.status, c.reason, c.observed_generation) for c in status.conditions}
    assert told_of == {"Ready": ("False", "SecretNotFound", 1), "Stalled": ("True", "SecretNotFound", 1)}
    assert decision.wake == at(-1) + RECHECK
    healed, _ = decided(sync_view(status.model_dump()), at(-1))
    assert [c.type for c in healed.conditions] == ["Ready"]


def test_a_sync_that_cannot_be_understood_still_lets_go_of_its_run() -> None:
    view = sync_view({"active_run": held_by("done")}, (facts("done", "Succeeded"),))
    status, _ = decided(sync_view(view.status.model_dump(), view.runs, spec={}, problem=BROKEN), at(-1))
    assert status.active_run is None


def test_a_sync_that_is_being_deleted_is_left_alone() -> None:
    view = sync_view()
    going = view.meta.model_copy(update={"deletion_timestamp": NOON})
    assert decide(sync_view(meta=going), NOON) == Decision()


def test_a_clock_that_is_wrong_says_when_nothing_but_to_look_again() -> None:
    schedule = {"cron": "0 * * * *", "startingDeadline": "15m"}
    view = sync_view(spec={"schedule": schedule}, skewed=True)
    now = at(45)  # by that clock the deadline has passed; a wake in the past would be one after the other
    assert decided(view, now)[1].wake == now + RECHECK
