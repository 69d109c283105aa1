"""The words that say why: of ticks and of runs, each with what it means and what a person can do.

One table for the controller that sets them, `retl why` that explains them, and the documentation that lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason says.

    Attributes:
        means: a sentence without a full stop.
        do: what a person can do; empty where nothing needs to be done.
    """

    means: str
    do: str = ""


TICK_REASONS: Mapping[str, Meaning] = {
    "PreviousRunActive": Meaning(
        "another run of the sync was under way", "make runs shorter, ticks rarer, or set schedule.catchUp to All"
    ),
    "AwaitingApproval": Meaning("a run waits for a person's approval", "look at its plan, then approve or cancel it"),
    "Blackout": Meaning("the tick fell into one of schedule.blackouts"),
    "DependencyFailed": Meaning("a sync that it depends on has not succeeded", "look at that sync"),
    "DependencyStale": Meaning("the last success of a sync that it depends on is too old", "look at that sync"),
    "DependencyRunning": Meaning("a sync that it depends on is under way"),
    "DependencyNotFound": Meaning(
        "schedule.dependsOn names a sync that is not there", "create it, or take it out of schedule.dependsOn"
    ),
    "SourceNotFresh": Meaning("schedule.freshness found nothing new at the source"),
    "NameTaken": Meaning("a SyncRun of the name is there and is not the controller's", "rename or delete it"),
    "NewerTickDue": Meaning("a newer tick was due as well, and answers for it"),
    "Late": Meaning("it could not start when it was due, and schedule.catchUp is None"),
    "CatchUpLimit": Meaning("more ticks were late than schedule.catchUpMax"),
    "StartingDeadlineExceeded": Meaning("it could not start within schedule.startingDeadline"),
    "ClockSkew": Meaning(
        "the controller's clock differed from the API server's by more than 30 s", "correct the node's clock"
    ),
    "Failed": Meaning("its run failed", "look at the run"),
    "Cancelled": Meaning("its run was cancelled"),
}
"""Of verdicts; a sync that cannot run at all gives its ticks the reason of its condition Stalled."""

RUN_REASONS: Mapping[str, Meaning] = {}
"""Of a SyncRun's condition Succeeded."""
