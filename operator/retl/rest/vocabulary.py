"""What a run and a sync can be, in the words of both published APIs: the only place where the two vocabularies meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from retl.resources.conditions import find
from retl.resources.views import Sync

RunState = Literal["Pending", "Running", "AwaitingApproval", "Succeeded", "Failed", "Cancelled"]
"""What a run is, wherever it is known from: the phases of a SyncRun."""


@dataclass(frozen=True, slots=True)
class Words:
    """One state in both vocabularies.

    Attributes:
        workspaces: of /api/v1/workspaces, where these five are all there are.
        reverse_etl: of /api/reverse-etl.
    """

    workspaces: Literal["pending", "running", "completed", "failed", "cancelled"]
    reverse_etl: Literal["queued", "running", "awaiting_approval", "succeeded", "failed", "cancelled"]


RUN_WORDS: Mapping[RunState, Words] = {
    "Pending": Words("pending", "queued"),
    "Running": Words("running", "running"),
    "AwaitingApproval": Words("pending", "awaiting_approval"),
    "Succeeded": Words("completed", "succeeded"),
    "Failed": Words("failed", "failed"),
    "Cancelled": Words("cancelled", "cancelled"),
}

STATES_OF_WORD: Mapping[str, RunState] = {words.reverse_etl: state for state, words in RUN_WORDS.items()}
"""What `status` of /api/reverse-etl/runs asks for."""


def state_of_run(said: str | None) -> RunState:
    """The state that a phase of a SyncRun, or a state of the history, is.

    Args:
        said: None or a word that is not known: nobody has looked at the run yet. `Interrupted`: its runner vanished,
            which is how a run stands in the history that nobody went on with.
    """
    if said == "Interrupted":
        return "Failed"
    return next((state for state in RUN_WORDS if state == said), "Pending")


@dataclass(frozen=True, slots=True)
class SyncState:
    """What a sync is in the words of /api/v1/workspaces.

    Attributes:
        error: why it is in error; empty otherwise.
    """

    status: Literal["draft", "active", "paused", "error"]
    error: str = ""


def state_of_sync(sync: Sync) -> SyncState:
    """A sync that is to be active is in error when it is stalled, or when its last run failed.

    What was said of an older spec tells nothing of this one: right after a change nobody has judged it yet.
    """
    if sync.state == "Draft":
        return SyncState("draft")
    if sync.state == "Paused":
        return SyncState("paused")
    judged = sync.status.observed_generation in (None, sync.meta.generation)
    wrong = sync.stalled if judged else None
    if wrong is None:
        last = find(sync.status.conditions, "LastRunSucceeded")
        wrong = last if last and last.status == "False" and last.reason not in _NO_FAILURE else None
    return SyncState("active") if wrong is None else SyncState("error", f"{wrong.reason}: {wrong.message}")


_NO_FAILURE = frozenset({"Cancelled", "Deleted"})
"""Reasons of a run that a person ended."""
