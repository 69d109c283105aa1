"""Controllers under test: processes of their own, with the rights of the real ServiceAccount."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.kubectl import Access
from tests.cluster.processes import Program, tail, wait_until

MANIFESTS = Path(__file__).parent / "manifests"
TINY_RUNNER = (sys.executable, "-S", "-E", str(Path(__file__).parent / "tiny_runner.py"))
PATIENCE = 60.0
MINUTE = 60.0


def service_account_kubeconfig(cluster: Cluster, name: str, directory: Path) -> Path:
    """A kubeconfig with a real token of one of the operator's ServiceAccounts; the accounts are made first."""
    cluster.kubectl("apply", "-f", str(MANIFESTS / "operator.yaml"))
    token = cluster.kubectl("create", "token", name, "-n", "retl-system", "--duration=2h").strip()
    admin = Access.load(cluster.kubeconfig)
    path = directory / f"{name}.kubeconfig"
    Access(admin.server, admin.ca_file, token).save(path, name)
    return path


@dataclass
class ControllerProcess:
    """One controller: started, killed and started again at will; `advance` moves the time it believes in."""

    directory: Path
    kubeconfig: Path
    namespaces: Sequence[str] = ()
    command: Sequence[str] = TINY_RUNNER
    retry_seconds: float = 0.0
    state_url: str = "http://127.0.0.1:1"
    metrics_port: int = 0
    health_port: int = 0
    name: str = "controller"
    offset: float = field(default=0.0, init=False)
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "tests.cluster.controller_main", str(self._file("json"))]
        path = os.pathsep.join([str(PROJECT), str(PROJECT / "operator")])
        self.program = Program(self.name, command, self._file("log"), environment=os.environ | {"PYTHONPATH": path})
        self.advance(0)

    def start(self, *, dies_before: int = 0, dies_after: int = 0) -> None:
        """Start it; it kills itself before or after that many writes, if that is wanted."""
        death = {"write": dies_before or dies_after, "after": bool(dies_after)} if dies_before or dies_after else None
        config = {
            "kubeconfig": str(self.kubeconfig),
            "namespaces": list(self.namespaces),
            "command": list(self.command),
            "retry_seconds": self.retry_seconds,
            "state_url": self.state_url,
            "clock": str(self._file("offset")),
            "metrics_port": self.metrics_port,
            "health_port": self.health_port,
            "dies": death,
        }
        self._file("json").write_text(json.dumps(config))
        self.program.start()

    def stop(self) -> None:
        self.program.stop()

    def kill(self) -> None:
        """kill -9."""
        self.program.stop(patience=0)

    def advance(self, seconds: float) -> None:
        """Move its clock forward."""
        self.offset += seconds
        partial = self._file("offset.partial")
        partial.write_text(str(self.offset))
        partial.replace(self._file("offset"))

    def log(self) -> str:
        return tail(self._file("log"), 60)

    def _file(self, suffix: str) -> Path:
        return self.directory / f"{self.name}.{suffix}"


@contextmanager
def running(controller: ControllerProcess) -> Iterator[ControllerProcess]:
    """The controller, started for as long as the block lasts."""
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace with the objects of this project in it."""

    cluster: Cluster
    name: str

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
            seen[:] = [json.loads(found)] if found else []
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
