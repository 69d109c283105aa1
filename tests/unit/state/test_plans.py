"""How the databases read for the API: along an index, and only what is shown. Else a list is quick until it matters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from bench.rest.data import CODES, Amount, made_up, seed
from retl.state.history import RunsAsked
from retl.state.letter_pages import Asked
from retl.state.sql import SqlStateStore
from tests.postgres import Postgres
from tests.unit.state.databases import NAMESPACE

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MIDDLE = NOW - timedelta(days=15)
SYNCS = made_up(100)
SYNC = SYNCS[7].uid
LETTER = f"{MIDDLE.isoformat(timespec='microseconds')}_x"
LARGE = {"retl_runs", "retl_dead_letters"}
PAGE = 20
MOST = PAGE * len(CODES) * 2
"""Rows that a page may read: of each code its head; twice that for what the planner does better than we know."""

Statement = tuple[str, Any]
Read = Callable[[SqlStateStore], Awaitable[object]]


def runs(**asked: Any) -> Read:
    return lambda store: store.history(RunsAsked(NAMESPACE, PAGE, **asked))


def letters(resolved: bool = False, code: str | None = None, sync_uid: str | None = None) -> Read:
    asked = Asked(NAMESPACE, None, resolved, code, None, PAGE, LETTER, sync_uid)
    return lambda store: store.letter_page(asked)


def counted(since: datetime, sync_uid: str | None = None) -> Read:
    return lambda store: store.letter_statistics(NAMESPACE, sync_uid, since)


RUNS, LETTERS, ENDED = "ix_retl_runs", "ix_retl_dead_letters", "ix_retl_dead_letters_resolved"
PAGES: dict[str, tuple[Read, str]] = {
    "newest runs": (runs(), f"{RUNS}_namespace"),
    "runs in the middle": (runs(after=(MIDDLE, "x")), f"{RUNS}_namespace"),
    "runs of a sync": (runs(sync_uid=SYNC, after=(MIDDLE, "x")), f"{RUNS}_sync"),
    "failed runs": (runs(states=frozenset({"Failed"}), after=(MIDDLE, "x")), f"{RUNS}_state"),
    "failed runs of a sync": (runs(states=frozenset({"Failed"}), sync_uid=SYNC), f"{RUNS}_sync"),
    "runs under way": (runs(states=frozenset({"Running"})), f"{RUNS}_state"),
    "a run by its uid": (lambda store: store.run_of(NAMESPACE, uid="none"), f"{RUNS}_uid"),
    "a run by its name": (lambda store: store.run_of(NAMESPACE, name="none"), f"{RUNS}_name"),
    "runs for the command line": (lambda store: store.runs(namespace=NAMESPACE, limit=PAGE), f"{RUNS}_namespace"),
    "open entries": (letters(), f"{LETTERS}_namespace"),
    "open entries of a rare code": (letters(code=CODES[-1]), f"{LETTERS}_namespace"),
    "open entries of a sync": (letters(sync_uid=SYNC), f"{LETTERS}_sync"),
    "open entries of a sync and code": (letters(code=CODES[0], sync_uid=SYNC), f"{LETTERS}_sync"),
    "resolved entries": (letters(resolved=True), ENDED),
    "resolved entries of a rare code": (letters(resolved=True, code=CODES[-1]), ENDED),
    "resolved entries of a sync": (letters(resolved=True, sync_uid=SYNC), f"{ENDED}_sync"),
    "named entries": (lambda store: store.letters_named(NAMESPACE, ["none"] * PAGE), "sqlite_autoindex"),
}
COUNTS: dict[str, tuple[Read, str]] = {
    "numbers of a day": (counted(NOW - timedelta(days=1)), ""),
    "numbers of half the time": (counted(MIDDLE), ""),
    "numbers of a sync": (counted(MIDDLE, SYNC), "_sync"),
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled_url(request: pytest.FixtureRequest, server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with some of everything."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/state.db"
    else:
        url = server.url(server.create_database())
    asyncio.run(seed(url, NAMESPACE, SYNCS, Amount(10_000, 20_000), NOW))
    return url


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[SqlStateStore]:
    store = await SqlStateStore.open(filled_url, clock=lambda: NOW)
    yield store
    await store.close()


@pytest.fixture
def engine(filled_url: str) -> Iterator[Engine]:
    engine = create_engine(filled_url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


async def said(read: Read, store: SqlStateStore) -> list[Statement]:
    """The statements of a read that have to do with large tables."""
    heard: list[Statement] = []

    def hear(connection: Connection, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if any(table in statement for table in LARGE):
            heard.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        await read(store)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    return heard


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a plan of PostgreSQL that read a large table."""
    if plan.get("Relation Name") in LARGE:
        yield plan
    for part in plan.get("Plans", ()):
        yield from scans(part)


def explained(engine: Engine, statement: Statement, *settings: str) -> list[dict[str, Any]]:
    """How PostgreSQL read the large tables."""
    with engine.connect() as connection:
        for setting in settings:
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        found = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement[0]}", statement[1]).scalar_one()
    return list(scans(found[0]["Plan"]))


def planned(engine: Engine, statement: Statement) -> list[str]:
    """How SQLite would read the large tables, and what it would put into order itself."""
    with engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement[0]}", statement[1])]
    return [line for line in plan if any(word in line for word in (*LARGE, "FOR ORDER BY"))]


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_reads_no_more_than_it_shows(name: str, filled: SqlStateStore, engine: Engine) -> None:
    read, index = PAGES[name]
    statements = await said(read, filled)
    assert statements
    for statement in statements:
        if engine.dialect.name == "postgresql":
            nodes = explained(engine, statement)
            rows = [n["Actual Loops"] * (n["Actual Rows"] + n.get("Rows Removed by Filter", 0)) for n in nodes]
            assert nodes
            assert sum(rows) <= MOST
        else:
            plan = planned(engine, statement)
            assert plan
            assert [line for line in plan if f" INDEX {index}" not in line] == []


@pytest.mark.parametrize("name", COUNTS)
async def test_numbers_since_a_moment_are_counted_in_an_index_alone(
    name: str, filled: SqlStateStore, engine: Engine
) -> None:
    read, index = COUNTS[name]
    opened, resolved = await said(read, filled)
    for statement, first in ((opened, f"{LETTERS}{index or '_namespace'}"), (resolved, f"{ENDED}{index}")):
        if engine.dialect.name == "postgresql":  # which finds so few as there are here as quickly in the table
            nodes = explained(engine, statement, "enable_seqscan = off", "enable_bitmapscan = off")
            assert [(node["Node Type"], node["Index Name"]) for node in nodes] == [("Index Only Scan", first)]
        else:
            [line] = planned(engine, statement)
            assert f" COVERING INDEX {first} " in line
