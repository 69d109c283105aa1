"""`python -m bench [--rows N]` prints the baseline table.

Each case runs the real command line in a process of its own, next to a hand-written floor on the same rows, and prints
the ratio: absolute figures belong to a machine, ratios travel.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml

from bench.measure import Measured, measure
from tests.postgres import Postgres, free_port, postgres

COLUMNS = """id bigint PRIMARY KEY, name text NOT NULL, email text, country text, city text, revenue numeric(14,2),
  employees integer, score double precision, active boolean, signed_up date, last_seen timestamptz, notes text"""
ROWS = """INSERT INTO accounts SELECT i, 'Account ' || i, 'account' || i || '@example.com',
  (ARRAY['AT','DE','FR','IT','ES'])[1 + i %% 5], 'City ' || i %% 1000, (i * 37 %% 1000000) / 100.0, i %% 5000, i / 7.0,
  i %% 3 = 0, date '2020-01-01' + (i %% 2000)::int, timestamptz '2026-01-01 00:00:00Z' + make_interval(secs => i),
  'Some words about account ' || i FROM generate_series(1, %s) AS i"""
FIELDS = (
    "id",
    "name",
    "email",
    "country",
    "city",
    "revenue",
    "employees",
    "score",
    "active",
    "signed_up",
    "last_seen",
    "notes",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    case: str
    records: int
    ours: Measured
    floor: Measured | None

    def text(self) -> str:
        """The line in Markdown."""
        ratio = f"{self.ours.wall / self.floor.wall:.2f}×" if self.floor else ""
        floor = f"{self.floor.wall:.1f}" if self.floor else ""
        rate = f"{self.records / self.ours.wall:,.0f}"
        return (
            f"| {self.case} | {self.ours.wall:.1f} | {rate} | {self.ours.cpu:.1f} | {self.ours.peak_mb:.0f} "
            f"| {floor} | {ratio} |"
        )


HEADER = """| case | seconds | rows/s | CPU s | peak MB | floor s | ratio |
|---|---:|---:|---:|---:|---:|---:|"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run all cases and print the table."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    rows = options.parse_args(argv).rows
    with tempfile.TemporaryDirectory() as directory, postgres() as server, sink() as url:
        print(f"{rows:,} rows × 12 columns, PostgreSQL {version(server)}", file=sys.stderr)
        table = [HEADER]
        for row in cases(Path(directory), server, url, rows):
            table.append(row.text())
            print(table[-1], file=sys.stderr)
    print("\n".join(table))


def cases(directory: Path, server: Postgres, url: str, rows: int) -> Iterator[Row]:
    """Every case, in an order in which each finds what the one before left."""
    names = {"warehouse": server.create_database(), "target": server.create_database()}
    warehouse, target = server.url(names["warehouse"]), server.url(names["target"])
    with psycopg.connect(warehouse) as session:
        session.execute(f"CREATE TABLE accounts ({COLUMNS})".encode())
        session.execute(ROWS, (rows,))
    with psycopg.connect(target) as session:
        session.execute(f"CREATE TABLE accounts ({COLUMNS})".encode())

    secrets = directory / "secrets"
    for name in ("warehouse", "target"):
        (secrets / name).mkdir(parents=True)
        (secrets / name / "username").write_text(server.user)
        (secrets / name / "password").write_text(server.password)
    (directory / "http.yaml").write_text(manifests(server, names, "http", {"url": url, "envelope": "records"}))
    (directory / "pg.yaml").write_text(manifests(server, names, "postgres", {}))

    def ours(file: str) -> Measured:
        retl = Path(sys.executable).parent / "retl"
        state = f"sqlite:///{directory}/{file}.db"
        command: list[str | Path] = [retl, "run", "-f", file, "--secrets-dir", secrets, "--state", state, "-o", "json"]
        measured = measure(command, cwd=directory, env={})
        result = json.loads(measured.stdout)
        if result["status"] != "Succeeded" or result["rejected"] or result["invalid"]:
            raise RuntimeError(f"the benchmarked run did not succeed: {measured.stdout}")
        return measured

    def floor(case: str, *arguments: str) -> Measured:
        return measure(
            [sys.executable, "-m", "bench.floor", case, *arguments],
            cwd=directory,
            env={"PYTHONPATH": str(Path(__file__).parent.parent)},
        )

    def change_one_percent() -> None:
        with psycopg.connect(warehouse) as session:
            session.execute("UPDATE accounts SET revenue = revenue + 1 WHERE id % 100 = 0")

    yield Row("PostgreSQL → HTTP, first run", rows, ours("http.yaml"), floor("pg-http", warehouse, url))
    yield Row("PostgreSQL → HTTP, nothing changed", rows, ours("http.yaml"), None)
    by_hand = floor("pg-pg", warehouse, target)
    with psycopg.connect(target) as session:
        session.execute("TRUNCATE accounts")
    yield Row("PostgreSQL → PostgreSQL, first run", rows, ours("pg.yaml"), by_hand)
    yield Row("PostgreSQL → PostgreSQL, nothing changed", rows, ours("pg.yaml"), None)
    change_one_percent()
    yield Row("PostgreSQL → HTTP, 1 % changed", rows, ours("http.yaml"), None)
    yield Row("PostgreSQL → PostgreSQL, 1 % changed", rows, ours("pg.yaml"), None)


def manifests(server: Postgres, names: Mapping[str, str], connector: str, config: dict[str, object]) -> str:
    """The sync from the warehouse to one destination, with the defaults a new user gets but for the HTTP batch size."""
    envelope = {"apiVersion": "reverseetl.io/v1alpha1"}
    login = {"secretRef": {"name": "warehouse"}}
    spec: dict[str, object] = {
        "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT * FROM accounts"},
        "destinationRef": {"name": "target"},
        "object": "accounts",
        "primaryKey": ["id"],
        "mappings": [{"source": f, "destination": f, **({"key": True} if f == "id" else {})} for f in FIELDS],
    }
    destination: dict[str, object] = {"connector": connector, "config": config}
    if connector == "http":
        spec["delivery"] = {"batchSize": 500}
    else:
        destination["config"] = connection(server, names["target"])
        destination["credentials"] = {"secretRef": {"name": "target"}}
    source = {"connector": "postgres", "config": connection(server, names["warehouse"]), "credentials": login}
    return yaml.safe_dump_all(
        [
            {**envelope, "kind": "SyncSource", "metadata": {"name": "warehouse"}, "spec": source},
            {**envelope, "kind": "SyncDestination", "metadata": {"name": "target"}, "spec": destination},
            {**envelope, "kind": "ReverseETLSync", "metadata": {"name": f"accounts-{connector}"}, "spec": spec},
        ]
    )


def connection(server: Postgres, database: str) -> dict[str, object]:
    """Settings of the postgres connectors."""
    return {"host": server.host, "port": server.port, "database": database}


def version(server: Postgres) -> str:
    """What the server calls itself."""
    with server.connect() as session:
        row = session.execute("SHOW server_version").fetchone()
        assert row
        return str(row[0])


@contextmanager
def sink() -> Iterator[str]:
    """The HTTP sink in a process of its own; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sink", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            yield f"http://127.0.0.1:{port}/records"
        finally:
            process.kill()


if __name__ == "__main__":
    main()
