"""A runner that is killed at any instant loses no row, and its leftovers are cleared away.

The instants are random over the whole life of a run, from its claim to its last commit. They are drawn from the same
seed in every test run; `RETL_KILLS=300` kills that often in each of the tests together.
"""

import os
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import pytest

from retl.engine.workspace import PREFIX
from retl.runspec.result import RunResult
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint
from tests.engine.kill_runs import KEY, Runs, runs
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse

KILLS = int(os.environ.get("RETL_KILLS", "42")) // 3
ROWS = 1_000
BATCH = 50
IN_FLIGHT = 4
DOUBTFUL = 2 * IN_FLIGHT * BATCH
"""Records that a kill may leave in doubt: those in flight, and as many that were announced or await their commit."""
START: tuple[LiteralString, ...] = (
    "CREATE TABLE accounts (id int PRIMARY KEY, name text)",
    f"INSERT INTO accounts SELECT i, 'first' FROM generate_series(1, {ROWS}) i",
)
CHANGE: tuple[LiteralString, ...] = (
    "UPDATE accounts SET name = name || '!' WHERE id % 2 = (SELECT max(id) / 20 % 2 FROM accounts)",
    "DELETE FROM accounts WHERE id < (SELECT min(id) + 20 FROM accounts)",
    "INSERT INTO accounts SELECT last + i, 'new' FROM (SELECT max(id) AS last FROM accounts), generate_series(1, 20) i",
)
"""Half of the rows change, the oldest go, and as many come."""


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqlStateStore]:
    """The store that the runs write, with their key: what a killed one left in doubt is sealed."""
    store = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db", key=KEY)
    yield store
    await store.close()


@pytest.fixture
async def forks() -> AsyncIterator[Runs]:
    async with runs() as running:
        yield running


@dataclass
class Kills:
    """A sync that is killed again and again.

    Attributes:
        state: its SQLite file.
        seconds: how long a run takes that nobody kills.
        hits: kills that hit a living run.
    """

    forks: Runs
    sync: Sync
    state: Path
    seconds: float = 0.0
    hits: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(20261122))

    async def measure(self) -> None:
        """Run to the end, for the sake of the time that it takes."""
        self.seconds = (await self.forks.run(self.sync, self.state)).seconds

    async def hit(self, **run: Any) -> None:
        """A run that is killed at a random instant, unless it is over before."""
        ended = await self.forks.run(self.sync, self.state, kill_after=self._random.uniform(0, self.seconds), **run)
        self.hits += ended.killed

    async def finish(self, **run: Any) -> RunResult:
        """A run that nobody kills."""
        ended = await self.forks.run(self.sync, self.state, **run)
        assert ended.result is not None
        assert ended.result.status == "Succeeded", ended.result.message
        self.seconds = min(self.seconds, ended.seconds)
        return ended.result


async def test_kills_leave_an_endpoint_with_exactly_the_rows_and_no_effect_twice(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path, forks: Runs
) -> None:
    warehouse.run(*START)
    endpoint.id_field = "_id"
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.destination_config = {
        "url": endpoint.url + "/{object}/upsert",
        "operations": {"delete": {"url": endpoint.url + "/{object}/delete"}},
        "idempotency": {"header": None, "field": "_id"},
    }
    sync.more = {"mode": "mirror", "delivery": {"batchSize": BATCH, "maxInFlight": IN_FLIGHT}}
    kills = Kills(forks, sync, tmp_path / "state.db")
    for _ in range(3):
        warehouse.run(*CHANGE)
        await kills.measure()
    while kills.hits < KILLS:
        warehouse.run(*CHANGE)
        endpoint.writes.clear()
        before = {key: record["name"] for key, record in endpoint.records.items()}
        run = {"uid": str(uuid.uuid4()), "name": "run"}
        await kills.hit(**run, attempt=1)
        await kills.finish(**run, attempt=2)  # as a Job does: an attempt has the idempotency keys of the one before
        rows = {str(key): name for key, name in warehouse.rows("SELECT id, name FROM accounts")}
        assert {key: record["name"] for key, record in endpoint.records.items()} == rows
        changed = {key for key in rows.keys() | before.keys() if rows.get(key) != before.get(key)}
        assert endpoint.writes == Counter(changed), "each change has its effect once"
    assert not list(sync.staging.glob(f"{PREFIX}*")), "what killed runs left on disk is cleared away"
    states = Counter(record.state for record in await state.runs(namespace="tests", sync="sync", limit=10_000))
    assert set(states) == {"Succeeded"}, "each run was ended by its second attempt"


async def test_kills_leave_a_table_with_exactly_the_rows_and_repeat_little(
    warehouse: Warehouse, state: SqlStateStore, tmp_path: Path, forks: Runs
) -> None:
    warehouse.run(
        *START,
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.accounts (id int PRIMARY KEY, name text)",
        "INSERT INTO crm.accounts VALUES (-1, 'of somebody else')",
        "CREATE TABLE written (id int)",
        "CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO public.written VALUES (coalesce(NEW.id, OLD.id)); RETURN NULL; END $$",
        "CREATE TRIGGER counts AFTER INSERT OR UPDATE OR DELETE ON crm.accounts "
        "FOR EACH ROW EXECUTE FUNCTION count_it()",
    )
    sync = to_table(warehouse, state, tmp_path)
    sync.more = {"mode": "mirror", "delivery": {"batchSize": BATCH, "maxInFlight": IN_FLIGHT}}
    kills = Kills(forks, sync, tmp_path / "state.db")
    for _ in range(3):
        warehouse.run(*CHANGE)
        await kills.measure()
    while kills.hits < KILLS:
        warehouse.run("CREATE TABLE before AS SELECT * FROM crm.accounts", "TRUNCATE written", *CHANGE)
        await kills.hit()
        await kills.finish()
        assert warehouse.rows("SELECT * FROM crm.accounts EXCEPT SELECT * FROM accounts") == [(-1, "of somebody else")]
        assert warehouse.rows("SELECT * FROM accounts EXCEPT SELECT * FROM crm.accounts") == []
        (extra,) = warehouse.rows(
            "SELECT (SELECT count(*) FROM written) - count(*) FROM before "
            "FULL JOIN crm.accounts now USING (id) WHERE before IS DISTINCT FROM now"
        )[0]
        assert 0 <= extra <= DOUBTFUL
        warehouse.run("DROP TABLE before")
    states = Counter(record.state for record in await state.runs(namespace="tests", sync="sync", limit=10_000))
    assert 0 < states["Interrupted"] <= kills.hits
    assert states.keys() == {"Interrupted", "Succeeded"}


async def test_kills_repeat_no_append_unasked_and_lose_none(
    warehouse: Warehouse, endpoint: Endpoint, state: SqlStateStore, tmp_path: Path, forks: Runs
) -> None:
    warehouse.run("CREATE TABLE accounts (id int PRIMARY KEY, name text)")
    more: LiteralString = (
        "INSERT INTO accounts SELECT last + i, 'event' "
        f"FROM (SELECT coalesce(max(id), 0) AS last FROM accounts), generate_series(1, {ROWS // 2}) i"
    )
    sync = to_endpoint(warehouse, endpoint, state, tmp_path)
    sync.destination_config = {
        "url": endpoint.url + "/{object}",
        "operations": {"append": {"url": endpoint.url + "/{object}/append"}},
    }
    sync.more = {
        "mode": "append",
        "changeDetection": {"strategy": "Cursor", "column": "id"},
        "delivery": {"batchSize": BATCH, "maxInFlight": IN_FLIGHT},
    }
    kills = Kills(forks, sync, tmp_path / "state.db")
    for _ in range(3):
        warehouse.run(more)
        await kills.measure()
    while kills.hits < KILLS:
        warehouse.run(more)
        endpoint.events.clear()
        await kills.hit()
        doubted = (await kills.finish()).counts.unknown
        assert doubted <= DOUBTFUL
        arrived = Counter(record["id"] for record in endpoint.events)
        assert set(arrived.values()) <= {1}, "nobody asked for a repetition yet"
        letters = await state.dead_letters(namespace="tests", sync="sync", limit=10_000)
        assert {letter.code for letter in letters} <= {"OUTCOME_UNKNOWN"}
        unknown = {int(letter.record_keys["id"] or 0) for letter in letters}
        assert len(unknown) == doubted
        new = {key for (key,) in warehouse.rows(f"SELECT id FROM accounts ORDER BY id DESC LIMIT {ROWS // 2}")}
        assert new - arrived.keys() <= unknown, "what may be lost is known"
        assert (await kills.finish()).counts.created == doubted  # the policy Resend
        arrived = Counter(record["id"] for record in endpoint.events)
        assert arrived.keys() == new
        assert {key for key, times in arrived.items() if times > 1} <= unknown
        assert max(arrived.values()) <= 2
    assert (await kills.finish()).counts.created == 0
