"""Runners of one account share its rate, and a run without a declared rate keeps to what the destination says."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retl.destinations.base import Batch, Target
from retl.destinations.http.config import HttpConfig
from retl.destinations.http.connector import HttpDestination
from retl.engine.calls import Calls, Unanswered
from retl.engine.rate import Rate
from retl.resources.destination import RateLimit
from retl.resources.run import RunCounts
from retl.runspec.spec import Connection, RunIdentity, SyncIdentity
from retl.state.sql import SqlStateStore
from retl.state.store import ClaimRequest
from tests.destinations.endpoint import Endpoint, Limit
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse
from tests.postgres import Postgres


def rated(sync: Sync, requests: int, per: str = "1s") -> dict[str, Any]:
    """The sync's destination, with a rate of its account."""
    return {
        "name": "d",
        "uid": "destination-uid",
        "connector": "http",
        "config": sync.destination_config,
        "rateLimit": {"requests": requests, "per": per},
    }


@pytest.fixture
def sync(warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path) -> Sync:
    """Accounts to an endpoint, one a call."""
    warehouse.run("CREATE TABLE accounts (id int, name text)")
    made = to_endpoint(warehouse, endpoint, state, tmp_path)
    made.more = {"delivery": {"batchSize": 1, "maxAttempts": 2}}
    return made


TARGET = Target("accounts", "upsert", key=("id",), fields=("id",), timeout=timedelta(seconds=30))
RECORD = Batch(1, payloads=[b'{"id":1}'])


@asynccontextmanager
async def runner(
    number: int, url: str, endpoint: Endpoint, over: asyncio.Event
) -> AsyncIterator[Coroutine[Any, Any, Any]]:
    """What calls as a run of its own does, four calls at a time, until it is over."""
    store = await SqlStateStore.open(url)
    identity = SyncIdentity(namespace="tests", name=f"sync-{number}", uid=f"sync-{number}")
    run = RunIdentity(name=f"run-{number}", uid=f"run-{number}")
    claim = await store.claim(ClaimRequest(run, identity, baseline="", owner=f"runner-{number}"))
    account = Connection(name="d", uid="destination-uid", connector="http", rate_limit=RateLimit(requests=100))
    calls = Calls(Rate.of(account, store, claim, over), most=4, max_attempts=2, over=over)
    destination = HttpDestination(HttpConfig(url=endpoint.url + "/{object}"), None)
    await destination.open(TARGET)

    async def work() -> None:
        with suppress(Unanswered):
            while True:
                await calls.make(lambda: destination.write(RECORD))

    try:
        yield asyncio.wait([asyncio.ensure_future(work()) for _ in range(4)])
    finally:
        await destination.close()
        await store.close()


async def test_four_runners_share_the_rate_of_an_account_and_leave_next_to_nothing_of_it_unused(
    server: Postgres, endpoint: Endpoint
) -> None:
    url = server.url(server.create_database())
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(runner(n, url, endpoint, over)) for n in range(4)]
        asyncio.get_running_loop().call_later(12, over.set)
        await asyncio.gather(*runners)
    # On a busy machine a call may arrive in the second after the one that it was made in.
    assert endpoint.busiest(1.0) <= 105
    began = endpoint.arrivals[0] + 1
    # The budget keeps back 3 % of 1,000; what else is missing is the machine's doing.
    assert sum(1 for at in endpoint.arrivals if began <= at < began + 10) >= 900


async def test_halving_and_probing_take_their_calls_from_the_rate(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run("INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 64) i")
    sync.more = {"delivery": {"batchSize": 64}, "destination": rated(sync, 20)}
    endpoint.atomic, endpoint.check = True, lambda record: "bad" if record["id"] % 16 == 0 else None
    result = await sync.run()
    assert result.counts == RunCounts(read=64, created=60, rejected=4)
    assert len(endpoint.requests) > 20
    assert endpoint.busiest(1.0) <= 20


async def test_a_refusal_slows_all_runners_of_the_account_down(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    """The manifest promises more than the account gives."""
    warehouse.run("INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 60) i")
    endpoint.limit = Limit(20, style="none")
    sync.more["destination"] = rated(sync, 50)
    result = await sync.run()
    assert result.counts == RunCounts(read=60, created=60)
    assert endpoint.limited <= 8, "calls in flight at the moment of the refusal, and few after it"


async def test_headers_that_say_how_little_is_left_are_kept_to_without_a_refusal(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run("INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 120) i")
    endpoint.limit = Limit(50, style="x")
    sync.more["delivery"]["maxInFlight"] = 1
    result = await sync.run()
    assert result.counts == RunCounts(read=120, created=120)
    assert endpoint.limited == 0


async def test_a_stop_ends_the_wait_for_a_slot_at_once(sync: Sync, warehouse: Warehouse, endpoint: Endpoint) -> None:
    warehouse.run("INSERT INTO accounts SELECT i, 'Account ' || i FROM generate_series(1, 10) i")
    sync.more["destination"] = rated(sync, 1, "1d")
    stop = asyncio.Event()
    running = asyncio.ensure_future(sync.run(stop=stop))
    await endpoint.arrived.acquire()
    stop.set()
    began = time.monotonic()
    result = await running
    assert time.monotonic() - began < 5
    assert (result.status, result.counts) == ("Cancelled", RunCounts(read=10, created=1, skipped=9))
