"""What to do about a SyncSource, SyncDestination or SyncModel. Pure."""

from dataclasses import replace
from datetime import datetime

from retl.controller.connections.checking import checked
from retl.controller.connections.gather import ConnectionView
from retl.controller.connections.slots import line, slots
from retl.controller.decision import RECHECK, Decision, readiness
from retl.controller.settings import RunnerSettings
from retl.resources.destination import DestinationStatus


def decide(view: ConnectionView, now: datetime, runner: RunnerSettings) -> Decision:
    """Whether it can be used, and its next check; where no event will announce what is missing, when to look again.

    Args:
        runner: what all runners have in common, those that check as well.
    """
    if view.meta.deletion_timestamp:
        return Decision()
    decision = _judged(view, now, runner)
    status, crowded = decision.status, False
    if isinstance(status, DestinationStatus):
        given = slots(status.slots, view.limit, view.claims, now.replace(microsecond=0))
        status = status.model_copy(update={"slots": given})
        gone = any(claim.gone for claim in view.claims)
        crowded = view.limit is not None and (gone or bool(line(view.claims, given)))
    passing = view.problem is not None and view.problem.passing
    wakes = [decision.wake, now + RECHECK if passing or crowded else None]
    return replace(decision, status=status, wake=min((at for at in wakes if at), default=None))


def _judged(view: ConnectionView, now: datetime, runner: RunnerSettings) -> Decision:
    if view.check is not None:
        return checked(view.check, view.meta, view.status, view.problem, now, runner)
    generation = view.meta.generation
    conditions = readiness(view.status.conditions, view.problem, reason="Valid", now=now, generation=generation)
    return Decision(view.status.model_copy(update={"conditions": conditions, "observed_generation": generation}))
