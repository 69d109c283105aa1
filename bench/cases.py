"""What is compared: each function is a group of cases on one table, and yields its measurements as they come."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import psycopg

from bench import peers, retl, tables
from bench.measure import Measured, best, measure
from bench.stage import ROOT, Sink, Stage, sink
from bench.tables import ACCOUNTS, FLIGHTS, NARROW, Table

OURS = "**retl**"
POSTED = ("id", "carrier", "flight", "tailnum", "origin", "dest", "air_time")
FAST = {"batchSize": 500, "maxInFlight": 16}
LIMIT = 512 * 1024**2
CHANGED_FLIGHTS = 3_705
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: who did what, and how long it took."""

    case: str
    who: str
    measured: Measured


def postgresql(stage: Stage, rows: int) -> Iterator[Row]:
    """A table of 12 columns into PostgreSQL: the first load, then 1 % changed, then nothing changed."""
    tables.fill_accounts(stage.warehouse, rows)
    subset = rows // 20
    ours: list[Measured] = []
    floors: list[Measured] = []
    merges: list[Measured] = []
    for _ in range(stage.repeat):
        ACCOUNTS.create(stage.target)
        floors.append(_floor(stage, "pg-pg", rows, stage.warehouse, stage.target, "accounts"))
        ACCOUNTS.create(stage.target)
        sync = retl.sync(stage, _name("accounts"), ACCOUNTS, rows)
        ours.append(sync.run())
        stage.check(ACCOUNTS)
        if stage.peers:
            _schema(stage, "dlt", ACCOUNTS)
            merges.append(peers.dlt(stage, ACCOUNTS, rows, anew=True))
            stage.check(ACCOUNTS, "dlt")
    yield Row("first load", OURS, best(ours))
    yield Row("first load", "floor", best(floors))
    if stage.peers:
        yield Row("first load", "dlt", best(merges))
        _schema(stage, "ingestr", ACCOUNTS)
        yield Row("first load", "ingestr", peers.ingestr(stage, ACCOUNTS, rows))
        stage.check(ACCOUNTS, "ingestr")
        _schema(stage, "drt", ACCOUNTS)
        yield Row("first load", "drt", peers.drt(stage, ACCOUNTS, subset))
        stage.check(ACCOUNTS, "drt", below=subset + 1)

    def changed() -> Measured:
        ACCOUNTS.change(stage.warehouse, rows // 100)
        return sync.run(sends=rows // 100)

    yield Row("1 % changed", OURS, _best(stage, changed))
    stage.check(ACCOUNTS)
    if stage.peers:
        yield Row("1 % changed", "dlt", _best(stage, lambda: peers.dlt(stage, ACCOUNTS, rows)))
        stage.check(ACCOUNTS, "dlt")
        yield Row("1 % changed", "ingestr", peers.ingestr(stage, ACCOUNTS, rows))
        yield Row("1 % changed", "drt", peers.drt(stage, ACCOUNTS, subset))
    yield Row("nothing changed", OURS, _best(stage, lambda: sync.run(sends=0)))


def http(stage: Stage, rows: int) -> Iterator[Row]:
    """The same table into an HTTP endpoint."""
    tables.fill_accounts(stage.warehouse, rows)
    with sink() as fast, sink(20) as slow:
        for case, to in (("500 a call", fast), ("500 a call, server takes 20 ms", slow)):
            yield from _posting(stage, case, ACCOUNTS, rows, to, FAST, drt_rows=rows // 10)
        sync = retl.sync(stage, _name("accounts"), ACCOUNTS, rows, fast)
        with fast.expecting(rows):
            yield Row("default settings", OURS, sync.run())
        if stage.peers:
            yield Row("default settings", "drt", peers.drt_default(stage, ACCOUNTS, 200, fast))

        def changed() -> Measured:
            ACCOUNTS.change(stage.warehouse, rows // 100)
            with fast.expecting(rows // 100):
                return sync.run(sends=rows // 100)

        yield Row("1 % changed", OURS, _best(stage, changed))
        with fast.expecting(0):
            yield Row("nothing changed", OURS, _best(stage, lambda: sync.run(sends=0)))
        ACCOUNTS.change(stage.warehouse, rows // 100)
        written = _wal(stage)
        sync.run(sends=rows // 100)
        print(
            f"a run that found 1 % changed wrote {_wal(stage) - written:,} bytes of WAL at its source", file=sys.stderr
        )


def flights(stage: Stage) -> Iterator[Row]:
    """336,776 rows of 20 columns, as in the comparison that drt was first tried with; and a plan of some changes."""
    rows = tables.fill_flights(stage.warehouse)

    def load() -> Measured:
        FLIGHTS.create(stage.target)
        return retl.sync(stage, _name("flights"), FLIGHTS, rows).run()

    yield Row("PostgreSQL, first load", OURS, _best(stage, load))
    stage.check(FLIGHTS)
    with sink() as fast, sink(20) as slow:
        for case, to in (("HTTP, 7 columns, 500 a call", fast), ("the same, server takes 20 ms", slow)):
            yield from _posting(stage, case, FLIGHTS, rows, to, FAST, drt_rows=rows // 10, fields=POSTED)
    FLIGHTS.create(stage.target)
    sync = retl.sync(stage, _name("flights"), FLIGHTS, rows)
    sync.run()
    if stage.peers:
        _schema(stage, "drt", FLIGHTS)
        with psycopg.connect(stage.target) as session:
            session.execute("INSERT INTO drt.flights SELECT * FROM flights")
    FLIGHTS.change(stage.warehouse, CHANGED_FLIGHTS)
    case = f"plan of {CHANGED_FLIGHTS:,} changes"
    yield Row(case, OURS, _best(stage, lambda: sync.run("plan", sends=CHANGED_FLIGHTS)))
    if stage.peers:
        yield Row(case, "drt", peers.drt(stage, FLIGHTS, rows, verb="plan"))


def diff(stage: Stage, rows: int) -> Iterator[Row]:
    """A narrow table within a memory limit of 512 MiB: all rows, then 1 % changed."""
    tables.fill_narrow(stage.warehouse, rows)
    with sink() as fast:
        sync = retl.sync(stage, _name("scores"), NARROW, rows, fast, delivery={"batchSize": 5_000})
        limit = {"RETL_MEMORY_LIMIT": str(LIMIT)}
        yield Row("first load", OURS, sync.run(env=limit))
        NARROW.change(stage.warehouse, rows // 100)
        yield Row("1 % changed", OURS, sync.run(sends=rows // 100, env=limit))
        yield Row("nothing changed", OURS, sync.run(sends=0, env=limit))


def _posting(
    stage: Stage,
    case: str,
    table: Table,
    rows: int,
    to: Sink,
    delivery: dict[str, int],
    *,
    drt_rows: int,
    fields: tuple[str, ...] = (),
) -> Iterator[Row]:
    ours: list[Measured] = []
    floors: list[Measured] = []
    for _ in range(stage.repeat):
        with to.expecting(rows):
            floors.append(_floor(stage, "pg-http", rows, stage.warehouse, to.url, table.name, *fields))
        with to.expecting(rows):
            sync = retl.sync(stage, _name(table.name), table, rows, to, fields=fields, delivery=delivery)
            ours.append(sync.run())
    yield Row(case, OURS, best(ours))
    yield Row(case, "floor", best(floors))
    if stage.peers:
        with to.expecting(drt_rows):
            yield Row(case, "drt", peers.drt(stage, table, drt_rows, to, fields=fields))


def _best(stage: Stage, run: Callable[[], Measured]) -> Measured:
    return best([run() for _ in range(stage.repeat)])


def _floor(stage: Stage, case: str, rows: int, *arguments: str) -> Measured:
    command = [sys.executable, "-m", "bench.floor", case, *arguments]
    return measure(command, rows=rows, cwd=stage.directory, env={"PYTHONPATH": str(ROOT)})


def _schema(stage: Stage, name: str, table: Table | None = None) -> None:
    """A new schema of the target, with an empty table if one is named."""
    with psycopg.connect(stage.target) as session:
        session.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}".encode())
        session.execute(f"DROP SCHEMA IF EXISTS {name}_staging CASCADE".encode())
        if table:
            session.execute(f"SET search_path = {name}".encode())
            columns = ", ".join(f"{column} {type_}" for column, type_ in table.columns.items())
            session.execute(f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY (id))".encode())


def _wal(stage: Stage) -> int:
    """Bytes that the server wrote to its log so far."""
    with psycopg.connect(stage.warehouse) as session:
        found = session.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert found
    return int(found[0])


def _name(table: str) -> str:
    return f"{table}-{next(_numbers)}"
