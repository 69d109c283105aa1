"""Views and objects for the tables of the pure decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from retl.controller.facts import JobFacts, PodFacts
from retl.controller.runs.view import RunView, SyncFacts
from retl.controller.syncs.timetable import in_force
from retl.controller.syncs.view import RunFacts, SyncView
from retl.resources import ReverseETLSync, SyncDestination, SyncRun, SyncSource
from retl.resources.meta import ObjectMeta
from retl.resources.run import RunPhase, RunStatus
from retl.resources.sync import ActiveRun, Runner, SyncStatus
from retl.runspec import RunResult, RunSpec
from retl.runspec.resolve import resolve

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
API = "reverseetl.io/v1alpha1"


def at(minutes: float) -> datetime:
    """A moment, in minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def sync_manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "ReverseETLSync",
        "metadata": {
            "name": "accounts",
            "namespace": "growth",
            "uid": "sync-uid",
            "generation": 1,
            "resourceVersion": "10",
            "creationTimestamp": at(-60).isoformat(),
        },
        "spec": {
            "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1 AS id"},
            "destinationRef": {"name": "crm"},
            "object": "Account",
            "primaryKey": ["id"],
            "mappings": [{"source": "id", "destination": "Id", "key": True}],
        }
        | spec,
        "status": {},
    }


def connection_manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    settings = {
        "SyncSource": {"connector": "duckdb", "config": {"path": "warehouse.duckdb"}},
        "SyncDestination": {"connector": "http", "config": {"url": "https://crm.example/{object}"}},
    }[kind]
    metadata = {"name": name, "namespace": "growth", "uid": f"{name}-uid", "generation": 1, "resourceVersion": "1"}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": settings | spec, "status": {}}


def run_manifest(name: str = "accounts-1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "growth", "uid": "run-uid", "creationTimestamp": NOON.isoformat()}
    return {
        "apiVersion": API,
        "kind": "SyncRun",
        "metadata": metadata,
        "spec": {"syncRef": {"name": "accounts"}} | spec,
        "status": {},
    }


def run_spec(secret: str | None = None, **run: Any) -> RunSpec:
    """What a runner of the sync above would be told."""
    login = {"credentials": {"secretRef": {"name": secret}}} if secret else {}
    found = {
        SyncSource: SyncSource.read(connection_manifest("SyncSource", "warehouse", **login)),
        SyncDestination: SyncDestination.read(connection_manifest("SyncDestination", "crm", **login)),
    }
    sync, one = ReverseETLSync.read(sync_manifest()), SyncRun.read(run_manifest(**run))
    return resolve(sync, one, lambda kind, _: found.get(kind))


def sync_view(status: dict[str, Any] | None = None, runs: tuple[RunFacts, ...] = (), **changes: Any) -> SyncView:
    """A sync that fires on the hour, was seen before, and has had its ticks up to half past eleven."""
    spec = {"schedule": {"cron": "0 * * * *"}} | changes.pop("spec", {})
    sync = ReverseETLSync.read(sync_manifest(**spec))
    armed = in_force(sync.spec.schedule) if sync.spec.schedule else None
    seen = {"observed_generation": 1, "last_tick": at(-30), "next_run_time": at(0), "armed_schedule": armed}
    view = SyncView(sync.metadata, sync.spec, SyncStatus(**(seen | (status or {}))), runs=runs)
    return replace(view, **changes)


def facts(name: str, phase: RunPhase | None = None, *, minutes: float = 0, owner: str = "", **more: Any) -> RunFacts:
    """A SyncRun of that sync, made (and, if it has ended, ended) so many minutes after noon."""
    finished = at(minutes) if phase in ("Succeeded", "Failed", "Cancelled") else None
    record = RunStatus(phase=phase, finished_at=finished, **more.pop("status", {}))
    raw = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    run = RunFacts(name, f"{name}-uid", at(minutes), owner, phase, record.attempt, finished, raw_status=raw)
    return replace(run, **more)


def held_by(name: str, tick: datetime | None = None) -> ActiveRun:
    return ActiveRun(name=name, tick=tick, since=NOON)


def run_view(status: dict[str, Any] | None = None, **changes: Any) -> RunView:
    """A run that holds the reservation of its sync and can be resolved."""
    run = SyncRun.read(run_manifest(**changes.pop("spec", {})))
    sync = SyncFacts("sync-uid", "Active", "accounts-1", Runner())
    view = RunView(run.metadata, run.spec, RunStatus(**(status or {})), False, sync, resolved=run_spec())
    return replace(view, **changes)


def job(**changes: Any) -> JobFacts:
    """The Job of that run's first attempt, under way."""
    return replace(JobFacts("accounts-1-1", "job-uid", "run-uid"), **changes)


def pod(**changes: Any) -> PodFacts:
    """The pod of that Job, running."""
    return replace(PodFacts("accounts-1-1-x", "accounts-1-1", at(0)), **changes)


def said(**result: Any) -> PodFacts:
    """A pod whose runner left a result."""
    text = RunResult(run="accounts-1", sync="accounts", **result).model_dump_json(by_alias=True)
    return pod(exit_code=0, end_reason="Completed", last_words=text, ended_at=at(1))


def meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="growth", uid=f"{name}-uid")
