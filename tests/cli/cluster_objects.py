"""Objects of a cluster as its API server gives them, for what the command line makes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from retl.cli.cluster.findings import Situation
from retl.resources.views import Other, Run, Sync

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def ago(**length: float) -> str:
    """A timestamp so long before NOW."""
    return (NOW - timedelta(**length)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": type,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(hours=1),
    }


READY = condition("Ready", "True", "Scheduled")


def stalled(reason: str, message: str) -> list[dict[str, Any]]:
    return [condition(type, status, reason, message) for type, status in (("Ready", "False"), ("Stalled", "True"))]


def sync(name: str = "accounts", *, generation: int = 1, spec: Any = None, **status: Any) -> Sync:
    """A sync at work, every hour, unless told otherwise."""
    seen = {"observedGeneration": 1, "conditions": [READY], "nextRunTime": ago(minutes=-30)}
    return Sync.read(
        {
            "apiVersion": "reverseetl.io/v1alpha1",
            "kind": "ReverseETLSync",
            "metadata": {"name": name, "namespace": "growth", "uid": f"uid-{name}", "generation": generation},
            "spec": {
                "modelRef": {"name": "accounts"},
                "destinationRef": {"name": "crm"},
                "object": "Account",
                "schedule": {"cron": "30 * * * *"},
            }
            | (spec or {}),
            "status": seen | status,
        }
    )


def unseen(name: str = "accounts") -> Sync:
    """One that no controller has looked at."""
    manifest = sync(name).manifest
    return Sync.read(manifest | {"status": {}})


def run(name: str = "accounts-1", *, spec: Any = None, reason: str = "", message: str = "", **status: Any) -> Run:
    conditions = [condition("Succeeded", "Unknown", reason, message)] if reason else []
    return Run.read(
        {
            "apiVersion": "reverseetl.io/v1alpha1",
            "kind": "SyncRun",
            "metadata": {"name": name, "namespace": "growth", "creationTimestamp": ago(minutes=5)},
            "spec": {"syncRef": {"name": "accounts"}} | (spec or {}),
            "status": {"conditions": conditions} | status,
        }
    )


def active(name: str = "accounts-1") -> dict[str, Any]:
    return {"activeRun": {"name": name, "since": ago(minutes=5)}}


def destination(spec: Any = None, **status: Any) -> Other:
    manifest = {"metadata": {"name": "crm", "generation": 1}, "spec": spec or {}, "status": status}
    return Other.read("SyncDestination", "crm", manifest)


def situation(
    of: Sync,
    *runs: Run,
    ends: tuple[Other, ...] = (),
    pods: tuple[dict[str, Any], ...] = (),
    **dependencies: Sync | None,
) -> Situation:
    return Situation(of, runs, ends, dependencies, pods, NOW)
