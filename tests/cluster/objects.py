"""The project's objects in one namespace, as tests write and read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.cluster.cluster import Cluster
from tests.cluster.processes import wait_until

PATIENCE = 60.0
EVERY_MINUTE = {"cron": "* * * * *"}
FAR_AWAY = {"cron": "0 0 1 1 *"}
OF_A_RUN = "reverseetl.io/run"
"""Label of what belongs to a run."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace with the objects of this project in it."""

    cluster: Cluster
    name: str

    def make(self) -> Self:
        """Make it, and wait for the ServiceAccount that each namespace has."""
        self.cluster.kubectl("create", "namespace", self.name)
        there = ("get", "serviceaccount", "default", "-n", self.name, "--ignore-not-found")
        assert wait_until(lambda: bool(self.cluster.kubectl(*there)), PATIENCE), f"{self.name}: no ServiceAccount"
        return self

    def drop(self) -> None:
        """Delete it, without waiting for the end of that."""
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")

    def apply(self, *manifests: dict[str, Any]) -> None:
        items = [m | {"metadata": m["metadata"] | {"namespace": self.name}} for m in manifests]
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def create(self, manifest: dict[str, Any]) -> str:
        """kubectl create; the name it was given."""
        answer = self.cluster.kubectl("create", "-n", self.name, "-f", "-", "-o", "json", input=json.dumps(manifest))
        return str(json.loads(answer)["metadata"]["name"])

    def get(self, kind: str, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.cluster.kubectl("get", kind, name, "-n", self.name, "-o", "json"))
        return answer

    def list(self, kind: str, *args: str) -> list[dict[str, Any]]:
        answer = json.loads(self.cluster.kubectl("get", kind, "-n", self.name, "-o", "json", *args))
        items: list[dict[str, Any]] = answer["items"]
        return sorted(items, key=lambda item: str(item["metadata"]["creationTimestamp"]))

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        self.cluster.kubectl("patch", kind, name, "-n", self.name, "--type=merge", "-p", json.dumps(change))

    def delete(self, kind: str, name: str, *args: str) -> None:
        self.cluster.kubectl("delete", kind, name, "-n", self.name, *args)

    def until(self, kind: str, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The object, once `holds` is true of it."""
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            found = self.cluster.kubectl("get", kind, name, "-n", self.name, "-o", "json", "--ignore-not-found")
            seen[:] = [{"status": {}} | json.loads(found)] if found else []
            return bool(seen) and holds(seen[0])

        assert wait_until(look, PATIENCE, every=0.1), f"{kind} {name} is still {json.dumps(seen, indent=1)}"
        return seen[0]


def condition(manifest: dict[str, Any], type: str) -> dict[str, Any]:
    """A condition of an object; empty when it has none of that type."""
    conditions = manifest.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type), {})


def phase_is(*phases: str) -> Callable[[dict[str, Any]], bool]:
    return lambda run: run.get("status", {}).get("phase") in phases


def object_of(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "reverseetl.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def warehouse(name: str = "warehouse") -> dict[str, Any]:
    return object_of("SyncSource", name, {"connector": "duckdb", "config": {"files": {"accounts": "/data/a.csv"}}})


def crm(name: str = "crm", **spec: Any) -> dict[str, Any]:
    config = {"url": "http://127.0.0.1:1/accounts"}
    return object_of("SyncDestination", name, {"connector": "http", "config": config} | spec)


def sync(name: str, behaviour: str = "succeed", **spec: Any) -> dict[str, Any]:
    """A sync whose tiny runner behaves as told."""
    return object_of(
        "ReverseETLSync",
        name,
        {
            "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1 AS id"},
            "destinationRef": {"name": "crm"},
            "object": behaviour,
            "primaryKey": ["id"],
            "mappings": [{"source": "id", "destination": "Id", "key": True}],
        }
        | spec,
    )


def run_of(sync_name: str, **spec: Any) -> dict[str, Any]:
    """A SyncRun as a person creates it."""
    manifest = object_of("SyncRun", "", {"syncRef": {"name": sync_name}} | spec)
    return manifest | {"metadata": {"generateName": f"{sync_name}-"}}


def ready(manifest: dict[str, Any]) -> bool:
    return condition(manifest, "Ready").get("status") == "True"


def stalled(reason: str) -> Any:
    return lambda manifest: condition(manifest, "Stalled").get("reason") == reason


def succeeded(manifest: dict[str, Any]) -> dict[str, Any]:
    return condition(manifest, "Succeeded")


def verdicts(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tick["verdict"], tick["reason"]) for tick in manifest["status"].get("recentTicks", [])]


def free(manifest: dict[str, Any]) -> bool:
    """Whether the sync has had a run and is free again."""
    return "lastRun" in manifest.get("status", {}) and "activeRun" not in manifest["status"]


def only_run(shop: Namespace, sync_name: str, *phases: str) -> dict[str, Any]:
    """The one SyncRun of a sync, once it is in one of the phases."""
    assert wait_until(lambda: bool(runs_of(shop, sync_name)), PATIENCE), f"no SyncRun of {sync_name}"
    [run] = runs_of(shop, sync_name)
    return shop.until("syncrun", run["metadata"]["name"], phase_is(*phases))


def runs_of(shop: Namespace, sync_name: str) -> list[dict[str, Any]]:
    return shop.list("syncrun", f"--field-selector=spec.syncRef.name={sync_name}")


def jobs(shop: Namespace) -> list[dict[str, Any]]:
    """Jobs of runs; connections have Jobs that check them."""
    return shop.list("job", f"-l={OF_A_RUN}")


def pods(shop: Namespace) -> list[dict[str, Any]]:
    """Pods of runs."""
    return shop.list("pod", f"-l={OF_A_RUN}")


def running_pod(shop: Namespace, job: str) -> str:
    """Name of the running pod of a Job."""
    names: list[str] = []

    def there() -> bool:
        running = shop.list("pod", f"-l=job-name={job}", "--field-selector=status.phase=Running")
        names[:] = [pod["metadata"]["name"] for pod in running]
        return bool(names)

    assert wait_until(there, PATIENCE), f"no running pod of Job {job}"
    return names[-1]
