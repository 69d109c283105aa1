"""A state store in an SQLite file, served on a real socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from retl.state.sql import SqlStateStore
from tests.rest.service import Wire, serving, wire_to


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqlStateStore]:
    store = await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db")
    yield store
    await store.close()


@pytest.fixture
async def service(database: SqlStateStore) -> AsyncIterator[str]:
    """URL of the state service."""
    async with serving(database) as url:
        yield url


@pytest.fixture
async def wire(service: str) -> AsyncIterator[Wire]:
    """A way to the state service that can be cut."""
    async with wire_to(service) as found:
        yield found


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """Token file of a runner in the namespace of the tests."""
    path = tmp_path / "token"
    path.write_text("token-of-growth")
    return path
