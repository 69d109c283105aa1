"""When a sync is first to be looked at after a start, from what the first LIST says of it. Pure, and quick.

To look at ten thousand syncs takes a while, and to write what there is to say of them for the first time takes longer.
Their ticks do not wait for that: each is called out of the line when its time comes.
"""

from datetime import datetime

from pydantic import ValidationError

from retl.controller.facts import moment
from retl.controller.syncs.lenient import timestamp
from retl.errors import InvalidInput
from retl.resources.kinds import Manifest
from retl.resources.sync import Schedule
from retl.schedule import next_tick


def first_alarm(sync: Manifest, now: datetime) -> datetime | None:
    """The next tick, or one that is due already; None when the sync has no tick that can be told at a glance."""
    metadata, status = sync["metadata"], sync["status"]
    if status.get("observedGeneration") == metadata["generation"]:
        return timestamp(status.get("nextRunTime"))
    spec = sync["spec"] or {}
    if spec.get("state", "Active") != "Active" or "schedule" not in spec:
        return None
    seen_before = "observedGeneration" in status
    try:
        return next_tick(
            Schedule.model_validate(spec["schedule"]), now if seen_before else moment(metadata["creationTimestamp"])
        )
    except (ValidationError, InvalidInput):
        return None  # what is wrong is said when its turn comes
