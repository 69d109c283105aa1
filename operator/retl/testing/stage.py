"""Runs of one sync through the whole engine: rows from a file, state in SQLite, the connector against its receiver."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retl.destinations.base import Destination
from retl.destinations.registry import DESTINATIONS
from retl.engine import pipeline
from retl.runspec.capabilities import Capabilities
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.sources.configs import DuckDBConfig
from retl.sources.duckdb import DuckDBSource
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter
from retl.testing.case import ConnectorCase, Row

NAMESPACE = "conformance"


class Stage:
    """One sync, its source and its state.

    Attributes:
        mode: of the sync.
        login: what the connector logs in with; the case's if None.
    """

    def __init__(self, case: ConnectorCase, state: SqlStateStore, directory: Path) -> None:
        self.case = case
        self.state = state
        self.mode = "upsert"
        self.login: dict[str, str] | None = None
        self._directory = directory
        self._file = directory / "rows.parquet"

    @property
    def capabilities(self) -> Capabilities:
        """What the connector can do, configured as the case has it."""
        config = DESTINATIONS.check(self.case.connector, self.case.config())
        of = DESTINATIONS.info(self.case.connector).capabilities
        assert of is not None, "a destination connector has capabilities"
        return of(config)

    def rows(self, rows: Sequence[Row]) -> None:
        """What the source holds from now on."""
        pq.write_table(
            pa.table(
                {
                    "key": pa.array([row.key for row in rows], pa.string()),
                    "name": pa.array([row.name for row in rows], pa.string()),
                }
            ),
            self._file,
        )

    async def run(
        self,
        *,
        uid: str | None = None,
        attempt: int = 1,
        full_refresh: bool = False,
        prepare: Callable[[Destination], None] = lambda destination: None,
    ) -> RunResult:
        """Run the sync once; the accounts of the run add up, however it ends.

        Args:
            prepare: is given the connector before it is used.
        """
        destination = self.connector()
        prepare(destination)
        result = await pipeline.run(
            self.spec(uid or str(uuid.uuid4()), attempt, full_refresh=full_refresh),
            DuckDBSource(DuckDBConfig(files={"rows": str(self._file)}), None),
            destination,
            self.state,
            staging=self._directory / "staging",
            owner=this_process(),
        )
        counts = result.counts.model_dump()
        read = counts.pop("read")
        assert read == sum(counts.values()), f"the accounts do not add up: read {read}, and {counts}"
        return result

    async def killed(self, uid: str) -> None:
        """A run that is gone in the middle: after its first call, before anything of it is durable."""

        def deadly(destination: Destination) -> None:
            for name in ("write", "poll"):
                call = getattr(destination, name)

                async def then_gone(*arguments: Any, call: Any = call) -> Any:
                    await call(*arguments)
                    running.cancel()
                    await asyncio.Event().wait()

                setattr(destination, name, then_gone)

        running = asyncio.ensure_future(self.run(uid=uid, prepare=deadly))
        await asyncio.wait({running})
        assert running.cancelled(), "the run was over before its first call"

    def connector(self) -> Destination:
        """The connector, fresh."""
        name, login = self.case.connector, self.case.login() if self.login is None else self.login
        made = DESTINATIONS.code(name)(
            DESTINATIONS.check(name, self.case.config()), DESTINATIONS.login(name, "login", login)
        )
        assert isinstance(made, Destination)
        return made

    async def letters(self) -> list[DeadLetter]:
        """The open dead letters."""
        return await self.state.dead_letters(namespace=NAMESPACE, limit=1_000)

    def spec(self, uid: str, attempt: int, *, full_refresh: bool = False) -> RunSpec:
        """A run of the sync."""
        case = self.case
        mappings = [{"source": "key", "destination": case.key_field, "key": True}]
        if case.name_field is not None:
            mappings.append({"source": "name", "destination": case.name_field})
        return RunSpec.model_validate(
            {
                "run": {"name": f"run-{uid[:8]}", "uid": uid, "attempt": attempt, "fullRefresh": full_refresh},
                "sync": {"namespace": NAMESPACE, "name": "sync", "uid": "sync"},
                "source": {"name": "rows", "uid": "source", "connector": "duckdb"},
                "query": {"table": "rows"},
                "destination": {
                    "name": "receiver",
                    "uid": "destination",
                    "connector": case.connector,
                    "config": dict(case.config()),
                },
                "object": case.object,
                "mode": self.mode,
                "primaryKey": ["key"],
                "mappings": mappings,
                "delivery": {"batchSize": case.batch_size, "maxInFlight": 2},
                **case.more,
            }
        )
