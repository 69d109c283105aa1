"""What one simulation is about, all drawn from its seed: syncs, controllers, what people do, what fails."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from retl.controller.settings import LeaseSettings
from tests.faults.faults import Faults, draw

NAMESPACE = "shop"
DOOMED = "doomed"
"""A namespace that is deleted in some simulations."""

_STARTS = (
    datetime(2026, 5, 4, 9, 0, tzinfo=UTC),
    datetime(2026, 3, 28, 23, 40, tzinfo=UTC),  # before the clock in Vienna skips an hour
    datetime(2026, 10, 24, 23, 10, tzinfo=UTC),  # before one comes twice
)
_CRONS = ("*/10 * * * *", "*/15 * * * *", "*/20 * * * *", "*/30 * * * *", "0 * * * *", "7,22,41 * * * *", "@hourly")
_ZONES = ("UTC", "UTC", "Europe/Vienna", "Asia/Kolkata")
_DEEDS = {
    "run by hand": 8,
    "plan by hand": 2,
    "cancel": 5,
    "approve": 10,
    "pause": 2,
    "resume": 3,
    "reschedule": 2,
    "delete the sync": 2,
    "delete a run": 3,
    "delete a job": 3,
    "write status": 1,
    "take a run's name": 2,
    "take a job's name": 1,
    "remove the destination": 1,
    "remove the secret": 1,
    "pin a run": 2,
    "touch": 8,
    "touch a run": 4,
}


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a person does.

    Attributes:
        at: seconds since the beginning.
        what: one of the deeds in `people`.
    """

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulation.

    Attributes:
        troubled: seconds during which things go wrong and people are busy.
        dooms: a namespace is deleted.
    """

    seed: int
    start: datetime
    troubled: float
    controllers: int
    lease: LeaseSettings | None
    faults: Faults
    syncs: tuple[dict[str, Any], ...]
    deeds: tuple[Deed, ...]
    limit: int | None
    secret: bool
    dooms: bool


def plan_of(seed: int) -> Plan:
    """The plan of a seed; the same on every machine."""
    rng = random.Random(f"plan {seed}")
    troubled = rng.uniform(2400, 6000)
    controllers, lease = rng.choice(((1, None), (1, None), (2, None), (2, _lease())))
    deeds = sorted(rng.uniform(0, troubled) for _ in range(rng.randint(0, 12)))
    return Plan(
        seed=seed,
        start=rng.choice(_STARTS) + timedelta(seconds=rng.randrange(1200)),
        troubled=troubled,
        controllers=controllers,
        lease=lease,
        faults=draw(rng),
        syncs=tuple(_sync(f"sync-{n}", rng, n) for n in range(rng.randint(1, 3))),
        deeds=tuple(Deed(at, rng.choices(list(_DEEDS), list(_DEEDS.values()))[0]) for at in deeds),
        limit=rng.choice((None, None, 1, 2)),
        secret=rng.random() < 0.3,
        dooms=rng.random() < 0.1,
    )


def connections(plan: Plan) -> list[dict[str, Any]]:
    """The source and the destination of all syncs, for one namespace."""
    login = {"credentials": {"secretRef": {"name": "login"}}} if plan.secret else {}
    limit = {"maxConcurrentRuns": plan.limit} if plan.limit else {}
    source = {"connector": "duckdb", "config": {"files": {"accounts": "/data/a.csv"}}, "checkInterval": "30d"}
    destination = {"connector": "http", "config": {"url": "http://127.0.0.1:1/accounts"}, "checkInterval": "30d"}
    return [
        manifest("SyncSource", "warehouse", source),
        manifest("SyncDestination", "crm", destination | login | limit),
    ]


def manifest(kind: str, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> dict[str, Any]:
    """An object as a person writes it."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "reverseetl.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def sync(name: str, **spec: Any) -> dict[str, Any]:
    """A sync that writes accounts from the warehouse into the CRM."""
    return manifest(
        "ReverseETLSync",
        name,
        {
            "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1 AS id"},
            "destinationRef": {"name": "crm"},
            "object": "accounts",
            "primaryKey": ["id"],
            "mappings": [{"source": "id", "destination": "Id", "key": True}],
        }
        | spec,
    )


def schedule(rng: random.Random) -> dict[str, Any]:
    """Some schedule."""
    chosen: dict[str, Any] = {"cron": rng.choice(_CRONS), "timeZone": rng.choice(_ZONES)}
    chosen["catchUp"] = rng.choice(("Latest", "Latest", "None", "All"))
    if chosen["catchUp"] == "All" and rng.random() < 0.5:
        chosen["catchUpMax"] = rng.randint(1, 4)
    if rng.random() < 0.15:
        chosen["startingDeadline"] = rng.choice(("2m", "15m"))
    if rng.random() < 0.15:
        chosen["jitter"] = "90s"
    if rng.random() < 0.15:
        chosen["blackouts"] = [{"cron": "0 */2 * * *", "duration": "45m", "reason": "month end"}]
    if rng.random() < 0.15:
        chosen["freshness"] = {"sql": "SELECT max(loaded_at) FROM accounts"}
    return chosen


def _sync(name: str, rng: random.Random, number: int) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "history": {"successful": rng.randint(0, 3), "failed": rng.randint(0, 2)},
        "runner": {"timeout": "20m", "retries": rng.randint(0, 3)},
    }
    if number and rng.random() < 0.1:
        return sync(name, **spec)
    spec["schedule"] = schedule(rng)
    if number and rng.random() < 0.35:
        after = {"syncRef": {"name": "sync-0"}, "onFailure": rng.choice(("Skip", "Wait"))}
        if rng.random() < 0.4:
            after["maxAge"] = "1h"
        spec["schedule"]["dependsOn"] = [after]
        if rng.random() < 0.3:
            spec["schedule"]["cron"] = "@after"
    return sync(name, **spec)


def _lease() -> LeaseSettings:
    """As the default, but six times as slow: renewals are most of what happens."""
    return LeaseSettings(
        namespace="retl-system",
        identity="set for each life",
        duration=timedelta(seconds=90),
        deadline=timedelta(seconds=60),
        renewal=timedelta(seconds=12),
        look=timedelta(seconds=12),
    )
