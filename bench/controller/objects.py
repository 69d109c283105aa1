"""What the control plane is filled with: syncs and CronJobs of the same schedules, spread over namespaces."""

from datetime import datetime
from typing import Any

from bench.controller.api import Manifest

NAMESPACES = 10
MAPPINGS = 10
SYNCS, CRONJOBS = "/apis/reverseetl.io/v1alpha1/{}/reverseetlsyncs", "/apis/batch/v1/{}/cronjobs"


def namespace(number: int) -> str:
    return f"bench-{number % NAMESPACES}"


def name(number: int) -> str:
    """Without a dash: the first one in the name of a Job ends it."""
    return f"s{number:05}"


def path(collection: str, number: int | None = None) -> str:
    """URL path of the collection in the namespace of an object; of all namespaces without one."""
    scope = f"namespaces/{namespace(number)}" if number is not None else ""
    return collection.format(scope).replace("//", "/")


def resting(number: int, now: datetime) -> str:
    """A cron expression that does not fire for five hours at least; a few hundred different ones."""
    return f"{number % 60} {(now.hour + 6 + number % 12) % 24} * * *"


def once(moment: datetime) -> str:
    """A cron expression that fires in that minute (UTC)."""
    return f"{moment.minute} {moment.hour} {moment.day} {moment.month} *"


def connections() -> list[tuple[str, Manifest]]:
    """A source and a destination for each namespace, with the paths to post them to."""
    config: dict[str, Any] = {"files": {"accounts": "/data/accounts.csv"}}
    source = _object("SyncSource", "warehouse", {"connector": "duckdb", "config": config})
    crm = {"connector": "http", "config": {"url": "http://127.0.0.1:1/accounts"}}
    destination = _object("SyncDestination", "crm", crm)
    root = "/apis/reverseetl.io/v1alpha1/namespaces/{}/{}"
    return [
        (root.format(namespace(number), plural), manifest)
        for number in range(NAMESPACES)
        for plural, manifest in (("syncsources", source), ("syncdestinations", destination))
    ]


def sync(number: int, cron: str) -> Manifest:
    columns = [f"column_{i}" for i in range(MAPPINGS - 1)]
    mappings = [{"source": "account_id", "destination": "External_Id__c", "key": True}]
    return _object(
        "ReverseETLSync",
        name(number),
        {
            "query": {
                "sourceRef": {"name": "warehouse"},
                "sql": f"SELECT account_id, {', '.join(columns)} FROM accounts",
            },
            "destinationRef": {"name": "crm"},
            "object": "Account",
            "primaryKey": ["account_id"],
            "mappings": [*mappings, *({"source": c, "destination": c} for c in columns)],
            "schedule": {"cron": cron, "timeZone": "UTC"},
        },
    )


def cronjob(number: int, cron: str) -> Manifest:
    container = {"name": "runner", "image": "runner", "command": ["true"]}
    pod = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"schedule": cron, "timeZone": "UTC", "jobTemplate": {"spec": {"backoffLimit": 0, "template": pod}}}
    # Another letter than a sync's: their Jobs are told apart by it.
    metadata = {"name": name(number).replace("s", "c")}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": "reverseetl.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
