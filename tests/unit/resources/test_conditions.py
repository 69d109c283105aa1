"""Conditions: when their time moves, and when it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from retl.resources.conditions import find, with_condition, without_condition

NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def test_a_new_condition_begins_now_in_whole_seconds() -> None:
    (ready,) = with_condition([], "Ready", "True", "Resolved", now=NOON, generation=3)
    assert ready.last_transition_time == NOON.replace(microsecond=0)
    assert (ready.reason, ready.message, ready.observed_generation) == ("Resolved", "", 3)


def test_the_time_stays_while_only_reason_and_message_change() -> None:
    before = with_condition([], "Ready", "False", "SourceNotFound", "there is no source", now=NOON)
    (after,) = with_condition(before, "Ready", "False", "ModelNotFound", "there is no model", now=LATER)
    assert after.last_transition_time == before[0].last_transition_time
    assert (after.reason, after.message) == ("ModelNotFound", "there is no model")


def test_the_time_moves_when_the_status_does() -> None:
    before = with_condition([], "Ready", "False", "SourceNotFound", now=NOON)
    (after,) = with_condition(before, "Ready", "True", "Resolved", now=LATER)
    assert after.last_transition_time == LATER.replace(microsecond=0)


def test_other_conditions_keep_their_place_and_content() -> None:
    both = with_condition(with_condition([], "Ready", "True", "R", now=NOON), "Stalled", "True", "S", now=NOON)
    after = with_condition(both, "Ready", "False", "Gone", now=LATER)
    assert [c.type for c in after] == ["Ready", "Stalled"]
    assert after[1] == both[1]


def test_a_condition_can_be_dropped_and_is_then_not_found() -> None:
    both = with_condition(with_condition([], "Ready", "True", "R", now=NOON), "Stalled", "True", "S", now=NOON)
    left = without_condition(both, "Stalled")
    assert find(left, "Stalled") is None
    assert find(left, "Ready") == both[0]
    assert without_condition(left, "Stalled") == left


def test_a_condition_is_written_as_kubernetes_reads_it() -> None:
    (ready,) = with_condition([], "Ready", "Unknown", "Pending", now=NOON)
    assert ready.model_dump(mode="json", exclude_none=True) == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "Pending",
        "message": "",
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }
