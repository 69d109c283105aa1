"""How long people wait for the dead letters of a sync that has very many."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from bench.stage import Stage
from retl.resources.run import RunCounts
from retl.resources.sync import DeadLetters
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, ClaimRequest, Commit, NewDeadLetter

HEADER = """
### {:,} open dead letters

| state database | added a second | first page of 50, ms | page in the middle, ms | statistics, ms |
|---|---:|---:|---:|---:|"""
NAMESPACE, SYNC = "bench", "accounts"
CODES = ("DESTINATION_VALIDATION", "CAST_FAILED", "CONFLICT")
COMMIT = 5_000
TIMES = 20


def table(stage: Stage, count: int) -> Iterator[str]:
    """Lines of the table: SQLite, then PostgreSQL."""
    yield HEADER.format(count)
    database = stage.server.create_database()
    urls = {
        "SQLite": f"sqlite:///{stage.directory}/letters.db",
        "PostgreSQL": stage.server.url(database).replace("postgresql:", "postgresql+psycopg:"),
    }
    for name, url in urls.items():
        yield f"| {name} | {asyncio.run(_measure(url, count))} |"


async def _measure(url: str, count: int) -> str:
    store = await SqlStateStore.open(url)
    try:
        claim = await store.claim(
            ClaimRequest(
                run=RunIdentity(name="run-1", uid="uid-of-run-1"),
                sync=SyncIdentity(namespace=NAMESPACE, name=SYNC, uid="uid-of-accounts"),
                baseline="",
                owner="bench",
                letters=DeadLetters(max_entries=count),
            )
        )
        began = time.perf_counter()
        middle = ""
        async for added in _add(store, claim, count):
            if added == count // 2:
                middle = (await store.dead_letters(namespace=NAMESPACE, sync=SYNC, limit=1))[0].cursor
        rate = count / (time.perf_counter() - began)
        first = await _milliseconds(lambda: store.dead_letters(namespace=NAMESPACE, sync=SYNC))
        inner = await _milliseconds(lambda: store.dead_letters(namespace=NAMESPACE, sync=SYNC, after=middle))
        numbers = await _milliseconds(lambda: store.statistics(namespace=NAMESPACE))
        assert (await store.statistics(namespace=NAMESPACE)).open == count
        assert len(await store.dead_letters(namespace=NAMESPACE, sync=SYNC, after=middle)) == 50
    finally:
        await store.close()
    return f"{rate:,.0f} | {first:.1f} | {inner:.1f} | {numbers:.1f}"


async def _add(store: SqlStateStore, claim: Claim, count: int) -> AsyncIterator[int]:
    """Commit letters as a run does; tells after each commit how many there are."""
    for sequence, at in enumerate(range(0, count, COMMIT), 1):
        letters = [_letter(number) for number in range(at, at + COMMIT)]
        await store.commit(claim, Commit(sequence, RunCounts(rejected=at + COMMIT), dead_letters=letters))
        yield at + COMMIT


def _letter(number: int) -> NewDeadLetter:
    return NewDeadLetter(
        key=os.urandom(16),
        row=os.urandom(16),
        code=CODES[number % 10 % len(CODES)],
        message="the field is too long",
        record_keys={"id": str(number)},
        payload=b'{"id":%d,"name":"Account %d","email":"account%d@example.com"}' % (number, number, number),
    )


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """The median of several times."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)
