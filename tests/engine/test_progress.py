"""How far a run is, as the state store hears it with each heartbeat."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from retl.engine import pipeline
from retl.engine.progress import Followed, Silent
from retl.resources.run import RunProgress
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import to_endpoint
from tests.engine.warehouse import Warehouse


async def test_a_heartbeat_says_which_step_a_run_is_in_and_how_many_rows_it_has_handled(
    warehouse: Warehouse,
    endpoint: Endpoint,
    state: SqlStateStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "HEARTBEAT", timedelta(milliseconds=20))
    warehouse.run(
        "CREATE TABLE accounts (id int, name text)",
        "INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 100) i",
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.more = {"delivery": {"batchSize": 10, "maxInFlight": 1}}
    endpoint.gate.clear()
    running = asyncio.create_task(sync.run(uid="uid-of-run"))

    async def heard(rows: int) -> RunProgress:
        async with asyncio.timeout(30):
            while True:
                known = (await state.progress(["uid-of-run"])).get("uid-of-run")
                if known and (known.step, known.rows) == ("deliver", rows):
                    return known
                await asyncio.sleep(0.02)

    assert (await heard(0)).total == 100
    endpoint.gate.set()
    result = await running
    assert result.counts.created == 100
    assert await state.progress(["uid-of-run"]) == {}


def test_rows_of_a_step_never_count_backwards_and_each_step_begins_at_nothing() -> None:
    followed = Followed(Silent())
    assert followed.now() is None
    followed.step("extract", None)
    for rows in (5, 9, 7):
        followed.advanced("extract", rows)
    now = followed.now()
    assert now is not None
    assert (now.step, now.rows, now.total) == ("extract", 9, None)
    followed.step("deliver", 4)
    now = followed.now()
    assert now is not None
    assert (now.step, now.rows, now.total) == ("deliver", 0, 4)
