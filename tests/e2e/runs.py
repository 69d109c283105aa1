"""Runs of the team's syncs as tests start them, await them and look at their pods."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.processes import wait_until
from tests.e2e.ground import TEAM
from tests.e2e.stage import Stage

GATE = 7
"""The advisory lock of the warehouse for which the query of the sync `gated` waits."""


def start(stage: Stage, sync: str, name: str, **spec: Any) -> None:
    manifest = {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "SyncRun",
        "metadata": {"name": name, "namespace": TEAM},
        "spec": {"syncRef": {"name": sync}, **spec},
    }
    stage.kubectl("create", "-f", "-", input=json.dumps(manifest))


def ended(stage: Stage, name: str, *, well: bool = True, limit: int = 60) -> dict[str, Any]:
    """The run's status once it has ended, which it must do as `well` says."""
    arguments = ("--for=jsonpath={.status.finishedAt}", f"syncrun/{name}", "-n", TEAM)
    stage.kubectl("wait", *arguments, f"--timeout={limit}s", timeout=limit + 10)
    status: dict[str, Any] = stage.get("syncrun", name)["status"]
    [succeeded] = [condition for condition in status["conditions"] if condition["type"] == "Succeeded"]
    assert succeeded["status"] == str(well), f"run {name}: {succeeded['reason']}: {succeeded['message']}"
    return status


def counts(status: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in status["counts"].items() if count}


def runner(stage: Stage, name: str) -> dict[str, Any]:
    """The newest pod of a run."""
    pods = stage.list("pods", f"reverseetl.io/run={name}")
    assert pods, f"run {name} has no pod"
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])


def reads(stage: Stage, name: str) -> str:
    """The name of the run's pod, once its query waits at the gate."""

    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with stage.warehouse.connect() as connection:
        reading = wait_until(lambda: connection.execute(waiting).fetchone() == (1,), limit=60, every=0.2)
    assert reading, f"run {name} never read\n{stage.account()}"
    pod: str = runner(stage, name)["metadata"]["name"]
    return pod
