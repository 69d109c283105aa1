"""What people are told of a sync."""

from typing import Any

import pytest

from retl.controller.decision import Problem
from retl.controller.syncs.decide import decide
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources.reasons import TICK_REASONS
from retl.resources.sync import SyncStatus
from tests.unit.controller.views import NOON, at, facts, held_by, sync_view

COUNTS: dict[str, Any] = {"counts": {"read": 12, "created": 3, "unchanged": 9}}
BROKEN = Problem("SourceNotFound", "spec.query.sourceRef.name: there is no SyncSource 'warehouse'")


def ended(phase: Any, reason: str, message: str = "", **record: Any) -> SyncView:
    """The sync after a run of its eleven o'clock tick."""
    condition = {"type": "Succeeded", "status": "True" if phase == "Succeeded" else "False", "reason": reason}
    condition |= {"message": message, "lastTransitionTime": at(-50).isoformat()}
    run = facts(
        "accounts-202605041100",
        phase,
        minutes=-50,
        owner="sync-uid",
        tick=at(-60),
        status=record | {"conditions": [condition]},
    )
    return sync_view({"active_run": held_by(run.name, at(-60)), "dead_letters": 2}, (run,))


def conditions(*types: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": BROKEN.message, "last_transition_time": at(-60)}
        for kind, status, reason in types
    ]


@pytest.mark.parametrize(
    ("view", "minutes", "events"),
    [
        pytest.param(
            sync_view(),
            0,
            ["Normal RunStarted SyncRun accounts-202605041200 starts, for the tick of 2026-05-04T12:00Z"],
            id="tick",
        ),
        pytest.param(
            sync_view(runs=(facts("mine", minutes=-9),)),
            -1,
            ["Normal RunStarted SyncRun mine starts, as it was asked for"],
            id="mine",
        ),
        pytest.param(
            ended("Succeeded", "Succeeded", **COUNTS),
            -1,
            ["Normal RunSucceeded SyncRun accounts-202605041100 wrote: 12 read, 9 unchanged, 3 created"],
            id="succeeded",
        ),
        pytest.param(
            ended("Failed", "DestinationFailed", "no such object", **COUNTS),
            -1,
            [
                "Warning RunFailed SyncRun accounts-202605041100 failed: DestinationFailed: no such object; "
                "12 read, 9 unchanged, 3 created"
            ],
            id="failed",
        ),
        pytest.param(
            ended("Cancelled", "Cancelled", "it was cancelled before it started"),
            -1,
            ["Normal RunCancelled SyncRun accounts-202605041100 was cancelled: it was cancelled before it started"],
            id="cancelled",
        ),
        pytest.param(
            ended("Succeeded", "SourceNotFresh", "max(loaded_at) is still 2026-05-03"),
            -1,
            [
                "Normal TickSkipped a tick was skipped: schedule.freshness found nothing new at "
                "the source: max(loaded_at) is still 2026-05-03"
            ],
            id="not fresh",
        ),
        pytest.param(
            ended("Succeeded", "Succeeded", dead_letters=5, dead_letters_by_code={"CAST_FAILED": 4, "CONFLICT": 1}),
            -1,
            [
                "Normal RunSucceeded SyncRun accounts-202605041100 wrote: no rows were read",
                "Warning DeadLetters 5 open, 3 more than before: 4 CAST_FAILED, 1 CONFLICT",
            ],
            id="more dead letters",
        ),
        pytest.param(
            ended("Succeeded", "Succeeded", dead_letters=1),
            -1,
            ["Normal RunSucceeded SyncRun accounts-202605041100 wrote: no rows were read"],
            id="fewer dead letters",
        ),
        pytest.param(
            sync_view({"active_run": held_by("accounts-202605041100", at(-60))}, vanished=True),
            -1,
            ["Warning RunLost SyncRun accounts-202605041100 was deleted before it had ended"],
            id="deleted",
        ),
        pytest.param(
            sync_view({"last_tick": at(-200), "active_run": held_by("mine")}, (facts("mine", "Running"),)),
            0,
            [
                "Warning TickMissed 3 ticks from 2026-05-04T09:00Z to 2026-05-04T11:00Z were missed: a newer tick was "
                "due as well, and answers for it",
                "Normal TickSkipped a tick was skipped: another run of the sync was under way: "
                "SyncRun mine holds the sync",
            ],
            id="missed and skipped",
        ),
        pytest.param(
            sync_view(problem=BROKEN),
            0,
            [
                "Warning TickSkipped a tick was skipped: SourceNotFound: " + BROKEN.message,
                f"Warning Stalled SourceNotFound: {BROKEN.message}",
            ],
            id="stalled",
        ),
        pytest.param(
            sync_view(
                {"conditions": conditions(("Ready", "False", BROKEN.reason), ("Stalled", "True", BROKEN.reason))},
                problem=BROKEN,
            ),
            -1,
            [],
            id="still stalled",
        ),
        pytest.param(
            sync_view({"conditions": conditions(("Ready", "False", "X"), ("Stalled", "True", "X"))}),
            -1,
            ["Normal Ready what kept it from running is gone"],
            id="ready again",
        ),
        pytest.param(
            sync_view({"conditions": conditions(("Ready", "True", "Paused")), "armed_schedule": None}),
            -1,
            ["Normal Resumed its schedule counts from now; it was Paused"],
            id="resumed",
        ),
        pytest.param(sync_view({"observed_generation": None}), -1, [], id="new and in order"),
    ],
)
def test_a_change_is_told_in_words_and_once(view: SyncView, minutes: float, events: list[str]) -> None:
    decision = decide(view, at(minutes))
    assert [f"{event.type} {event.reason} {event.note}" for event in decision.events] == events
    assert isinstance(decision.status, SyncStatus)
    runs: tuple[RunFacts, ...] = view.runs
    if decision.status.active_run and not runs:
        runs = (facts(decision.status.active_run.name, owner="sync-uid", tick=decision.status.active_run.tick),)
    again = decide(sync_view(decision.status.model_dump(), runs, problem=view.problem), at(minutes))
    assert (again.events, again.status) == ((), decision.status)


def test_a_source_that_has_nothing_new_leaves_no_run_in_the_status() -> None:
    before = ended("Succeeded", "SourceNotFresh", "nothing new")
    status = decide(before, at(-1)).status
    assert isinstance(status, SyncStatus)
    assert [(t.verdict, t.reason, t.message) for t in status.recent_ticks] == [
        ("Skipped", "SourceNotFresh", "nothing new")
    ]
    assert (status.last_run, status.last_success_time, status.dead_letters) == (None, None, 2)


def test_the_codes_of_open_dead_letters_are_taken_over_with_their_number() -> None:
    status = decide(ended("Succeeded", "Succeeded", dead_letters=3, dead_letters_by_code={"CONFLICT": 3}), NOON).status
    assert isinstance(status, SyncStatus)
    assert (status.dead_letters, status.dead_letters_by_code) == (3, {"CONFLICT": 3})


def test_a_message_fits_into_the_record() -> None:
    decision = decide(sync_view(problem=Problem("InvalidSpec", "x" * 5_000)), NOON)
    assert max(len(record.message) for record in decision.verdicts) <= 256


def test_every_reason_that_ticks_can_have_says_what_it_means() -> None:
    assert all(meaning.means and not meaning.means.endswith(".") for meaning in TICK_REASONS.values())
