"""A pod's port on this machine: each local connection travels through the API server in a WebSocket of its own.

The protocol is that of `kubectl port-forward` over WebSockets: of each port there is a channel for data and one for
errors; both begin with the port's number in two bytes, the lower first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from retl.cli.cluster.client import Cluster, ClusterError

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PORT_BYTES = 2
_CHUNK = 65_536


@asynccontextmanager
async def forwarded(cluster: Cluster, namespace: str, pod: str, port: int) -> AsyncIterator[str]:
    """HOST:PORT here that leads to a pod's port, for as long as the block lasts (raises ClusterError)."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(aiohttp.ClientError, OSError):
            async with await cluster.websocket(path, {"ports": str(port)}, _PROTOCOL) as socket:
                await _join(socket, reader, writer)
        writer.close()

    try:
        async with await cluster.websocket(path, {"ports": str(port)}, _PROTOCOL):
            pass  # said now, where it can be said, rather than as a connection that is closed
    except (aiohttp.ClientError, OSError) as error:
        raise ClusterError(
            f"{cluster.where}: port {port} of pod {namespace}/{pod} cannot be reached: {error}"
        ) from None
    async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _join(
    socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass bytes on in both directions until either side ends."""
    tasks = {asyncio.create_task(_out(socket, reader)), asyncio.create_task(_in(socket, writer))}
    _, unfinished = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in unfinished:
        task.cancel()


async def _out(socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader) -> None:
    while chunk := await reader.read(_CHUNK):
        await socket.send_bytes(bytes([_DATA]) + chunk)


async def _in(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    unread = {_DATA: _PORT_BYTES, _ERROR: _PORT_BYTES}
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        greeting = min(unread[channel], len(data))
        unread[channel] -= greeting
        if channel == _ERROR and data[greeting:]:
            return
        writer.write(data[greeting:])
        await writer.drain()
