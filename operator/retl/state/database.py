"""The connection to the state database: opening, threads, transactions, and driver errors in words.

The drivers are called from a few threads rather than through asyncio wrappers: a transaction here is a handful of
statements, and that costs one hop to a thread instead of one a statement, and needs no further packages. SQLite gets
exactly one thread, because it has one writer anyway and waiting in a queue is fairer than polling its lock.
"""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from retl.errors import InvalidInput, StateError
from retl.state.migrate import migrate

POSTGRES_CONNECTIONS = 8
CONNECT_TIMEOUT = timedelta(seconds=10)
BUSY_TIMEOUT = timedelta(seconds=15)
"""How long an SQLite file may stay locked by another process before we give up."""
CACHE_KIB = 32 * 1024
"""Of an SQLite file in memory: with the usual 2 MiB, ten thousand dead letters take twice as long to insert."""

_READING = "retl_reading"

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Runs functions of a connection, each in one transaction and off the event loop.

    Attributes:
        before: revision that it had when it was opened; None if it was empty.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self.before: str | None = None
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="state")

    @classmethod
    async def open(cls, url: str, busy_timeout: timedelta = BUSY_TIMEOUT) -> Self:
        """Connect and bring the schema up to date.

        Raises:
            InvalidInput: the URL is not one of a state database.
            StateError: the database cannot be used; the text says why and never holds the password.
        """
        parsed = _parse(url)
        sqlite = parsed.drivername == "sqlite"
        engine = _sqlite(parsed, busy_timeout) if sqlite else _postgres(parsed)
        database = cls(engine, 1 if sqlite else POSTGRES_CONNECTIONS)
        try:
            if sqlite:
                await database._call(lambda: _create_file(Path(parsed.database or ""), engine))
            database.before = await database.run(migrate)
        except BaseException:
            await database.close()
            raise
        return database

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(connection, …)` in one transaction: committed when it returns, undone when it raises."""
        return await self._call(lambda: _transact(self._engine, lambda connection: work(connection, *args, **kwargs)))

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for work that only reads: on SQLite it neither waits for a writer nor keeps one waiting."""
        reading = self._engine.execution_options(**{_READING: True})
        return await self._call(lambda: _transact(reading, lambda connection: work(connection, *args, **kwargs)))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Let running transactions end, then disconnect."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    with _in_words(engine), engine.begin() as connection:
        return work(connection)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(
            "state URL: cannot be read; write sqlite:///path/to/state.db or postgresql://user:password@host/database"
        ) from None
    if "@" in (parsed.host or ""):
        raise InvalidInput("state URL: write @ as %40 where it is part of the user or password")
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise InvalidInput(f"state URL: {parsed.drivername}:// is not known; there are: sqlite, postgresql")
    if parsed.database in {None, "", ":memory:"}:
        raise InvalidInput("state URL: sqlite needs a file, because state must last; write sqlite:///path/to/state.db")
    return parsed


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


# Parameters hold keys and payloads of people's records, so no error may quote them.
_COMMON: dict[str, Any] = {"json_serializer": _dump, "json_deserializer": orjson.loads, "hide_parameters": True}


def _sqlite(url: URL, busy_timeout: timedelta) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_timeout.total_seconds()}, **_COMMON)

    # The driver begins transactions late and only for some statements. We begin them ourselves, and take the write lock
    # at once: a transaction that reads first and then wants to write would fail when another process was quicker.
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None
        _use_wal(connection, busy_timeout)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _use_wal(connection: sqlite3.Connection, patience: timedelta) -> None:
    """Switch the journal. SQLite does not always wait for that lock: first openers would refuse each other at once."""
    until = time.monotonic() + patience.total_seconds()
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _postgres(url: URL) -> Engine:
    return create_engine(
        url,
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "application_name": "retl",
            "connect_timeout": int(CONNECT_TIMEOUT.total_seconds()),
            # A server that vanished without a word must not hold a thread for longer than a lease.
            "keepalives_idle": 10,
            "tcp_user_timeout": 30_000,
        },
        **_COMMON,
    )


def _create_file(path: Path, engine: Engine) -> None:
    """Create the file for its owner only: dead letters may hold personal data."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StateError(f"state database {_place(engine)}: {error.strerror}; choose another path") from None


@contextmanager
def _in_words(engine: Engine) -> Iterator[None]:
    """Turn what drivers raise into StateError. Their errors are not chained: they may quote whole rows."""
    try:
        yield
    except DBAPIError as error:
        raise StateError(f"state database {_place(engine)}: {_explain(error.orig, engine.url)}") from None
    except sqlite3.Error as error:  # while a connection is being set up
        raise StateError(f"state database {_place(engine)}: {_explain(error, engine.url)}") from None


def _place(engine: Engine) -> str:
    url = engine.url
    if url.drivername == "sqlite":
        return url.database or ""
    return URL.create(
        "postgresql", url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


_HINTS = (
    ("database is locked", "locked by another process; wait for it to end, or choose another file"),
    ("file is not a database", "not an SQLite database; choose another file"),
    ("unable to open database file", "cannot be opened; check the path and its permissions"),
    ("readonly database", "cannot be written; check the permissions of the file and its directory"),
    ("disk is full", "the disk is full"),
)


def _explain(error: BaseException | None, url: URL) -> str:
    # Only the first line: the following ones may quote values.
    said = re.sub(r"\s+", " ", str(error).strip().split("\n")[0])
    for words, meaning in _HINTS:
        if words in said:
            return meaning
    return said.replace(url.password, "***") if url.password else said
