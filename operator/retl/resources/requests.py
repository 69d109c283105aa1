"""What people ask of syncs, runs and connections: the objects and merge patches that do so, and when they make sense.

The command line and the API ask alike. Pure.
"""

from collections.abc import Mapping
from typing import Any

from retl.errors import InvalidInput
from retl.resources.kinds import RUN, Manifest
from retl.resources.marks import CHECK_REQUESTED
from retl.resources.meta import API_VERSION
from retl.resources.sync import SyncState
from retl.resources.views import Run, Sync


class Draft(InvalidInput):
    """The sync is a draft, which has no runs."""

    reason = "SyncIsDraft"


class Ended(InvalidInput):
    """The run has ended already."""


class NotHeld(InvalidInput):
    """The run does not wait for approval."""


class AnotherPlan(InvalidInput):
    """The run waits for the approval of another plan."""


def run_of(sync: Sync, spec: Mapping[str, Any]) -> Manifest:
    """A SyncRun of a sync under a name that the API server completes.

    Args:
        spec: of the run, beside the reference to its sync.
    Raises:
        Draft
    """
    if sync.state == "Draft":
        raise Draft(f"ReverseETLSync {sync.name} is a Draft; set spec.state to Active, or to Paused and run it by hand")
    return {
        "apiVersion": API_VERSION,
        "kind": RUN,
        "metadata": {"generateName": f"{sync.name}-"},
        "spec": {"syncRef": {"name": sync.name}, **spec},
    }


def cancel(run: Run) -> Manifest:
    """Stops a run; what was acknowledged is kept (raises Ended)."""
    if run.ended:
        raise Ended(f"SyncRun {run.name} has ended already: {run.phase}")
    return {"spec": {"cancel": True}}


def approve(run: Run, plan_hash: str) -> Manifest:
    """Lets a run go on that is held, with exactly that plan (raises NotHeld, AnotherPlan)."""
    check_approvable(run, plan_hash)
    return {"spec": {"approval": {"planHash": plan_hash}}}


def check_approvable(run: Run, plan_hash: str | None) -> None:
    """Whether a run waits for the approval of that plan, or of any if None (raises NotHeld, AnotherPlan)."""
    if not run.held:
        raise NotHeld(f"SyncRun {run.name} does not wait for approval: it is {run.phase or 'Pending'}")
    if plan_hash is not None and plan_hash != run.status.plan_hash:
        raise AnotherPlan(
            f"SyncRun {run.name} would carry out plan {run.status.plan_hash}, not {plan_hash}; "
            "rows have changed since: look at what it would write now"
        )


def state(wanted: SyncState) -> Manifest:
    """Pauses a sync, or sets it to work."""
    return {"spec": {"state": wanted}}


def check(asked_at: str) -> Manifest:
    """Has a connection looked at.

    Args:
        asked_at: any text that was not there before; `status.lastHandledCheck` is it once that is done.
    """
    return {"metadata": {"annotations": {CHECK_REQUESTED: asked_at}}}
