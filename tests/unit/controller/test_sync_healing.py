"""Statuses that people edited, lost or restored: nothing stops the controller, and the lock stays a lock."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retl.controller.syncs.arming import first_alarm
from retl.controller.syncs.decide import decide
from retl.controller.syncs.lenient import lenient
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.run import RunStatus
from retl.resources.sync import SyncStatus
from tests.unit.controller.views import NOON, at, facts, held_by, run_manifest, sync_manifest, sync_view

TICK_RUN = "accounts-202605041200"
LOST = {"observed_generation": None, "last_tick": None, "next_run_time": None, "armed_schedule": None}


def decided(view: SyncView, now: datetime = NOON) -> tuple[SyncStatus, list[str]]:
    """The status, and what is told of repairs."""
    decision = decide(view, now)
    assert isinstance(decision.status, SyncStatus)
    settled = decide(replace(view, status=decision.status, repaired=()), now)
    assert "StatusRepaired" not in [event.reason for event in settled.events], "it does not heal"
    return decision.status, [event.note for event in decision.events if event.reason == "StatusRepaired"]


def ours(name: str, phase: Any = None, *, minutes: float, tick: datetime, **status: Any) -> RunFacts:
    return facts(name, phase, minutes=minutes, owner="sync-uid", tick=tick, status=status)


@pytest.mark.parametrize(
    ("raw", "left_out", "kept"),
    [
        ({"lastTick": "yesterday", "deadLetters": 3}, ("lastTick",), {"dead_letters": 3}),
        ({"lastTick": "2026-05-04T12:00:00"}, ("lastTick",), {"last_tick": None}),  # no zone
        ({"activeRun": {"name": 7}}, ("activeRun",), {"active_run": None}),
        ({"activeRun": "accounts-1", "deadLetters": "many"}, ("activeRun", "deadLetters"), {"dead_letters": 0}),
        (
            {"recentTicks": [{"at": "2026-05-04T12:00:00Z", "verdict": "Ran"}, {"at": "?", "verdict": "Ran"}]},
            ("recentTicks",),
            {},
        ),
        ({"recentTicks": "none"}, ("recentTicks",), {"recent_ticks": []}),
        ({"conditions": [{"type": "Ready"}], "somebodyElses": {"field": 1}}, ("conditions",), {"conditions": []}),
    ],
)
def test_what_cannot_be_understood_is_left_out_and_named(
    raw: dict[str, Any], left_out: tuple[str, ...], kept: dict[str, Any]
) -> None:
    status, names = lenient(SyncStatus, raw)
    assert names == left_out
    assert {name: getattr(status, name) for name in kept} == kept
    if "recentTicks" in raw and isinstance(raw["recentTicks"], list):
        assert [tick.verdict for tick in status.recent_ticks] == ["Ran"]


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Flying", "attempt": "three", "finishedAt": "soon"},
        {"phase": ["Running"], "conditions": "?", "counts": {"read": "all"}},
        {"finishedAt": "2026-05-04T12:00:00"},
    ],
)
def test_a_run_with_a_nonsensical_record_is_read_nevertheless(status: dict[str, Any]) -> None:
    run = RunFacts.read(run_manifest(tick="nonsense") | {"status": status})
    assert (run.phase, run.attempt, run.finished_at, run.tick) == (None, 0, None, None)
    assert isinstance(run.status, RunStatus)


def test_a_status_that_is_lost_is_found_again_from_the_runs() -> None:
    runs = (
        ours("accounts-202605041000", "Succeeded", minutes=-119, tick=at(-120), dead_letters=2),
        ours("accounts-202605041100", "Failed", minutes=-59, tick=at(-60)),
        facts("plan", "Succeeded", minutes=-10, plan=True),
    )
    status, notes = decided(sync_view(LOST, runs), at(-1))
    assert [(t.at, t.verdict, t.reason) for t in status.recent_ticks] == [
        (at(-120), "Ran", ""),
        (at(-60), "Ran", "Failed"),
    ]
    assert (status.last_tick, status.last_success_time, status.dead_letters) == (at(-60), at(-119), 2)
    assert status.last_run is not None
    assert (status.last_run.name, status.active_run) == ("accounts-202605041100", None)
    assert len(notes) == 1


def test_a_tick_that_has_run_does_not_run_again_when_the_status_is_lost() -> None:
    runs = (ours(TICK_RUN, "Succeeded", minutes=5, tick=NOON),)
    status, _ = decided(sync_view(LOST, runs), at(10))
    assert (status.active_run, status.last_tick, status.next_run_time) == (None, NOON, at(60))


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_run_under_way_takes_the_sync_back_when_the_lock_is_lost(attempt: int) -> None:
    runs = (
        ours(TICK_RUN, "Running" if attempt else None, minutes=0, tick=NOON, attempt=attempt),
        facts("mine", minutes=-9),
    )
    status, _ = decided(sync_view({**LOST}, runs), at(1))
    assert status.active_run is not None
    assert (status.active_run.name, status.active_run.tick) == (TICK_RUN, NOON)


@pytest.mark.parametrize(
    ("last", "more", "healed"),
    [
        pytest.param(datetime(2099, 1, 1, tzinfo=UTC), {}, None, id="far in the future"),
        pytest.param(at(120), {"recent_ticks": [{"at": at(-60), "verdict": "Ran"}]}, at(-60), id="in the future"),
        pytest.param(
            at(-600), {"recent_ticks": [{"at": at(-60), "verdict": "Ran"}]}, at(-60), id="older than a verdict"
        ),
        pytest.param(at(-600), {"active_run": held_by("accounts-202605041100", at(-60))}, at(-60), id="than a run"),
        pytest.param(None, {"recent_ticks": [{"at": at(-60), "verdict": "Missed"}]}, at(-60), id="gone"),
    ],
)
def test_a_last_tick_that_cannot_be_is_corrected(
    last: datetime | None, more: dict[str, Any], healed: datetime | None
) -> None:
    runs = (
        (ours("accounts-202605041100", "Running", minutes=-59, tick=at(-60), attempt=1),)
        if "active_run" in more
        else ()
    )
    status, notes = decided(sync_view({"last_tick": last} | more, runs), at(-1))
    assert status.last_tick == healed
    assert any("lastTick" in note for note in notes)


@pytest.mark.parametrize(
    ("ahead", "recent"),
    [(0.5, []), (120, [{"at": at(120), "verdict": "Skipped", "reason": "Blackout"}])],
)
def test_a_tick_of_a_clock_that_was_ahead_is_not_answered_again(ahead: float, recent: list[dict[str, Any]]) -> None:
    status, notes = decided(sync_view({"last_tick": at(ahead), "recent_ticks": recent}), NOON)
    assert (status.last_tick, status.active_run, notes) == (at(ahead), None, [])


def test_verdicts_from_a_far_future_are_dropped() -> None:
    ticks = [{"at": datetime(2099, 1, 1, tzinfo=UTC), "verdict": "Ran"}, {"at": at(-60), "verdict": "Ran"}]
    status, notes = decided(sync_view({"recent_ticks": ticks}), at(-1))
    assert [tick.at for tick in status.recent_ticks] == [at(-60)]
    assert "recentTicks" in notes[0]


def test_a_reservation_for_a_run_that_no_tick_is_called_is_dropped() -> None:
    status, notes = decided(sync_view({"active_run": held_by("nonsense", at(-60))}), at(-1))
    assert status.active_run is None
    assert "activeRun names nonsense" in notes[0]


def test_a_reservation_whose_tick_was_edited_keeps_its_run_and_gets_its_tick_back() -> None:
    runs = (ours(TICK_RUN, "Running", minutes=0, tick=NOON, attempt=1),)
    status, notes = decided(sync_view({"active_run": held_by(TICK_RUN), "last_tick": NOON}, runs), at(1))
    assert status.active_run == held_by(TICK_RUN, NOON)
    assert "activeRun.tick" in notes[0]


@pytest.mark.parametrize("waiting", [at(-60), datetime(2099, 1, 1, tzinfo=UTC)])
def test_a_tick_that_cannot_wait_is_let_go_without_a_second_verdict(waiting: datetime) -> None:
    before = {"last_tick": at(-60), "waiting_tick": {"at": waiting, "reason": "Blackout"}}
    view = sync_view(before)
    status, notes = decided(view, at(-1))
    assert (status.waiting_tick, decide(view, at(-1)).verdicts) == (None, ())
    assert "waitingTick" in notes[0]


def test_a_status_in_order_is_left_as_it_is() -> None:
    first, notes = decided(sync_view(LOST), at(-1))
    again, more = decided(sync_view(first.model_dump()), at(-1))
    assert (again, notes, more) == (first, [], [])


def test_fields_that_could_not_be_read_are_told_of() -> None:
    _, notes = decided(sync_view(repaired=("activeRun", "lastTick")), at(-1))
    assert notes == [
        "the status was not as the controller writes it, and was put right: "
        "activeRun could not be read; lastTick could not be read"
    ]


moments = st.one_of(
    st.sampled_from([at(-60).isoformat(), at(0).isoformat(), at(60).isoformat(), "2026-05-04T11:00:00", "soon", "", 7]),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-05-04T11:17:33+02:00"]),
)
names = st.sampled_from([TICK_RUN, "accounts-202605041100", "mine", "../secrets", "", 7])
words = st.sampled_from(["Ran", "Skipped", "Missed", "Flown", "Ready", "Stalled", "Paused", "Draft", "True", "Unknown"])
ticks = st.fixed_dictionaries({"at": moments, "verdict": words}, optional={"reason": words})
statuses = st.fixed_dictionaries(
    {},
    optional={
        "observedGeneration": st.sampled_from([1, 2, -1, "one"]),
        "activeRun": st.one_of(
            st.just("mine"), st.fixed_dictionaries({"name": names, "since": moments}, optional={"tick": moments})
        ),
        "lastRun": st.fixed_dictionaries({"name": names, "phase": words}),
        "lastTick": moments,
        "nextRunTime": moments,
        "lastSuccessTime": moments,
        "armedSchedule": st.sampled_from(["0 * * * * UTC", "@after", 7]),
        "waitingTick": st.fixed_dictionaries({"at": moments, "reason": words}),
        "deadLetters": st.sampled_from([-1, 3, "many"]),
        "deadLettersByCode": st.sampled_from([{"CONFLICT": 1}, {"CONFLICT": "x"}, []]),
        "recentTicks": st.lists(ticks, max_size=25),
        "conditions": st.lists(
            st.fixed_dictionaries({"type": words, "status": words, "reason": words, "lastTransitionTime": moments}),
            max_size=4,
        ),
        "somebodyElses": st.just({"a": [1]}),
    },
)
policies = st.fixed_dictionaries({"catchUp": st.sampled_from(["None", "Latest", "All"])})


@settings(max_examples=400, deadline=None)
@given(statuses, policies, st.booleans(), st.booleans())
def test_no_status_whatever_keeps_the_controller_from_deciding_and_coming_to_rest(
    raw: dict[str, Any], policy: dict[str, Any], running: bool, dark: bool
) -> None:
    first_alarm(sync_manifest(schedule={"cron": "@hourly"}) | {"status": raw}, NOON)
    blackouts = [{"cron": "50 11 * * *", "duration": "20m"}] if dark else []
    spec = {"schedule": {"cron": "0 * * * *", "blackouts": blackouts} | policy}
    runs = (ours(TICK_RUN, "Running", minutes=0, tick=NOON, attempt=1),) if running else ()
    status, repaired = lenient(SyncStatus, raw)
    for _ in range(12):
        view = replace(sync_view(runs=runs, spec=spec), status=status, repaired=repaired)
        view = replace(view, vanished=status.active_run is not None and view.run(status.active_run.name) is None)
        decision = decide(view, at(5))
        assert isinstance(decision.status, SyncStatus)
        text = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        assert lenient(SyncStatus, text) == (decision.status, ())
        if running and status.active_run is None:
            assert decision.status.active_run is not None
            assert decision.status.active_run.name == TICK_RUN
        if decision.status == status and not repaired:
            return
        status, repaired = decision.status, ()
    raise AssertionError("it does not come to rest")
