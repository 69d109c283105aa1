"""`retl api` as a process of its own: how it starts, waits, refuses, and leaves."""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from retl.errors import InvalidInput
from retl.rest.serve import read_state_url
from retl.state.sql import SqlStateStore
from tests.postgres import free_port, postgres

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""
MAIN = """
import logging, sys
from pathlib import Path
from retl.rest.serve import ApiSettings, run_api
logging.basicConfig(level="INFO", stream=sys.stderr)
run_api(ApiSettings(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), internal_port=0, kubeconfig=Path(sys.argv[3])))
"""


@dataclass
class Api:
    """A running `retl api`."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient

    async def says(self, words: str) -> str:
        """Read its log up to the line with these words."""
        assert self.process.stderr is not None
        read = ""
        async with asyncio.timeout(30):
            while words not in read:
                line = (await self.process.stderr.readline()).decode()
                assert line, f"{words!r} not in: {read}"
                read += line
        return read


@asynccontextmanager
async def api(state_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, state_url, str(port), str(kubeconfig), stderr=asyncio.subprocess.PIPE
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        try:
            yield Api(process, client)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_it_answers_is_ready_and_leaves_on_sigterm(tmp_path: Path) -> None:
    async with api(f"sqlite:///{tmp_path}/state.db", tmp_path) as running:
        await running.says("the state database is open")
        assert (await running.client.get("/healthz")).status_code == 200
        assert (await running.client.get("/readyz")).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 10) == 0


async def test_a_request_in_flight_at_sigterm_is_answered(tmp_path: Path) -> None:
    async with api(f"sqlite:///{tmp_path}/state.db", tmp_path) as running:
        await running.says("the state database is open")
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the database is locked, so /readyz waits
            waiting = asyncio.create_task(running.client.get("/readyz"))
            alive = asyncio.create_task(running.client.get("/healthz"))
            await alive
            running.process.send_signal(signal.SIGTERM)
            await running.says("Waiting for")
            assert not waiting.done()
        assert (await waiting).status_code == 200
        assert await asyncio.wait_for(running.process.wait(), 10) == 0


async def test_it_waits_for_a_database_that_starts_later(tmp_path: Path) -> None:
    port = free_port()
    async with api(f"postgresql://postgres:secret-word@127.0.0.1:{port}/postgres", tmp_path) as running:
        log = await running.says("trying again")
        assert "Connection refused" in log
        assert (await running.client.get("/healthz")).status_code == 200
        assert (await running.client.get("/readyz")).status_code == 503
        with postgres(port=port) as server:
            with server.connect() as connection:
                connection.execute("ALTER ROLE postgres PASSWORD 'secret-word'")
            log += await running.says("the state database is open")
            assert (await running.client.get("/readyz")).status_code == 200
        assert "secret-word" not in log


async def test_a_database_of_a_newer_version_ends_it_with_the_reason(tmp_path: Path) -> None:
    await (await SqlStateStore.open(f"sqlite:///{tmp_path}/state.db")).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("UPDATE retl_revision SET version_num = '0099'")
    async with api(f"sqlite:///{tmp_path}/state.db", tmp_path) as running:
        await running.says("written by a newer retl (revision 0099)")
        assert await asyncio.wait_for(running.process.wait(), 10) != 0


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with api(f"sqlite:///{tmp_path}/state.db", tmp_path) as first:
        await first.says("the state database is open")
        taken = str(first.client.base_url.port)
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            MAIN,
            f"sqlite:///{tmp_path}/other.db",
            taken,
            str(tmp_path / "kubeconfig"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await second.communicate()
        assert f"cannot listen on 127.0.0.1:{taken}: Address already in use" in said.decode()


def test_the_state_url_comes_from_exactly_one_place(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://in-the-file\n")
    assert read_state_url(None, file) == "postgresql://in-the-file"
    assert read_state_url("sqlite:///x", None) == "sqlite:///x"
    for url, path in ((None, None), ("sqlite:///x", file)):
        with pytest.raises(InvalidInput, match="exactly one"):
            read_state_url(url, path)
    with pytest.raises(InvalidInput, match="nothing: No such file"):
        read_state_url(None, tmp_path / "nothing")
