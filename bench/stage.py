"""Where the benchmarks play: a PostgreSQL server with a warehouse and a target, and HTTP servers that take records."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.tables import Table
from tests.postgres import Postgres, free_port

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Stage:
    """A server, and a directory to work in.

    Attributes:
        repeat: how often a case is run; the fastest run counts.
        peers: whether to run those, too.
    """

    directory: Path
    server: Postgres
    repeat: int
    peers: bool

    @property
    def warehouse(self) -> str:
        """URL of the database that is read from."""
        return self.server.url("warehouse")

    @property
    def target(self) -> str:
        """URL of the database that is written into."""
        return self.server.url("target")

    def check(self, table: Table, schema: str = "public", *, below: int | None = None) -> None:
        """Raise RuntimeError unless the target's table holds the rows of the warehouse's."""
        sent, arrived = table.fingerprint(self.warehouse, below=below), table.fingerprint(self.target, schema)
        if sent != arrived:
            raise RuntimeError(f"{schema}.{table.name}: sent {sent}, arrived {arrived}")


@dataclass(frozen=True, slots=True)
class Sink:
    """A running HTTP server that counts what it is sent."""

    port: int

    @property
    def url(self) -> str:
        """Where records are posted."""
        return f"http://127.0.0.1:{self.port}/records"

    def records(self) -> int:
        """Records that arrived so far."""
        with urllib.request.urlopen(self.url) as reply:
            return int(json.load(reply)["records"])

    @contextmanager
    def expecting(self, rows: int) -> Iterator[None]:
        """Raise RuntimeError unless so many records arrive in the block."""
        before = self.records()
        yield
        if (arrived := self.records() - before) != rows:
            raise RuntimeError(f"{arrived} records arrived, not {rows}")


@contextmanager
def sink(milliseconds: int = 0) -> Iterator[Sink]:
    """A server in a process of its own, which takes that long to answer."""
    port = free_port()
    command: Sequence[str] = [sys.executable, "-m", "bench.sink", str(port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            yield Sink(port)
        finally:
            process.kill()
