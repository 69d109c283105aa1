"""Real databases for the state tests: SQLite files, and one PostgreSQL server with a database for each test."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from retl.state import parts
from retl.state.blobs import open_blobs
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import StateStore
from tests.postgres import Postgres, postgres
from tests.rest.service import serving
from tests.unit.state import object_stores
from tests.unit.state.databases import KEY, NAMESPACE, Backend, Clock
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
def layout(request: pytest.FixtureRequest) -> str:
    """An empty object store: a directory, or one of the vendors'."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"{tmp_path.as_uri()}/parts"


@pytest.fixture
def s3_url(s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    return s3_server.place(monkeypatch.setenv)


@pytest.fixture
def gs_url(gs_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    return gs_server.place(monkeypatch.setenv)


@pytest.fixture
def az_url(az_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    return az_server.place(monkeypatch.setenv)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres", "http"])
async def backend(
    request: pytest.FixtureRequest, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Backend]:
    """Every implementation of StateStore; after a comma, where its snapshot parts lie if not in the database."""
    kind, _, layout = request.param.partition(", ")
    url: str = request.getfixturevalue("postgres_url" if kind == "postgres" else "sqlite_url")
    monkeypatch.setattr(parts, "INLINE_BYTES", 0)
    async with AsyncExitStack() as stack:
        blobs = open_blobs(request.getfixturevalue(f"{layout}_url")) if layout else None
        database = await SqlStateStore.open(url, key=KEY, blobs=blobs, clock=clock)
        stack.push_async_callback(database.close)
        store: StateStore = database
        if kind == "http":
            token = tmp_path / "token"
            token.write_text(f"token-of-{NAMESPACE}\n")
            store = HttpStateStore(await stack.enter_async_context(serving(database)), token)
            stack.push_async_callback(store.close)
        yield Backend(store, database, clock)


@pytest.fixture
def store(backend: Backend) -> StateStore:
    return backend.store
