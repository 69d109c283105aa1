"""What tests of the engine run against: a real PostgreSQL, a real HTTP endpoint, a state store in SQLite."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Endpoint, serving
from tests.engine.warehouse import Warehouse
from tests.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def warehouse(server: Postgres) -> Iterator[Warehouse]:
    """An empty database."""
    with Warehouse(server, server.create_database()) as made:
        yield made


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with serving(Endpoint()) as served:
        yield served


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqlStateStore]:
    store = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db")
    yield store
    await store.close()


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[SqlStateStore]:
    """A state store with a key, which mode mirror needs."""
    store = await SqlStateStore.open(f"sqlite:///{tmp_path}/sealed.db", key=bytes(range(32)))
    yield store
    await store.close()
