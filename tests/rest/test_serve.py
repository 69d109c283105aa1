"""`retl api` as a process of its own: how it starts, waits, refuses, and leaves."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from retl.cli.stores import read_url
from retl.errors import InvalidInput, StateError
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from tests.postgres import free_port, postgres
from tests.rest.process import api
from tests.unit.state.databases import request

UNREACHABLE_CLUSTER = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(UNREACHABLE_CLUSTER)
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


async def test_it_answers_is_ready_and_leaves_on_sigterm(sqlite_url: str, kubeconfig: Path) -> None:
    async with api(sqlite_url, kubeconfig) as running:
        await running.says("the state database is open")
        assert (await running.public.get("/healthz")).status_code == 200
        assert (await running.public.get("/readyz")).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 10) == 0


async def test_a_request_in_flight_at_sigterm_is_answered(sqlite_url: str, kubeconfig: Path, tmp_path: Path) -> None:
    async with api(sqlite_url, kubeconfig) as running:
        await running.says("the state database is open")
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # locks the database, so /readyz waits
            in_flight = asyncio.create_task(running.public.get("/readyz"))
            await running.public.get("/healthz")
            running.process.send_signal(signal.SIGTERM)
            await _closed(running.public.base_url.port or 0)
            assert not in_flight.done()
        assert (await in_flight).status_code == 200
        assert await asyncio.wait_for(running.process.wait(), 10) == 0


async def _closed(port: int) -> None:
    """Return once nothing listens there any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_it_waits_for_a_database_that_starts_later(kubeconfig: Path) -> None:
    port = free_port()
    async with api(f"postgresql://postgres:secret-word@127.0.0.1:{port}/postgres", kubeconfig) as running:
        log = await running.says("trying again")
        assert "Connection refused" in log
        assert (await running.public.get("/healthz")).status_code == 200
        assert (await running.public.get("/readyz")).status_code == 503
        with postgres(port=port) as server:
            with server.connect() as connection:
                connection.execute("ALTER ROLE postgres PASSWORD 'secret-word'")
            log += await running.says("the state database is open")
            assert (await running.public.get("/readyz")).status_code == 200
        assert "secret-word" not in log


async def test_a_database_of_a_newer_version_ends_it_with_the_reason(
    sqlite_url: str, kubeconfig: Path, tmp_path: Path
) -> None:
    await (await SqlStateStore.open(sqlite_url)).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("UPDATE retl_revision SET version_num = '0099'")
    async with api(sqlite_url, kubeconfig) as running:
        await running.says("written by a newer retl (revision 0099)")
        assert await asyncio.wait_for(running.process.wait(), 10) != 0


async def test_a_port_that_is_taken_is_named(sqlite_url: str, kubeconfig: Path, tmp_path: Path) -> None:
    async with api(sqlite_url, kubeconfig) as first:
        await first.says("the state database is open")
        taken = first.public.base_url.port or 0
        async with api(f"sqlite:///{tmp_path}/other.db", kubeconfig, port=taken) as second:
            await second.says(f"cannot listen on 127.0.0.1:{taken}: Address already in use")
            assert await asyncio.wait_for(second.process.wait(), 10) != 0


async def test_a_state_key_that_is_none_ends_it_without_being_quoted(sqlite_url: str, kubeconfig: Path) -> None:
    async with api(sqlite_url, kubeconfig, key="not-a-key") as running:
        said = await running.says("RETL_STATE_KEY: is not base64 of 32 bytes")
        assert "not-a-key" not in said
        assert await asyncio.wait_for(running.process.wait(), 10) != 0


async def test_it_says_what_a_missing_state_key_means(sqlite_url: str, kubeconfig: Path) -> None:
    async with api(sqlite_url, kubeconfig) as running:
        await running.says("RETL_STATE_KEY is not set: dead letters are kept in plain text")


async def test_runners_wait_while_the_api_server_cannot_review_their_tokens(
    sqlite_url: str, kubeconfig: Path, token: Path
) -> None:
    async with api(sqlite_url, kubeconfig) as running:
        await running.says("the state database is open")
        runner = HttpStateStore(running.internal_url, token, patience=timedelta(seconds=1))
        with pytest.raises(StateError, match="no answer within 1 s; last: the API server does not review tokens"):
            await runner.claim(request())
        await runner.close()


def test_the_state_url_comes_from_exactly_one_place(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://in-the-file\n")
    assert read_url(None, file) == "postgresql://in-the-file"
    assert read_url("sqlite:///x", None) == "sqlite:///x"
    for url, path in ((None, None), ("sqlite:///x", file)):
        with pytest.raises(InvalidInput, match="exactly one"):
            read_url(url, path)
    with pytest.raises(InvalidInput, match="nothing: No such file"):
        read_url(None, tmp_path / "nothing")
