"""A way to an object store that can be closed, held up, or answer by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Gate:
    """A TCP proxy to a port of this machine.

    Attributes:
        answer: what it says to every request instead of passing it on: a whole HTTP response. Empty: hangs up.
        opened: cleared, no connection gets through.
        turned_away: how many connections did not.
        held: while cleared, connections wait.
        waiting: set once one does.
    """

    target: int
    port: int = 0
    answer: bytes = b""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    turned_away: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def shut(self) -> None:
        """Let nothing more through, on open connections neither."""
        self.opened.clear()
        for writer in self._writers:
            writer.close()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self.opened.is_set():
            if self.answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer)
            writer.close()
            self.turned_away.release()
            return
        if not self.released.is_set():
            self.waiting.set()
            await self.released.wait()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, up_writer}
        with suppress(ConnectionError):
            await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))
        self._writers -= {writer, up_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def gate_to(port: int) -> AsyncIterator[Gate]:
    """An open gate to a port."""
    gate = Gate(port)
    gate.opened.set()
    gate.released.set()
    server = await asyncio.start_server(gate.carry, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
