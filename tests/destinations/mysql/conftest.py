"""A real MariaDB to write into."""

from collections.abc import Iterator

import pytest

from tests.mariadb import Database, MariaDB, database, mariadb


@pytest.fixture(scope="module")
def mysql() -> Iterator[MariaDB]:
    with mariadb() as running:
        yield running


@pytest.fixture
def crm(mysql: MariaDB) -> Iterator[Database]:
    """An empty database."""
    with database(mysql) as made:
        yield made
