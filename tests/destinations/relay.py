"""A wire between a connector and a real server that can be cut at a statement, before or after the server has it.

What simulators do by themselves, a real database does not do on demand: an outage in mid-run, and a reply that is lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes on what is said to a server.

    Attributes:
        cut: how many of the next marked statements are not passed on; the connection breaks instead.
        lose: how many of the next are passed on, and the connection breaks instead of the reply.
    """

    def __init__(self, port: int, marked: bytes) -> None:
        self.port = 0
        self.cut = 0
        self.lose = 0
        self._server_port = port
        self._marked = marked

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on `port` of 127.0.0.1."""
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        answers, statements = await asyncio.open_connection("127.0.0.1", self._server_port)
        back = asyncio.ensure_future(_pass_on(answers, writer))
        try:
            while said := await reader.read(65536):
                marked = self._marked in said
                if marked and self.cut:
                    self.cut -= 1
                    return
                if lost := marked and self.lose > 0:
                    self.lose -= 1
                    back.cancel()
                statements.write(said)
                await statements.drain()
                if lost:
                    await answers.read(1)
                    return
        finally:
            back.cancel()
            for end in (writer, statements):
                end.close()
            self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while said := await reader.read(65536):
        writer.write(said)
        await writer.drain()
