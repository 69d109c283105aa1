"""The state service on a real socket, within the test's event loop, and a wire to it that can be cut."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

from retl.rest import problems
from retl.rest.app import Public, create_apps
from retl.rest.auth import Caller, unauthorized
from retl.rest.callers.caller import Caller as Person
from retl.rest.certificate import Certificate
from retl.rest.reader_service import NamespaceMade
from retl.rest.requests.entry import Door
from retl.rest.requests.limits import Limits
from retl.rest.service.interface import Workspace
from retl.state.sql import SqlStateStore

CONTROLLER = "operators/runner"
"""Account of the controller; its token reads `token-of-operators`."""


async def namespace_in_token(token: str) -> Caller:
    """Tokens of these tests read `token-of-<namespace>`; the real thing is tested against a real API server."""
    kind, _, namespace = token.rpartition("-")
    if kind != "token-of":
        raise unauthorized("not a token")
    return Caller(namespace, "runner")


async def always_there(namespace: str) -> datetime | None:
    """When a namespace was made: before anything that is told of it."""
    return datetime(2000, 1, 1, tzinfo=UTC)


def closed_door() -> Public:
    """A public app that knows nobody, for tests of what it shows to everybody."""

    async def nobody(credential: str) -> Person:
        raise problems.unauthorized()

    return Public(Door(nobody, Workspaceless(), Limits()))


class Workspaceless:
    """There are no workspaces."""

    async def open(self, caller: Person, name: str | None) -> Workspace:
        raise problems.not_found("such workspace")


@asynccontextmanager
async def serving(
    store: SqlStateStore,
    port: int = 0,
    *,
    public: bool = False,
    made: NamespaceMade = always_there,
    certificate: Certificate | None = None,
) -> AsyncIterator[str]:
    """URL of the state service over this store, or of the public app beside it."""
    apps = create_apps(lambda: store, namespace_in_token, made, closed_door(), CONTROLLER)
    async with listening(apps.public if public else apps.internal, port, certificate) as url:
        yield url


@asynccontextmanager
async def listening(app: FastAPI, port: int = 0, certificate: Certificate | None = None) -> AsyncIterator[str]:
    """URL of an app on a real socket."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        config.ssl = certificate.context if certificate else None
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@dataclass
class Wire:
    """A TCP proxy that lets requests through and can lose the answers.

    Attributes:
        lose: this many of the next connections are cut once the service has begun to answer.
        after_bytes: bytes of the answer that still pass before the cut.
        lost: answers lost so far.
    """

    target: str
    url: str = ""
    lose: int = 0
    after_bytes: int = 0
    lost: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from the client."""
        host, _, port = self.target.removeprefix("http://").partition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        self._writers |= {writer, up_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, up_writer))
                group.create_task(self._answer(up_reader, writer))
        except* OSError:
            pass
        finally:
            for end in (writer, up_writer):
                end.close()
            self._writers -= {writer, up_writer}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(65_536):
            if self.lose:
                keep = data[: max(0, self.after_bytes - passed)]
                passed += len(keep)
                writer.write(keep)
                if len(keep) < len(data):
                    await writer.drain()
                    self.lose -= 1
                    self.lost += 1
                    raise ConnectionResetError
            else:
                writer.write(data)
            await writer.drain()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def wire_to(target: str) -> AsyncIterator[Wire]:
    """A wire to the service at `target`."""
    wire = Wire(target)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        for writer in list(wire._writers):
            writer.close()
        await server.wait_closed()
