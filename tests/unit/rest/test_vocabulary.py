"""Both vocabularies, against what the resources can say."""

from typing import Any, get_args

import pytest

from retl.resources.run import RunPhase
from retl.resources.views import Sync
from retl.rest.vocabulary import RUN_WORDS, STATES_OF_WORD, state_of_run, state_of_sync
from retl.state.store import RunState


def test_every_phase_of_a_run_has_its_words() -> None:
    assert set(RUN_WORDS) == set(get_args(RunPhase))


def test_what_a_filter_asks_for_is_never_two_states() -> None:
    assert len(STATES_OF_WORD) == len(RUN_WORDS)


@pytest.mark.parametrize("said", get_args(RunState))
def test_a_run_of_the_history_has_the_state_that_it_had_in_the_cluster(said: str) -> None:
    assert state_of_run(said) == ("Failed" if said == "Interrupted" else said)


@pytest.mark.parametrize("said", [None, "", "Dreaming"])
def test_a_run_that_nobody_has_looked_at_waits(said: str | None) -> None:
    assert state_of_run(said) == "Pending"


def condition(type: str, status: str, reason: str, message: str = "why") -> dict[str, Any]:
    said = {"type": type, "status": status, "reason": reason, "message": message}
    return said | {"lastTransitionTime": "2026-03-02T12:00:00Z"}


STALLED = condition("Stalled", "True", "SourceNotFound")
FAILED = condition("LastRunSucceeded", "False", "SourceFailed")
CANCELLED = condition("LastRunSucceeded", "False", "Cancelled")


@pytest.mark.parametrize(
    ("state", "conditions", "status", "error"),
    [
        (None, [], "active", ""),
        ("Active", [condition("Ready", "True", "Scheduled")], "active", ""),
        ("Active", [STALLED], "error", "SourceNotFound: why"),
        ("Active", [FAILED], "error", "SourceFailed: why"),
        ("Active", [FAILED, STALLED], "error", "SourceNotFound: why"),
        ("Active", [CANCELLED], "active", ""),
        ("Paused", [STALLED, FAILED], "paused", ""),
        ("Draft", [STALLED], "draft", ""),
    ],
)
def test_a_sync_is_what_its_state_and_conditions_say(
    state: str | None, conditions: list[dict[str, Any]], status: str, error: str
) -> None:
    spec = {} if state is None else {"state": state}
    found = state_of_sync(sync_of({"conditions": conditions}, spec))
    assert (found.status, found.error) == (status, error)


@pytest.mark.parametrize(("observed", "status"), [(1, "active"), (2, "error")])
def test_a_sync_that_was_changed_is_not_in_error_until_somebody_has_judged_it(observed: int, status: str) -> None:
    found = state_of_sync(sync_of({"conditions": [STALLED], "observedGeneration": observed}, {}, generation=2))
    assert found.status == status


def sync_of(status: dict[str, Any], spec: dict[str, Any], generation: int = 1) -> Sync:
    return Sync.read({"metadata": {"name": "a", "generation": generation}, "spec": spec, "status": status})
