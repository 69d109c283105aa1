"""A run that answers a tick reads and writes nothing unless the source has something new."""

from pathlib import Path
from typing import Any, LiteralString

import pytest

from retl.resources.run import RunCounts
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse

TICK: dict[str, Any] = {"tick": "2026-03-01T12:00:00Z"}


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    warehouse.run(
        "CREATE TABLE accounts (id int, name text, loaded_at timestamptz)",
        "INSERT INTO accounts VALUES (1, 'Ada', '2026-03-01 10:00Z')",
    )
    made = to_endpoint(warehouse, endpoint, state, tmp_path)
    made.more = {"freshness": {"sql": "SELECT max(loaded_at) FROM accounts"}}
    return made


async def runs(sync: Sync, **run: Any) -> tuple[str, int]:
    """Reason of the run's result, and how many rows it read."""
    result = await sync.run(**(TICK | run))
    assert result.status == "Succeeded", result.message
    return result.reason, result.counts.read


async def test_a_tick_runs_when_the_value_is_greater_than_at_the_last_success(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    assert await runs(sync) == ("", 1)
    warehouse.run("UPDATE accounts SET name = 'Grace'")
    endpoint.requests.clear()
    assert await runs(sync) == ("SourceNotFresh", 0)
    assert endpoint.requests == []
    warehouse.run("UPDATE accounts SET loaded_at = '2026-03-01 09:00Z'")
    assert await runs(sync) == ("SourceNotFresh", 0)
    warehouse.run("UPDATE accounts SET loaded_at = '2026-03-01 10:00:00.000001Z'")
    assert await runs(sync) == ("", 1)
    assert endpoint.records["1"]["name"] == "Grace"
    assert await runs(sync) == ("SourceNotFresh", 0)


async def test_a_run_by_hand_and_a_full_refresh_do_not_ask(sync: Sync) -> None:
    assert await runs(sync) == ("", 1)
    assert await runs(sync, tick=None) == ("", 1)
    assert await runs(sync, fullRefresh=True) == ("", 1)
    assert await runs(sync) == ("SourceNotFresh", 0)


async def test_null_is_nothing_new(sync: Sync, warehouse: Warehouse) -> None:
    warehouse.run("UPDATE accounts SET loaded_at = NULL")
    assert await runs(sync) == ("SourceNotFresh", 0)


async def test_a_run_that_failed_does_not_count(sync: Sync, endpoint: Endpoint) -> None:
    wrong = sync.mappings
    sync.mappings = [{"source": "nothing", "destination": "id", "key": True}]
    assert (await sync.run(**TICK)).status == "Failed"
    sync.mappings = wrong
    assert await runs(sync) == ("", 1)
    assert (await sync.run(**TICK)).counts == RunCounts()


@pytest.mark.parametrize(
    ("before", "same", "after"),
    [
        ("9", "9", "10"),
        ("9::numeric", "9.00", "10.5"),
        ("9::float8", "-1e300::float8", "1e1::float8"),
        ("9", "'-infinity'::float8", "9.5::numeric"),
        ("date '2026-03-01'", "date '0900-01-01'", "date '10000-01-01'"),
        ("timestamp '2026-03-01 10:00'", "timestamp '2026-03-01 10:00'", "timestamp 'infinity'"),
        ("'b'::text", "'a'::text", "'ba'::text"),
        ("9", "'NaN'::numeric", "'z'::text"),
        ("timestamp '2026-03-01 10:00'", "NULL::timestamp", "timestamptz '2000-01-01 10:00Z'"),
    ],
)
async def test_values_are_compared_as_what_they_are_and_another_type_is_new(
    sync: Sync, before: LiteralString, same: LiteralString, after: LiteralString
) -> None:
    told = []
    for value in (before, same, after):
        sync.more = {"freshness": {"sql": f"SELECT {value} AS v"}}
        told.append((await runs(sync))[0])
    assert told == ["", "SourceNotFresh", ""]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1, 2", "it returns 2 columns"),
        ("SELECT 1 WHERE false", "it returns no row"),
        ("SELECT generate_series(1, 2)", "it returns several rows"),
        ("SELECT true", "it returns bool; select a number"),
        ("SELECT '\\x00'::bytea", "it returns binary; select a number"),
        ("SELECT nothing FROM accounts", 'column "nothing" does not exist'),
    ],
)
async def test_a_query_that_does_not_yield_one_value_with_an_order_is_said(sync: Sync, sql: str, words: str) -> None:
    sync.more = {"freshness": {"sql": sql}}
    result = await sync.run(**TICK)
    assert (result.status, result.retriable) == ("Failed", False)
    assert words in result.message
    if "nothing" not in sql:
        assert (result.reason, result.message[:24]) == ("InvalidInput", "schedule.freshness.sql: ")


async def test_the_value_is_asked_of_duckdb_as_well(
    endpoint: Endpoint, warehouse: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    (tmp_path / "accounts.csv").write_text("id,name,day\n1,Ada,2026-03-01\n")
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.source_name, sync.source_login = "duckdb", {}
    sync.source = {"files": {"accounts": str(tmp_path / "accounts.csv")}}
    sync.more = {"freshness": {"sql": "SELECT max(day) FROM accounts"}}
    assert [await runs(sync), await runs(sync)] == [("", 1), ("SourceNotFresh", 0)]
