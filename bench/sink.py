"""An HTTP server that swallows batches as fast as Python can, so that the sender is what is measured.

Speaks just enough HTTP/1.1: keep-alive, Content-Length, POST anything, GET for the totals. Counts a record by its first
field's name, which costs a scan instead of a parse. `python -m bench.sink PORT MILLISECONDS` prints "ready" once it
listens, and answers each POST after that time.
"""

import asyncio
import json
import sys

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
totals = {"requests": 0, "bytes": 0, "records": 0}


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            _, _, rest = head.partition(b"content-length:")
            length = int(rest.split(b"\r\n", 1)[0]) if rest else 0
            if len(self.buffer) < end + 4 + length:
                return
            if head.startswith(b"get"):
                body = json.dumps(totals).encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            else:
                totals["requests"] += 1
                totals["bytes"] += length
                totals["records"] += self.buffer.count(b'"id":', end + 4, end + 4 + length)
                asyncio.get_running_loop().call_later(self.delay, self.transport.write, REPLY)
            del self.buffer[: end + 4 + length]


async def serve(port: int, delay: float) -> None:
    """Listen on 127.0.0.1 until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Sink(delay), "127.0.0.1", port)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
