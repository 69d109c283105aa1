"""Real databases for the state tests: SQLite files, and one PostgreSQL server with a database for each test."""

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import StateStore
from tests.postgres import Postgres, postgres
from tests.rest.service import serving
from tests.unit.state import object_stores
from tests.unit.state.databases import NAMESPACE, Backend, Clock
from tests.unit.state.object_stores import ObjectStore


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def postgres_url(server: Postgres) -> str:
    return server.url(server.create_database())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/.retl/state.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Where the state lies, one of each database."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectStore]:
    with object_stores.s3() as running:
        yield running


@pytest.fixture(scope="session")
def gs_server() -> Iterator[ObjectStore]:
    with object_stores.gs() as running:
        yield running


@pytest.fixture(scope="session")
def az_server() -> Iterator[ObjectStore]:
    if shutil.which("npm") is None:
        pytest.skip("Azurite needs Node, and there is no npm on PATH")
    with object_stores.az() as running:
        yield running


@pytest.fixture
def layout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Where snapshot parts lie: None for the database, unless a test asks for "file", "s3", "gs" or "az"."""
    match getattr(request, "param", "database"):
        case "database":
            return None
        case "file":
            return f"{tmp_path.as_uri()}/parts"
        case vendor:
            server: ObjectStore = request.getfixturevalue(f"{vendor}_server")
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return f"{server.url}/{uuid.uuid4().hex}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres", "http"])
async def backend(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncIterator[Backend]:
    """Every implementation of StateStore."""
    url: str = request.getfixturevalue("postgres_url" if request.param == "postgres" else "sqlite_url")
    async with AsyncExitStack() as stack:
        database = await SqlStateStore.open(url, clock=clock)
        stack.push_async_callback(database.close)
        store: StateStore = database
        if request.param == "http":
            token = tmp_path / "token"
            token.write_text(f"token-of-{NAMESPACE}\n")
            store = HttpStateStore(await stack.enter_async_context(serving(database)), token)
            stack.push_async_callback(store.close)
        yield Backend(store, database, clock)


@pytest.fixture
def store(backend: Backend) -> StateStore:
    return backend.store
