"""What to say about a SyncSource, SyncDestination or SyncModel. Pure."""

from datetime import datetime

from retl.controller.connections.gather import ConnectionView
from retl.controller.connections.slots import slots
from retl.controller.decision import RECHECK, Decision, readiness
from retl.resources.destination import DestinationStatus


def decide(view: ConnectionView, now: datetime) -> Decision:
    """Whether it can be used; where something is missing that no event will announce, when to look again."""
    if view.meta.deletion_timestamp:
        return Decision()
    generation = view.meta.generation
    conditions = readiness(view.status.conditions, view.problem, reason="Valid", now=now, generation=generation)
    status = view.status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    if isinstance(status, DestinationStatus):
        status = status.model_copy(
            update={"slots": slots(status.slots, view.limit, view.claims, now.replace(microsecond=0))}
        )
    return Decision(status, wake=now + RECHECK if view.problem and view.problem.passing else None)
