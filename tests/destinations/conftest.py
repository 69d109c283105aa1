"""Real databases and a real HTTP endpoint to write into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.destinations.duckdb.file import File
from tests.engine.conftest import endpoint, server, warehouse
from tests.mariadb import Database, MariaDB, mariadb
from tests.mariadb import database as made

__all__ = ["database", "endpoint", "file", "mysql", "server", "warehouse"]


@pytest.fixture(scope="session")
def mysql() -> Iterator[MariaDB]:
    with mariadb() as running:
        yield running


@pytest.fixture
def database(mysql: MariaDB) -> Iterator[Database]:
    """An empty database of MySQL."""
    with made(mysql) as empty:
        yield empty


@pytest.fixture
def file(tmp_path: Path) -> File:
    """An empty database of DuckDB."""
    return File(tmp_path / "crm.duckdb")
