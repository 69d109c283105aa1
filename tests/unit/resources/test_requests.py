"""What people ask of syncs and runs, and what makes no sense to ask."""

from typing import Any

import pytest

from retl.errors import InvalidInput
from retl.resources import requests
from retl.resources.requests import AnotherPlan, Draft, Ended, NotHeld
from retl.resources.views import Run, Sync


def sync(state: str | None) -> Sync:
    spec = {} if state is None else {"state": state}
    return Sync.read({"metadata": {"name": "accounts", "namespace": "growth"}, "spec": spec})


def run(phase: str | None, **status: Any) -> Run:
    spec = {"syncRef": {"name": "accounts"}}
    return Run.read({"metadata": {"name": "accounts-1"}, "spec": spec, "status": {"phase": phase, **status}})


HELD = run("AwaitingApproval", planHash="abc")


@pytest.mark.parametrize("state", [None, "Active", "Paused"])
def test_a_sync_that_is_no_draft_can_be_run(state: str | None) -> None:
    manifest = requests.run_of(sync(state), {"mode": "Plan"})
    assert manifest["kind"] == "SyncRun"
    assert manifest["metadata"] == {"generateName": "accounts-"}
    assert manifest["spec"] == {"syncRef": {"name": "accounts"}, "mode": "Plan"}


def test_a_draft_cannot_be_run() -> None:
    with pytest.raises(Draft, match="ReverseETLSync accounts is a Draft"):
        requests.run_of(sync("Draft"), {})


@pytest.mark.parametrize("phase", [None, "Pending", "Running", "AwaitingApproval"])
def test_a_run_that_goes_on_can_be_cancelled(phase: str | None) -> None:
    assert requests.cancel(run(phase)) == {"spec": {"cancel": True}}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_run_that_has_ended_cannot_be_cancelled(phase: str) -> None:
    with pytest.raises(Ended, match=f"SyncRun accounts-1 has ended already: {phase}"):
        requests.cancel(run(phase))


def test_a_run_that_is_held_goes_on_with_the_plan_that_is_named() -> None:
    assert requests.approve(HELD, "abc") == {"spec": {"approval": {"planHash": "abc"}}}


@pytest.mark.parametrize(
    ("of", "plan_hash", "error", "says"),
    [
        (run("Running"), "abc", NotHeld, "does not wait for approval: it is Running"),
        (run(None), "abc", NotHeld, "does not wait for approval: it is Pending"),
        (HELD, "xyz", AnotherPlan, "would carry out plan abc, not xyz"),
    ],
)
def test_nothing_else_can_be_approved(of: Run, plan_hash: str, error: type[InvalidInput], says: str) -> None:
    with pytest.raises(error, match=says):
        requests.approve(of, plan_hash)
