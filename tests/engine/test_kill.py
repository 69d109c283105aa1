"""A runner that is killed at any instant loses no row, and its leftovers are cleared away."""

import asyncio
import json
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from retl.engine.workspace import PREFIX
from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse

ROWS = 5_000


@pytest.mark.parametrize("after", [1, 20, 60])
async def test_kill_in_the_middle_of_delivery_loses_nothing(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path, after: int
) -> None:
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        f"INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, {ROWS}) i",
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.more = {"delivery": {"batchSize": 50, "maxInFlight": 4}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "tests.engine.run_once", str(_described(sync, tmp_path))
    )
    async with asyncio.timeout(60):
        for _ in range(after):
            await endpoint.arrived.acquire()
        endpoint.gate.clear()
        process.kill()
        await process.wait()
    sent = sum(endpoint.requests)
    endpoint.gate.set()
    assert len(list(sync.staging.glob(f"{PREFIX}*"))) == 1

    result = await sync.run()
    assert result.status == "Succeeded"
    assert result.counts.unchanged + result.counts.created == ROWS
    assert len(endpoint.records) == ROWS
    repeated = sum(times - 1 for times in endpoint.writes.values())
    assert repeated <= sent
    assert (await sync.run()).counts == RunCounts(read=ROWS, unchanged=ROWS)


def _described(sync: Sync, tmp_path: Path) -> Path:
    described = {field.name: getattr(sync, field.name) for field in fields(sync)}
    described |= {"state": f"sqlite:///{tmp_path}/state.db", "staging": str(sync.staging)}
    file = tmp_path / "sync.json"
    file.write_text(json.dumps(described))
    return file
