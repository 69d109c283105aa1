"""Syncs as tests write them, and how they are run."""

import asyncio
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retl.destinations.base import Destination
from retl.destinations.registry import DESTINATIONS
from retl.engine import pipeline
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.sources.base import Source
from retl.sources.registry import SOURCES
from retl.state.owner import this_process
from retl.state.store import StateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.warehouse import Warehouse


@dataclass
class Sync:
    """A sync from a warehouse to some destination; `run` does what the command line would."""

    state: StateStore
    staging: Path
    query: dict[str, Any]
    mappings: list[dict[str, Any]]
    source: dict[str, Any]
    source_login: dict[str, str]
    destination: str
    destination_config: dict[str, Any]
    destination_login: dict[str, str] = field(default_factory=dict)
    source_name: str = "postgres"
    object: str = "accounts"
    primary_key: list[str] = field(default_factory=lambda: ["id"])
    more: dict[str, Any] = field(default_factory=dict)

    def spec(self, **run: Any) -> RunSpec:
        """A new run of this sync."""
        uid = str(uuid.uuid4())
        return RunSpec.model_validate(
            {
                "run": {"name": f"run-{uid[:8]}", "uid": uid, **run},
                "sync": {"namespace": "tests", "name": "sync", "uid": "sync-uid"},
                "source": {"name": "w", "uid": "source-uid", "connector": self.source_name},
                "query": self.query,
                "destination": {
                    "name": "d",
                    "uid": "destination-uid",
                    "connector": self.destination,
                    "config": self.destination_config,
                },
                "object": self.object,
                "mode": "upsert",
                "primaryKey": self.primary_key,
                "mappings": self.mappings,
                **self.more,
            }
        )

    def connectors(self) -> tuple[Source, Destination]:
        """Fresh connectors."""
        source = SOURCES.code(self.source_name)(
            SOURCES.check(self.source_name, self.source),
            SOURCES.login(self.source_name, "login", self.source_login),
        )
        destination = DESTINATIONS.code(self.destination)(
            DESTINATIONS.check(self.destination, self.destination_config),
            DESTINATIONS.login(self.destination, "login", self.destination_login),
        )
        assert isinstance(source, Source)
        assert isinstance(destination, Destination)
        return source, destination

    async def run(self, *, stop: asyncio.Event | None = None, **run: Any) -> RunResult:
        """Run it; the accounting identity holds however it ends, and nothing is left on disk."""
        result = await pipeline.run(
            self.spec(**run), *self.connectors(), self.state, staging=self.staging, owner=this_process(), stop=stop
        )
        counts = result.counts.model_dump()
        assert counts.pop("read") == sum(counts.values())
        assert not list(self.staging.glob("*"))
        return result


def to_endpoint(
    warehouse: Warehouse, endpoint: Endpoint, state: StateStore, tmp_path: Path, *fields: str, **config: Any
) -> Sync:
    """A sync of the table `accounts` to an HTTP endpoint; the first field is the key."""
    return Sync(
        state=state,
        staging=tmp_path / "staging",
        query={"table": "accounts"},
        mappings=[{"source": f, "destination": f, "key": i == 0} for i, f in enumerate(fields or ("id", "name"))],
        source=warehouse.config,
        source_login=warehouse.login,
        destination="http",
        destination_config={"url": endpoint.url + "/{object}", **config},
    )


def to_table(warehouse: Warehouse, state: StateStore, tmp_path: Path, *fields: str) -> Sync:
    """A sync of the table `accounts` to the table `crm.accounts` of the same database; the first field is the key."""
    return Sync(
        state=state,
        staging=tmp_path / "staging",
        query={"table": "accounts"},
        mappings=[{"source": f, "destination": f, "key": i == 0} for i, f in enumerate(fields or ("id", "name"))],
        source=warehouse.config,
        source_login=warehouse.login,
        destination="postgres",
        destination_config=warehouse.config,
        destination_login=warehouse.login,
        object="crm.accounts",
    )
