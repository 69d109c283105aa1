"""A state database that has seen years: so many runs and dead letters that a list which reads them all is noticed.

The rows are written beside the store's own methods, which would need hours; indexes are built at the end.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
from psycopg.types.json import Json
from sqlalchemy import Connection, Table, create_engine, func, insert, select, text

from retl.resources.run import RunCounts
from retl.runspec.result import RunResult, RunStatusName
from retl.state.sql import SqlStateStore
from retl.state.tables import dead_letters, letter_counts, runs, syncs

CODES = ("DESTINATION_VALIDATION", "CAST_FAILED", "CONFLICT", "RATE_LIMIT", "NULL_KEY")
RARE = 0.001
"""The part of the letters that have the last code."""
SPAN = timedelta(days=30)
"""From the oldest row to the newest."""
_AT_ONCE = 20_000
_STATES: tuple[RunStatusName, ...] = ("Succeeded",) * 17 + ("Failed", "Cancelled", "AwaitingApproval")


@dataclass(frozen=True, slots=True)
class SeedSync:
    """A sync that has the rows: one of a cluster, or made up."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is to be, over all syncs."""

    runs: int = 100_000
    letters: int = 1_000_000


def made_up(count: int) -> list[SeedSync]:
    """So many syncs that are in no cluster."""
    return [SeedSync(f"sync-{n:04}", str(uuid5(NAMESPACE_OID, f"sync-{n}"))) for n in range(count)]


async def seed(url: str, namespace: str, of: Sequence[SeedSync], amount: Amount, now: datetime) -> None:
    """Fill a state database that is new, or has nothing of these syncs.

    Args:
        url: as SqlStateStore.open takes it.
        now: the newest row is about as old as that; 3 of 10 letters are resolved.
    """
    await (await SqlStateStore.open(url)).close()  # makes the schema
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        _bulk(connection, syncs, _syncs(of, namespace))
        _bulk(connection, runs, _runs(of, namespace, amount.runs, now))
        _bulk(connection, dead_letters, _letters(of, namespace, amount.letters, now))
        _count(connection, of)
    if engine.dialect.name == "postgresql":  # as its own daemon does before long; nobody does it for SQLite
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _syncs(of: Sequence[SeedSync], namespace: str) -> Iterator[dict[str, Any]]:
    for sync in of:
        yield {
            "uid": sync.uid,
            "namespace": namespace,
            "name": sync.name,
            "salt": bytes(16),
            "fence": 1_000_000,
            "dropped": 0,
        }


def _runs(of: Sequence[SeedSync], namespace: str, count: int, now: datetime) -> Iterator[dict[str, Any]]:
    numbers = random.Random(1)
    for number in range(count):
        sync = of[number % len(of)]
        created = now - SPAN + SPAN * (number / count)
        name, state = f"{sync.name}-{number:06}", numbers.choice(_STATES)
        counts = RunCounts(read=1000, unchanged=990, updated=9, rejected=1)
        ended = RunResult(run=name, sync=sync.name, status=state, counts=counts)
        yield {
            "sync_uid": sync.uid,
            "uid": str(_uuid7(created, numbers)),
            "namespace": namespace,
            "name": name,
            "mode": "Sync",
            "fence": number + 1,
            "attempt": 1,
            "state": state,
            "started_at": created + timedelta(seconds=2),
            "finished_at": created + timedelta(seconds=30),
            "counts": counts.model_dump(),
            "result": ended.model_dump(mode="json"),
            "dead_letters": 0,
            "created_at": created,
            "full_refresh": False,
            "tick": created,
        }


def _letters(of: Sequence[SeedSync], namespace: str, count: int, now: datetime) -> Iterator[dict[str, Any]]:
    numbers = random.Random(2)
    for number in range(count):
        sync = of[number % len(of)]
        seen = now - SPAN + SPAN * (number / count)
        resolved = numbers.random() < 0.3
        shown = {"message": "the field Email is no address", "record_keys": {"id": str(number)}}
        yield {
            "id": str(_uuid7(seen, numbers)),
            "sync_uid": sync.uid,
            "namespace": namespace,
            "key_hash": number.to_bytes(16),
            "row_hash": numbers.randbytes(16),
            "record_hash": b"",
            "operation": "upsert",
            "run": f"{sync.name}-1",
            "run_uid": str(UUID(int=number)),
            "code": numbers.choice(CODES[:-1]) if numbers.random() > RARE else CODES[-1],
            "attempts": 1,
            "first_seen_at": seen,
            "last_seen_at": seen,
            "resolved_at": seen + (now - seen) / 2 if resolved else None,
            "resolution": "superseded" if resolved else None,
            "shown": b"\0" + json.dumps(shown).encode(),
            "payload": b"\0" + json.dumps({"id": number, "email": f"account{number}@example"}).encode(),
        }


def _bulk(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    """Insert many rows; the indexes are taken away for that time."""
    for index in table.indexes:
        index.drop(connection)
    while some := list(islice(rows, _AT_ONCE)):
        if connection.dialect.name == "postgresql":
            _copy(connection, table, some)
        else:
            connection.execute(insert(table), some)
    for index in table.indexes:
        index.create(connection)


def _copy(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """By COPY: inserts would take three times as long."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    names = list(rows[0])
    with driver.cursor().copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([Json(value) if isinstance(value, dict) else value for value in row.values()])


def _count(connection: Connection, of: Sequence[SeedSync]) -> None:
    letter, resolved = dead_letters.c, func.count(dead_letters.c.resolved_at)
    counted = select(letter.sync_uid, letter.code, func.count() - resolved, resolved).group_by(
        letter.sync_uid, letter.code
    )
    counted = counted.where(letter.sync_uid.in_([sync.uid for sync in of]))
    connection.execute(insert(letter_counts).from_select(["sync_uid", "code", "open", "resolved"], counted))


def _uuid7(moment: datetime, numbers: random.Random) -> UUID:
    """An id that is the same each time."""
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 7 << 76 | numbers.getrandbits(12) << 64 | 2 << 62 | numbers.getrandbits(62))
