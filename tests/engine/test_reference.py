"""The engine against a model of plain dictionaries: the same calls, contents, counters and dead letters, run after run.

hypothesis makes up sources, mappings, modes, refusals, outages, stops, crashes and replays; the engine runs for real
over real sources, a real HTTP endpoint and a real PostgreSQL. A failure is shrunk and printed as a Scenario, which can
be put into BY_HAND as it stands. The scenarios are the same in every run; `RETL_SCENARIOS=2000` draws that many,
each time others.
"""

import asyncio
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retl.destinations.base import (
    Acknowledged,
    Batch,
    BatchRejected,
    Destination,
    Outcome,
    Rejected,
    Skipped,
    Target,
    TryLater,
)
from retl.engine import pauses, pipeline
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Answer, Endpoint, serving
from tests.engine import reference
from tests.engine.reference import Call, Definition, Disagreement, Field, Memory, Run, Tool, Unmappable
from tests.engine.syncs import Sync
from tests.engine.warehouse import Warehouse

SCENARIOS = int(os.environ.get("RETL_SCENARIOS", "0"))
NOBODY = "{host}/999999999/1"
"""Owner of the claim of a run that is to die: a process that is not there."""


class Crash(BaseException):
    """The process of a run is gone."""


# ---- what is drawn


@dataclass(frozen=True)
class Trouble:
    """Something that happens at the call with this number, or at a use of the state store."""

    kind: Literal["none", "busy", "down", "lost before", "lost after", "stop", "crash before", "crash after", "state"]
    at: int = 0
    times: int = 1


@dataclass(frozen=True)
class Step:
    """One run. Each of its words is looked up in a table below.

    Attributes:
        dismiss: a person closes all dead letters before it.
    """

    rows: tuple[tuple[Any, ...], ...]
    name: str = "plain"
    trouble: Trouble = Trouble("none")
    full_refresh: bool = False
    replay: Literal["", "Fresh", "Stored"] = ""
    dismiss: bool = False


@dataclass(frozen=True)
class Scenario:
    """Some runs of one sync."""

    steps: tuple[Step, ...]
    destination: Literal["http", "postgres"] = "http"
    source: Literal["duckdb", "postgres"] = "duckdb"
    modes: tuple[str, ...] = ("upsert",)
    key: str = "id"
    number: str = "none"
    strategy: Literal["Snapshot", "Cursor", "None"] = "Snapshot"
    lag: int = 0
    on_unknown: Literal["Resend", "Hold", "Accept"] = "Resend"
    batch: int = 2
    in_flight: int = 1
    opaque: bool = False


ENDINGS = {kind: {"", "DestinationUnavailable"} for kind in ("down", "lost before", "lost after")} | {
    "stop": {"", "Stopped"}
}
"""Reasons that a run may end with."""
COLUMNS = ("id", "email", "name", "n", "seq")


def _integer(text: str | None) -> int | None:
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    raise Unmappable(text)


def _upper(text: str | None) -> str | None:
    return None if text is None else text.upper()


KEYS = {
    "id": Field({"source": "id", "destination": "id", "key": True}, lambda row: row["id"]),
    "expression": Field({"expression": "id", "destination": "id", "key": True}, lambda row: row["id"], ("id",)),
    "email": Field({"source": "email", "destination": "id", "key": True}, lambda row: row["email"]),
    "lower": Field(
        {"expression": "lower(email)", "destination": "id", "key": True},
        lambda row: None if row["email"] is None else row["email"].lower(),
        ("email",),
    ),
    "cast": Field({"source": "n", "destination": "id", "key": True, "cast": "integer"}, lambda row: _integer(row["n"])),
}
NAMES = {
    "plain": Field({"source": "name", "destination": "name"}, lambda row: row["name"]),
    "same": Field({"expression": "name", "destination": "name"}, lambda row: row["name"], ("name",)),
    "upper": Field({"expression": "upper(name)", "destination": "name"}, lambda row: _upper(row["name"]), ("name",)),
    "constant": Field({"value": "fixed", "destination": "name"}, lambda row: "fixed"),
    "skip": Field({"source": "name", "destination": "name", "skipNulls": True}, lambda row: row["name"]),
    "joined": Field(
        {"expression": "coalesce(name, '-') || ':' || coalesce(n, '-')", "destination": "name"},
        lambda row: f"{'-' if row['name'] is None else row['name']}:{'-' if row['n'] is None else row['n']}",
        ("name", "n"),
    ),
}
NUMBERS: dict[str, tuple[Field, ...]] = {
    "none": (),
    "text": (Field({"source": "n", "destination": "n"}, lambda row: row["n"]),),
    "cast": (Field({"source": "n", "destination": "n", "cast": "integer"}, lambda row: _integer(row["n"]), ("n",)),),
}


def refused(record: dict[str, Any]) -> bool:
    """What the destination does not like; on PostgreSQL it is a CHECK."""
    return str(record.get("name") or "").lower().startswith("bad")


def _row(id: int, email: str | None, name: str | None, n: str | None, seq: int | None) -> tuple[Any, ...]:
    return id, f"{id}@x" if email == "own" else email, name, n, seq


OWN = ["own"] * 5
ordinary = st.builds(
    _row,
    st.integers(1, 6),
    st.sampled_from([*OWN, "Ü@x", "😀", None]),
    st.sampled_from(["x", "y", "z", "v", "bad", 'ñ\\"\n', "😀", None]),
    st.sampled_from(["7", "8", "9", "11", "12", "13", "x", None]),
    st.one_of(st.integers(0, 9), st.none()),
)
odd = st.tuples(
    st.sampled_from([None, 1, 2]),
    st.sampled_from(["1@x", "ü@x", None]),
    st.sampled_from(["x", "bad"]),
    st.sampled_from(["7", "x"]),
    st.integers(0, 9),
)
rows = st.one_of(
    st.lists(ordinary, min_size=3, max_size=6, unique_by=lambda row: row[0]),
    st.lists(ordinary, min_size=3, max_size=6, unique_by=lambda row: row[0]),
    st.lists(ordinary, max_size=4, unique_by=lambda row: row[0]),
    st.builds(
        lambda good, bad: good + bad,
        st.lists(ordinary, min_size=2, max_size=5, unique_by=lambda row: row[0]),
        st.lists(odd, min_size=1, max_size=2),
    ),
).map(tuple)
troubles = st.one_of(
    st.just(Trouble("none")),
    st.builds(
        Trouble,
        st.sampled_from(["busy", "down", "lost before", "lost after", "stop", "crash before", "crash after", "state"]),
        st.sampled_from([0, 0, 1, 2, 4]),
        st.sampled_from([1, 3, 9]),
    ),
)
steps = st.builds(
    Step,
    rows=rows,
    name=st.sampled_from(["plain", "plain", "plain", *NAMES]),
    trouble=troubles,
    full_refresh=st.sampled_from([False, False, False, True]),
    replay=st.sampled_from(["", "", "", "", "Fresh", "Stored"]),
    dismiss=st.sampled_from([*[False] * 7, True]),
)
scenarios = st.builds(
    Scenario,
    steps=st.lists(steps, min_size=2, max_size=6).map(tuple),
    destination=st.sampled_from(["http", "postgres"]),
    source=st.sampled_from(["duckdb", "duckdb", "duckdb", "postgres"]),
    modes=st.one_of(
        st.sampled_from(["upsert", "insert", "update", "delete", "mirror", "mirror", "append"]).map(
            lambda mode: (mode,)
        ),
        st.lists(st.sampled_from(["upsert", "mirror", "insert", "delete", "update"]), min_size=2, max_size=2).map(
            tuple
        ),
    ),
    key=st.sampled_from(["id", "id", "id", "email", *KEYS]),
    number=st.sampled_from(list(NUMBERS)),
    strategy=st.sampled_from(["Snapshot", "Snapshot", "Cursor", "None"]),
    lag=st.sampled_from([0, 2]),
    on_unknown=st.sampled_from(["Resend", "Hold", "Accept"]),
    batch=st.sampled_from([1, 1, 2, 100]),
    in_flight=st.sampled_from([1, 3]),
    opaque=st.booleans(),
).filter(lambda scenario: scenario.strategy != "Cursor" or "mirror" not in scenario.modes)


# ---- the real thing, traced


@dataclass
class Accident:
    """Trouble as it unfolds in one run; `dead` once the process is gone."""

    trouble: Trouble
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    uses: int = 0
    dead: bool = False

    def call(self) -> str:
        """What happens at this call of the destination."""
        self.check()
        number, self.calls = self.calls, self.calls + 1
        hit = self.trouble.at <= number < self.trouble.at + self.trouble.times
        return self.trouble.kind if hit else "none"

    def use(self) -> bool:
        """Whether the process dies at this use of the state store."""
        self.check()
        self.uses += 1
        return self.trouble.kind == "state" and self.uses == 2 + self.trouble.at

    def check(self) -> None:
        """Raise Crash if the process is gone: a dead process does nothing."""
        if self.dead:
            raise Crash

    def die(self) -> None:
        self.dead = True
        raise Crash


class Traced(Destination):
    """A real connector; what reaches it is written down, and trouble comes in its place."""

    name = "traced"

    def __init__(
        self, inner: Destination, accident: Accident, tool: Tool, definition: Definition, endpoint: Endpoint | None
    ) -> None:
        self.capabilities = inner.capabilities
        self.calls: list[Call] = []
        self._inner = inner
        self._accident = accident
        self._tool = tool
        self._definition = definition
        self._endpoint = endpoint

    async def open(self, target: Target) -> None:
        self._target = target
        await self._inner.open(target)

    async def close(self) -> None:
        await self._inner.close()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        records = self._records(batch)
        kind = self._accident.call()
        if kind == "stop":
            self._accident.stop.set()
        if kind in {"busy", "down"} and self._endpoint is not None:
            self._endpoint.answers.append(Answer(429, {"Retry-After": "0"}) if kind == "busy" else Answer(503))
        elif kind in {"busy", "down", "lost before"}:
            code = {"busy": "RATE_LIMIT", "down": "DESTINATION_UNAVAILABLE"}.get(kind, "OUTCOME_UNKNOWN")
            self._note(batch, records, ["later" if code != "OUTCOME_UNKNOWN" else "lost"] * batch.size)
            raise TryLater(code, "trouble")  # type: ignore[arg-type]
        elif kind == "crash before":
            self._note(batch, records, ["crashed"] * batch.size)
            self._accident.die()
        return await self._write(batch, records, kind)

    async def _write(self, batch: Batch, records: list[dict[str, Any]], kind: str) -> Sequence[Outcome]:
        """What reached the destination is carried out, even if its caller is gone by then."""
        writing = asyncio.ensure_future(self._inner.write(batch))
        cancelled = False
        try:
            await asyncio.wait({asyncio.shield(writing)})
        except asyncio.CancelledError:
            cancelled = True
            await asyncio.wait({writing})
        try:
            outcomes = list(writing.result())
        except TryLater as later:
            self._note(batch, records, ["lost" if later.code == "OUTCOME_UNKNOWN" else "later"] * batch.size)
            raise
        except BatchRejected:
            self._note(batch, records, ["rejected" if batch.size == 1 else "refused together"] * batch.size)
            if not any(map(refused, records)):
                raise Disagreement(f"{records} were refused together") from None
            raise
        answers = [self._tool.take(batch.operation, self._definition.key(record), record) for record in records]
        told = [_answer(outcome) for outcome in outcomes]
        if told != answers:
            raise Disagreement(f"{batch.operation} of {records}: the connector says {told}, expected {answers}")
        if cancelled or self._accident.dead or kind == "crash after":
            self._note(batch, records, ["crashed"] * batch.size)
            self._accident.die()
        if kind == "lost after":
            self._note(batch, records, ["lost"] * batch.size)
            raise TryLater("OUTCOME_UNKNOWN", "the answer was lost")
        self._note(batch, records, told)
        return outcomes

    def _note(self, batch: Batch, records: list[dict[str, Any]], answers: list[Any]) -> None:
        self.calls.append(Call(batch.operation, tuple(records), tuple(answers)))

    def _records(self, batch: Batch) -> list[dict[str, Any]]:
        if batch.payloads is not None:
            return [json.loads(payload) for payload in batch.payloads]
        assert batch.table is not None
        return [
            {name: value for name, value in record.items() if value is not None or name not in self._target.skip_nulls}
            for record in batch.table.to_pylist()
        ]


def _answer(outcome: Outcome) -> str:
    if isinstance(outcome, Acknowledged):
        return "ok"
    if isinstance(outcome, Skipped):
        return "skipped"
    return "rejected" if isinstance(outcome, Rejected) else "lost"


class Mortal:
    """The state store of a process that may die at any use of it, before or after the store has done its part."""

    def __init__(self, inner: SqlStateStore, accident: Accident) -> None:
        self._inner = inner
        self._accident = accident
        self.watermark: str | None = None

    def __getattr__(self, name: str) -> Any:
        used = getattr(self._inner, name)
        if name in {"snapshot", "letters"}:
            return used

        async def use(*args: Any) -> Any:
            dies = self._accident.use()
            if dies and self._accident.trouble.times == 1:
                self._accident.die()
            result = await used(*args)
            if name == "claim":
                self.watermark = result.notes.watermark
            if dies:
                self._accident.die()
            return result

        return use


class World:
    """One scenario: source, destination and state of its own, and the model beside them."""

    def __init__(self, scenario: Scenario, directory: Path, warehouse: Warehouse, state: SqlStateStore) -> None:
        self.scenario = scenario
        self.directory = directory
        self.warehouse = warehouse
        self.state = state
        self.memory = Memory()
        self.tool = Tool(refused, table=scenario.destination == "postgres")
        self.endpoint = Endpoint(
            style="index", atomic=scenario.opaque, check=lambda record: "refused" if refused(record) else None
        )

    async def play(self) -> None:
        """All steps (raises Disagreement)."""
        if self.scenario.destination == "postgres" or self.scenario.source == "postgres":
            self.warehouse.run("TRUNCATE crm.accounts", "TRUNCATE crm.events")
        async with serving(self.endpoint):
            for number, step in enumerate(self.scenario.steps):
                mode = self.scenario.modes[number * len(self.scenario.modes) // len(self.scenario.steps)]
                try:
                    await self._step(step, self._definition(mode, step))
                except (Disagreement, AssertionError) as error:
                    raise Disagreement(f"step {number}, mode {mode}: {error}") from error

    def _definition(self, mode: str, step: Step) -> Definition:
        scenario = self.scenario
        return Definition(
            mode=mode,
            fields=(KEYS[scenario.key], NAMES[step.name], *NUMBERS[scenario.number]),
            strategy=scenario.strategy,
            lag=scenario.lag if scenario.strategy == "Cursor" else 0,
            on_unknown=scenario.on_unknown,
        )

    async def _step(self, step: Step, definition: Definition) -> None:
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in step.rows]
        self._fill(rows)
        accident = Accident(step.trouble)
        if step.dismiss:
            await self._dismiss()
        run = self._run(step, definition)
        state = Mortal(self.state, accident)
        sync = self._sync(definition)
        source, inner = sync.connectors()
        tool = Traced(inner, accident, self.tool, definition, self._endpoint)
        more: dict[str, Any] = {"full_refresh": run.full_refresh}
        if run.replay:
            more = {"mode": "Replay", "replay": {"payload": "Stored" if run.stored else "Fresh"}}
        owner = this_process()
        if step.trouble.kind in {"crash before", "crash after", "state"}:
            owner = NOBODY.format(host=owner.partition("/")[0])
        result = None
        try:
            result = await pipeline.run(
                sync.spec(name="run", uid=run.uid, **more),
                source,
                tool,
                state,  # type: ignore[arg-type]
                staging=sync.staging,
                owner=owner,
                stop=accident.stop,
            )
        except BaseException as error:
            if not accident.dead:
                raise error from None
        self.endpoint.answers.clear()
        ending = result.status if result is not None and not accident.dead else "crashed"
        assert ending != "AwaitingApproval", result
        began = None if state.watermark is None else int(state.watermark)
        expected = reference.run(self.memory, rows, definition, run, tool.calls, ending, began)
        if result is not None and not accident.dead:
            assert result.reason in ENDINGS.get(step.trouble.kind, {""}), result
            expected.check(result.counts.model_dump())
        await self._compare(definition)

    def _run(self, step: Step, definition: Definition) -> Run:
        """Records are replayed as they were kept only where the model knows which there are."""
        same = self.memory.baseline == definition.baseline and "skip" not in {each.name for each in self.scenario.steps}
        stored = step.replay == "Stored" and same and self.memory.certain and bool(self.memory.kept())
        return Run(
            str(uuid.uuid4()),
            full_refresh=step.full_refresh and not step.replay,
            replay=bool(step.replay),
            stored=stored,
            stopped=step.trouble.kind == "stop",
        )

    async def _dismiss(self) -> None:
        letters = await self.state.dead_letters(namespace="tests", sync="sync", limit=500)
        await self.state.resolve(namespace="tests", ids=[letter.id for letter in letters])
        self.memory.dismiss()
        self.memory.stale.clear()

    async def _compare(self, definition: Definition) -> None:
        letters = await self.state.dead_letters(namespace="tests", sync="sync", limit=500)
        found = [(letter.code, tuple(letter.record_keys.items())) for letter in letters]
        self.memory.check_letters(found)
        if self.scenario.destination == "http":
            held = {(key,): record for key, record in self.endpoint.records.items()}
            assert held == self.tool.records
            assert sorted(map(repr, self.endpoint.events)) == sorted(map(repr, self.tool.log))
            return
        table = {(key,): texts for key, *texts in self.warehouse.rows("SELECT * FROM crm.accounts")}
        assert table == {key: _texts(record) for key, record in self.tool.records.items()}
        logged = self.warehouse.rows("SELECT * FROM crm.events")
        assert sorted(map(repr, logged)) == sorted(repr((str(r["id"]), *_texts(r))) for r in self.tool.log)

    @property
    def _endpoint(self) -> Endpoint | None:
        return self.endpoint if self.scenario.destination == "http" else None

    def _fill(self, rows: list[dict[str, Any]]) -> None:
        if self.scenario.source == "postgres":
            self.warehouse.fill("accounts", [tuple(row.values()) for row in rows])
            return
        types = [pa.int64(), pa.string(), pa.string(), pa.string(), pa.int64()]
        columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in zip(COLUMNS, types, strict=True)}
        pq.write_table(pa.table(columns), self.directory / "accounts.parquet")

    def _http(self) -> dict[str, Any]:
        url = self.endpoint.url + "/{object}/"
        operations = {name: {"url": url + name} for name in ("insert", "update", "delete", "append")}
        return {"url": url + "upsert", "results": {}, "operations": operations}

    def _sync(self, definition: Definition) -> Sync:
        scenario, postgres = self.scenario, self.scenario.destination == "postgres"
        warehouse = self.warehouse
        change: dict[str, Any] = {"strategy": scenario.strategy}
        if scenario.strategy == "Cursor":
            change |= {"column": "seq", "lag": scenario.lag}
        return Sync(
            state=self.state,
            staging=self.directory / "staging",
            query={"table": "accounts"},
            mappings=[dict(field.manifest) for field in definition.fields],
            source_name=scenario.source,
            source=warehouse.config
            if scenario.source == "postgres"
            else {"files": {"accounts": str(self.directory / "accounts.parquet")}},
            source_login=warehouse.login if scenario.source == "postgres" else {},
            destination=scenario.destination,
            destination_config=warehouse.config if postgres else self._http(),
            destination_login=warehouse.login if postgres else {},
            object="accounts" if not postgres else "crm.events" if definition.mode == "append" else "crm.accounts",
            more={
                "mode": definition.mode,
                "changeDetection": change,
                "delivery": {
                    "batchSize": scenario.batch,
                    "maxInFlight": scenario.in_flight,
                    "maxAttempts": 3,
                    "onUnknown": scenario.on_unknown,
                },
                "guards": {"maxDeletes": 1000, "minRows": 0},
            },
        )


def _texts(record: dict[str, Any]) -> list[str | None]:
    return [None if record.get(name) is None else str(record[name]) for name in ("name", "n")]


# ---- the tests


@pytest.fixture(scope="module")
def tables(server: Any) -> Iterator[Warehouse]:
    with Warehouse(server, server.create_database()) as warehouse:
        warehouse.run(
            "CREATE TABLE accounts (id int, email text, name text, n text, seq int)",
            "CREATE SCHEMA crm",
            "CREATE TABLE crm.accounts (id text PRIMARY KEY, name text CHECK (lower(name) NOT LIKE 'bad%'), n text)",
            "CREATE TABLE crm.events (id text, name text CHECK (lower(name) NOT LIKE 'bad%'), n text)",
        )
        yield warehouse


@pytest.fixture(scope="module")
def play(tables: Warehouse) -> Iterator[Any]:
    """Plays scenarios, each with an empty state database."""
    with (
        tempfile.TemporaryDirectory(
            prefix="retl-reference-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
        ) as directory,
        pytest.MonkeyPatch.context() as patched,
        asyncio.Runner() as runner,
    ):
        patched.setattr(pauses, "FIRST_PAUSE", 0.001)
        empty = Path(directory) / "empty.db"

        async def make() -> None:
            await (await SqlStateStore.open(f"sqlite:///{empty}", key=bytes(32))).close()

        async def one(scenario: Scenario, place: Path) -> None:
            state = await SqlStateStore.open(f"sqlite:///{place}/state.db", key=bytes(32))
            try:
                async with asyncio.timeout(20):
                    await World(scenario, place, tables, state).play()
            finally:
                await state.close()

        def play_one(scenario: Scenario) -> None:
            place = Path(tempfile.mkdtemp(dir=directory))
            shutil.copy(empty, place / "state.db")
            try:
                runner.run(one(scenario, place))
            finally:
                shutil.rmtree(place)

        runner.run(make())
        yield play_one


BY_HAND = (
    # A mirror in which one record is gone and another is refused.
    Scenario(
        modes=("mirror",),
        steps=(
            Step(rows=((1, "a", "x", "7", 1), (2, "b", "x", "7", 1), (3, "c", "x", "7", 1))),
            Step(rows=((1, "a", "bad", "7", 2), (2, "b", "y", "7", 2))),
            Step(rows=((1, "a", "bad", "7", 2), (2, "b", "y", "7", 2))),
        ),
    ),
    # An update is carried out, its runner dies, and the source takes it back.
    Scenario(
        batch=1,
        steps=(
            Step(rows=((1, "a", "x", "7", 1), (2, "b", "x", "7", 1))),
            Step(rows=((1, "a", "y", "7", 2), (2, "b", "y", "7", 2)), trouble=Trouble("crash after")),
            Step(rows=((1, "a", "x", "7", 3), (2, "b", "x", "7", 3))),
        ),
    ),
    # A refused row of a mirror goes before it was ever written: its dead letter goes, too.
    Scenario(
        modes=("mirror",),
        strategy="None",
        on_unknown="Hold",
        steps=(Step(rows=((5, "a", "bad", "7", 7),)), Step(rows=(), trouble=Trouble("lost before"))),
    ),
    # An event in flight at a kill is another one when the next run reads it.
    Scenario(
        modes=("append",),
        strategy="Cursor",
        number="text",
        on_unknown="Accept",
        batch=1,
        in_flight=3,
        steps=(
            Step(rows=((2, "a", "y", None, None), (4, None, "z", None, None)), trouble=Trouble("crash after", 1, 9)),
            Step(rows=((4, None, "z", "8", None),)),
        ),
    ),
    # A run is stopped while its last record is on its way: it succeeds, and reads the same rows again.
    Scenario(
        strategy="Cursor",
        steps=(Step(rows=((4, "a", "y", "8", 0),), trouble=Trouble("stop")), Step(rows=((4, "a", "x", "8", 0),))),
    ),
)


@pytest.mark.parametrize("scenario", BY_HAND)
def test_what_chance_rarely_finds_or_was_once_wrong(play: Any, scenario: Scenario) -> None:
    play(scenario)


@settings(
    max_examples=SCENARIOS or 50,
    derandomize=not SCENARIOS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
@given(scenario=scenarios)
def test_the_engine_does_what_the_model_says(play: Any, scenario: Scenario) -> None:
    play(scenario)
