"""Our side of the comparison: the real command line with the packages of the runner image, and a user's manifests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.environments import environment
from bench.measure import Measured, measure
from bench.stage import ROOT, Sink, Stage
from bench.tables import Table
from tests.postgres import Postgres

ENVELOPE = {"apiVersion": "reverseetl.io/v1alpha1"}


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync of a table in a directory of its own, with its state."""

    directory: Path
    rows: int

    def run(self, verb: str = "run", *, sends: int | None = None, env: Mapping[str, str] | None = None) -> Measured:
        """Run or plan; raise RuntimeError unless it succeeds and counts so many records to send."""
        retl = environment(ROOT / "requirements" / "runner.txt", ROOT) / "retl"
        measured = measure([retl, verb, "-f", "sync.yaml", "-o", "json"], rows=self.rows, cwd=self.directory, env=env)
        result: dict[str, Any] = json.loads(measured.stdout)
        sent = result["created"] + result["updated"]
        if result["status"] != "Succeeded" or sent != (self.rows if sends is None else sends):
            raise RuntimeError(f"the benchmarked run did not do what it should: {measured.stdout}")
        return measured


def sync(
    stage: Stage,
    name: str,
    table: Table,
    rows: int,
    to: Sink | None = None,
    *,
    fields: Sequence[str] = (),
    delivery: Mapping[str, Any] | None = None,
) -> Sync:
    """A sync that never ran: into the target's table of the same name, or to an HTTP server.

    Args:
        fields: columns that are mapped; all if none are named.
        delivery: settings that differ from the defaults.
    """
    directory = stage.directory / name
    for secret in ("warehouse", "target"):
        login = directory / ".retl" / "secrets" / secret
        login.mkdir(parents=True)
        (login / "username").write_text(stage.server.user)
        (login / "password").write_text(stage.server.password)
    columns = fields or list(table.columns)
    mappings = [{"source": c, "destination": c, **({"key": True} if c == "id" else {})} for c in columns]
    destination = (
        {"connector": "http", "config": {"url": to.url, "envelope": "records"}}
        if to
        else _postgres(stage.server, "target")
    )
    spec = {
        "query": {"sourceRef": {"name": "warehouse"}, "sql": f"SELECT * FROM {table.name}"},
        "destinationRef": {"name": "target"},
        "object": table.name,
        "primaryKey": ["id"],
        "mappings": mappings,
        **({"delivery": dict(delivery)} if delivery else {}),
    }
    objects = [
        {"kind": "SyncSource", "metadata": {"name": "warehouse"}, "spec": _postgres(stage.server, "warehouse")},
        {"kind": "SyncDestination", "metadata": {"name": "target"}, "spec": destination},
        {"kind": "ReverseETLSync", "metadata": {"name": name}, "spec": spec},
    ]
    (directory / "sync.yaml").write_text(yaml.safe_dump_all([{**ENVELOPE, **each} for each in objects]))
    return Sync(directory, rows)


def _postgres(server: Postgres, database: str) -> dict[str, object]:
    return {
        "connector": "postgres",
        "config": {"host": server.host, "port": server.port, "database": database},
        "credentials": {"secretRef": {"name": database}},
    }
