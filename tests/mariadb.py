"""A real MariaDB server of one's own, of Debian's package: on a TCP port, with a password.

The package is unpacked and not installed, so no service starts and nothing of the machine changes. Nothing it holds
outlasts it, so commits do not wait for the disk.
"""

import os
import platform
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from tests.cluster.processes import Program, free_ports
from tests.programs import unpacked

USER = "tester"
_PACKAGE, _LIBRARIES = "mariadb-server-core", ("libaio1", "liburing2", "libnuma1")
_TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
_SETTINGS = (
    "innodb-flush-log-at-trx-commit=0",
    "innodb-log-file-size=8M",
    "innodb-buffer-pool-size=64M",
    "performance-schema=OFF",
    "skip-name-resolve",
)


@dataclass(frozen=True)
class MariaDB:
    """A running server."""

    port: int
    password: str
    host: str = "127.0.0.1"
    user: str = USER

    def connect(self, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection of a user who may do everything; each statement commits by itself."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )


class Database:
    """One database, as a destination and as what a test itself looks into."""

    connector = "mysql"

    def __init__(self, server: MariaDB) -> None:
        self.server = server
        self.name = f"db_{secrets.token_hex(6)}"
        self._connection = server.connect()
        self.run(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4", f"USE {self.name}")

    def run(self, *statements: str) -> None:
        """Execute each statement."""
        for statement in statements:
            self.rows(statement)

    def rows(self, query: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Drop it."""
        self.run(f"DROP DATABASE {self.name}")
        self._connection.close()

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the mysql connector."""
        return {"host": self.server.host, "port": self.server.port, "database": self.name}

    @property
    def login(self) -> dict[str, str]:
        """Keys of the Secret."""
        return {"username": self.server.user, "password": self.server.password}


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A running server, gone with all its data when the block is left."""
    memory = Path("/dev/shm")
    where = tempfile.mkdtemp(prefix="retl-mariadb-", dir=memory if os.access(memory, os.W_OK) else None)
    try:
        program, server = _prepared(Path(where))
        program.start()
        try:
            program.wait_ready(lambda: _answers(server))
            yield server
        finally:
            program.stop()
    finally:
        shutil.rmtree(where, ignore_errors=True)


@contextmanager
def database(server: MariaDB) -> Iterator[Database]:
    """An empty database."""
    made = Database(server)
    try:
        yield made
    finally:
        made.close()


def _prepared(where: Path) -> tuple[Program, MariaDB]:
    """A server with its system tables and one user, not yet started."""
    root, password = unpacked(_PACKAGE), secrets.token_urlsafe(16)
    share, data = root / "usr" / "share" / "mysql", where / "data"
    data.mkdir()
    command = [str(root / "usr" / "sbin" / "mariadbd"), "--no-defaults", f"--datadir={data}", f"--tmpdir={where}"]
    command += [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}", "--user=root"]
    command += [f"--{setting}" for setting in _SETTINGS]
    libraries = f"usr/lib/{platform.machine()}-linux-gnu"
    environment = {"LD_LIBRARY_PATH": ":".join(str(unpacked(package) / libraries) for package in _LIBRARIES)}
    user = (
        f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
    )
    tables = "".join((share / name).read_text() for name in _TABLES)
    subprocess.run(
        [*command, "--bootstrap"],
        input=f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}\nFLUSH PRIVILEGES;\n{user}",
        env=environment,
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )
    [port] = free_ports(1)
    command += ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={where / 'socket'}"]
    return Program("mariadbd", command, where / "log", environment=environment), MariaDB(port, password)


def _answers(server: MariaDB) -> bool:
    try:
        server.connect().close()
    except pymysql.err.OperationalError:
        return False
    return True
