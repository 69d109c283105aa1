"""What the state database, logs and results know of people: nothing that is not meant to be there.

All files of the state database are searched for every value of the source, as text, as JSON, and for its plain hashes.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from retl.engine import pipeline
from retl.resources.run import RunCounts
from retl.runner.execute import termination_message
from retl.runspec.result import RunResult
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore
from tests.cli.retl_command import retl
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.kill_runs import KEY
from tests.engine.syncs import Sync, to_endpoint
from tests.engine.warehouse import Warehouse

ROWS = 60
REFUSED = range(20, 25)
Values = dict[int, list[str]]
"""By row, the texts that tell who it is about."""


@pytest.fixture
def values(warehouse: Warehouse) -> Values:
    """A table of accounts, and all that is in it."""
    warehouse.run(
        "CREATE TABLE accounts AS SELECT 770000000 + i AS id, 'zaphod-' || i || '@betelgeuse.example' AS email, "
        "'Zaphod Beeblebröx 😀 the ' || i || 'th' AS name, 98765.4321 + i AS revenue, "
        "timestamptz '1979-10-12 01:02:03+00' + i * interval '1 day' AS born FROM generate_series(1, 60) i",
        "INSERT INTO accounts VALUES (NULL, 'keyless@betelgeuse.example', 'Marvin the Android', 4242424242, NULL)",
    )
    columns = "id::text, email, name, revenue::text, to_char(born, 'YYYY-MM-DD')"
    found = warehouse.rows(f"SELECT coalesce(id, 0), {columns} FROM accounts")
    return {key - 770_000_000 if key else 0: [text for text in texts if text] for key, *texts in found}


def searched(texts: Iterable[str]) -> set[bytes]:
    """The forms in which values might lie about."""
    forms: set[bytes] = set()
    for text in texts:
        plain = text.encode()
        forms |= {plain, json.dumps(text)[1:-1].encode(), text.encode("utf-16-le"), plain.hex().encode()}
        for each in (plain, json.dumps([text]).encode(), json.dumps([text], separators=(",", ":")).encode()):
            for kind in (hashlib.md5, hashlib.sha1, hashlib.sha256):
                digest = kind(each)
                forms |= {digest.digest(), digest.hexdigest().encode()}
    return forms


def found_in(content: bytes, values: Values) -> set[int]:
    """Rows of which some value is in it."""
    return {row for row, texts in values.items() if any(form in content for form in searched(texts))}


def of_sqlite(folder: Path) -> bytes:
    """All files of the state database."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("state.db*")))


def of_postgres(database: Warehouse) -> bytes:
    """Every field of every table."""
    tables = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    fields: list[bytes] = []
    for (table,) in tables:
        for row in database.rows(f"SELECT * FROM {table}"):
            fields += [field if isinstance(field, bytes) else str(field).encode() for field in row]
    return b"\n".join(fields)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], bytes]]:
    """URL of a state database, and how to read all of it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db", lambda: of_sqlite(tmp_path)
    server = request.getfixturevalue("server")
    database = server.create_database()

    def read() -> bytes:
        with Warehouse(server, database) as opened:
            return of_postgres(opened)

    return server.url(database), read


async def all_that_happens(
    sync: Sync, warehouse: Warehouse, endpoint: Endpoint, *, mirror: bool
) -> AsyncIterator[RunResult]:
    """Runs of every kind, with a refusal that repeats the record, an outage, a plan, held deletes and a replay."""
    mode = "mirror" if mirror else "upsert"
    sync.destination_config = {
        "url": endpoint.url + "/{object}/upsert",
        "results": {},
        "operations": {"delete": {"url": endpoint.url + "/{object}/delete"}},
    }
    sync.more = {"mode": mode, "delivery": {"batchSize": 7, "maxAttempts": 1}, "guards": {"maxDeletes": "20%"}}
    endpoint.style = "index"
    endpoint.check = lambda record: f"not liked: {record}" if record["id"] - 770_000_000 in REFUSED else None
    yield await sync.run(mode="Plan")
    result = await sync.run()
    assert result.counts == RunCounts(read=ROWS + 1, created=ROWS - 5, rejected=5, invalid=1)
    yield result
    warehouse.run("UPDATE accounts SET revenue = revenue + 1 WHERE id > 770000050")
    endpoint.answers.append(Answer(503, {}, json.dumps({"detail": f"down for {endpoint.records['770000055']}"})))
    yield await sync.run()
    yield await sync.run()
    warehouse.run("DELETE FROM accounts WHERE id <= 770000015 OR id IS NULL")
    held = await sync.run()
    assert held.status == ("AwaitingApproval" if mirror else "Succeeded")
    yield held
    yield await sync.run(approved_plan=held.plan_hash)
    yield await sync.run(mode="Replay", replay={"payload": "Fresh"})


@pytest.fixture
def sync(warehouse: Warehouse, values: Values, endpoint: Endpoint, tmp_path: Path) -> Callable[[SqlStateStore], Sync]:
    """A sync of all columns; its state is given later."""
    return lambda state: to_endpoint(warehouse, endpoint, state, tmp_path, "id", "email", "name", "revenue", "born")


@pytest.mark.parametrize("mirror", [False, True], ids=["upsert", "mirror"])
async def test_with_a_key_the_state_database_holds_no_value_of_any_row(
    place: tuple[str, Callable[[], bytes]],
    sync: Callable[[SqlStateStore], Sync],
    values: Values,
    warehouse: Warehouse,
    endpoint: Endpoint,
    mirror: bool,
) -> None:
    url, read = place
    state = await SqlStateStore.open(url, key=KEY)
    async for _ in all_that_happens(sync(state), warehouse, endpoint, mirror=mirror):
        assert found_in(read(), values) == set()
    letters = await state.dead_letters(namespace="tests", sync="sync")
    assert "770000020" in {letter.record_keys["id"] for letter in letters}, "who has the key can read them"
    await state.close()
    assert found_in(read(), values) == set()


@pytest.mark.parametrize("stored", [True, False], ids=["with payloads", "without payloads"])
async def test_without_a_key_the_state_database_holds_refused_rows_and_no_others(
    place: tuple[str, Callable[[], bytes]],
    sync: Callable[[SqlStateStore], Sync],
    values: Values,
    endpoint: Endpoint,
    stored: bool,
) -> None:
    url, read = place
    state = await SqlStateStore.open(url)
    made = sync(state)
    made.destination_config["results"] = {}
    made.more = {"deadLetters": {"storePayload": stored}}
    endpoint.style = "index"
    endpoint.check = lambda record: "not liked" if record["id"] - 770_000_000 in REFUSED else None
    assert (await made.run()).dead_letters == 6
    await state.close()
    keys = {row: [str(770_000_000 + row)] if row else [] for row in values}
    rest = {row: [text for text in texts if text not in keys[row]] for row, texts in values.items()}
    assert found_in(read(), keys) == set(REFUSED), "a dead letter says which record it is about"
    assert found_in(read(), rest) == ({0, *REFUSED} if stored else set())


async def test_logs_progress_results_and_termination_messages_hold_no_value_of_any_row(
    sync: Callable[[SqlStateStore], Sync],
    values: Values,
    warehouse: Warehouse,
    endpoint: Endpoint,
    sealed: SqlStateStore,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    made = sync(sealed)
    said: list[RunResult] = [each async for each in all_that_happens(made, warehouse, endpoint, mirror=True)]
    endpoint.always = Answer(401, {}, json.dumps({"detail": f"who is {endpoint.records['770000055']}?"}))
    said.append(await made.run(full_refresh=True))
    endpoint.always = Answer(400, {}, json.dumps({"detail": f"what is {endpoint.records['770000055']}?"}))
    said.append(await made.run(full_refresh=True))
    for sql in (
        "SELECT id, email, name, revenue, born, name::int FROM accounts",
        "SELECT id, email, name, revenue, born, email::json FROM accounts",
        "SELECT id, email, name, revenue, (name || ' ')::timestamptz AS born FROM accounts",
    ):
        made.query = {"sql": sql}
        said.append(await made.run())
    assert {"SourceFailed", "DestinationAuth", "DestinationUnavailable"} <= {result.reason for result in said}
    for result in said:
        assert found_in(termination_message(result).encode(), values) == set()
        assert found_in(result.model_dump_json().encode(), values) == set()
    out, err = capfd.readouterr()
    assert found_in((out + err + caplog.text).encode(), values) == set()
    runs = await sealed.runs(namespace="tests")
    assert found_in(repr(runs).encode(), values) == set()


class Watching:
    """Notes all that progress says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def step(self, step: Any, total: int | None) -> None:
        self.said.append((step, total))

    def advanced(self, step: Any, rows: int) -> None:
        self.said.append((step, rows))

    def counted(self, counts: RunCounts) -> None:
        self.said.append(counts)


async def test_a_sensitive_value_is_in_no_message_key_or_plan_but_in_the_record_that_is_kept_for_replay(
    sync: Callable[[SqlStateStore], Sync], values: Values, endpoint: Endpoint, sealed: SqlStateStore
) -> None:
    made = sync(sealed)
    made.mappings = [{**mapping, "sensitive": True} for mapping in made.mappings]
    made.mappings[2] |= {"cast": "integer"}
    watching = Watching()
    result = await pipeline.run(
        made.spec(), *made.connectors(), sealed, staging=made.staging, owner=this_process(), progress=watching
    )
    assert result.counts.invalid == ROWS + 1
    letters = await sealed.dead_letters(namespace="tests", sync="sync", limit=500)
    shown = repr([(letter.message, letter.record_keys) for letter in letters]) + repr(watching.said)
    assert found_in(shown.encode(), values) == set()
    planned = made.spec(mode="Plan")
    await pipeline.run(planned, *made.connectors(), sealed, staging=made.staging, owner=this_process())
    document = await sealed.plan(namespace="tests", run=planned.run.name)
    assert document is not None
    assert found_in(document, values) == set()


async def test_the_command_line_writes_counts_for_programs_and_keeps_nothing_readable(
    values: Values, warehouse: Warehouse, endpoint: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "secrets" / "warehouse").mkdir(parents=True)
    for name, value in warehouse.login.items():
        (tmp_path / "secrets" / "warehouse" / name).write_text(value)
    head = "apiVersion: reverseetl.io/v1alpha1"
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "SyncSource": (
            "warehouse",
            {
                "connector": "postgres",
                "config": warehouse.config,
                "credentials": {"secretRef": {"name": "warehouse"}},
            },
        ),
        "SyncDestination": ("crm", {"connector": "http", "config": {"url": endpoint.url + "/{object}", "results": {}}}),
        "ReverseETLSync": (
            "accounts",
            {
                "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT * FROM accounts"},
                "destinationRef": {"name": "crm"},
                "object": "accounts",
                "primaryKey": ["id"],
                "mappings": [{"source": "id", "destination": "id", "key": True}],
                "allColumns": {},
            },
        ),
    }
    documents = [
        f"{head}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"
        for kind, (name, spec) in kinds.items()
    ]
    (tmp_path / "sync.yaml").write_text("---\n".join(documents))
    endpoint.style = "index"
    endpoint.check = lambda record: f"not liked: {record}" if record["id"] - 770_000_000 in REFUSED else None
    arguments = ("run", "-f", "sync.yaml", "--secrets-dir", "secrets", "-o", "json")
    answer = await asyncio.to_thread(retl, *arguments, cwd=tmp_path)
    assert (answer.object["created"], answer.object["rejected"]) == (ROWS - 5, 5)
    assert found_in((answer.out + answer.err).encode(), values) == set()
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".retl").rglob("*") if path.is_file())
    assert found_in(kept, values) == set()
