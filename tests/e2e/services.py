"""What the team's syncs read and write, in pods of its own: a PostgreSQL warehouse and the example CRM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

POSTGRES_PORT = 5432
CRM_PORT = 8090


@dataclass(frozen=True, slots=True)
class Warehouse:
    """The server, as tests reach it."""

    address: str
    password: str

    def connect(self) -> psycopg.Connection:
        """A connection whose statements commit one by one; the caller closes it."""
        url = f"postgresql://warehouse:{self.password}@{self.address}/warehouse"
        return psycopg.connect(url, autocommit=True, connect_timeout=5)


@dataclass(frozen=True, slots=True)
class Crm:
    """The example CRM, as tests reach it."""

    address: str
    token: str

    def get(self, path: str) -> dict[str, Any]:
        """A JSON answer (raises httpx.HTTPStatusError)."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.get(f"http://{self.address}{path}", headers=headers, timeout=10, trust_env=False)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found
