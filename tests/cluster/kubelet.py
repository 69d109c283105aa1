"""The part of a kubelet that the API server asks: logs of containers, and connections to ports of pods.

Ports are forwarded by the WebSocket protocol v4.channel.k8s.io, as the kubelet speaks it: channel 0 is data, channel 1
errors, and both begin with the number of the port in two bytes, the lower first.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from aiohttp import WSMsgType, web

_PROTOCOL = "v4.channel.k8s.io"
_POLL_SECONDS = 0.05


class Kubelet:
    """An HTTPS server on a port of 127.0.0.1; started and stopped within the node's event loop.

    Args:
        directory: for its key.
        log_file: of a pod, by namespace and name.
        running: whether a pod's process runs.
    """

    def __init__(
        self, directory: Path, log_file: Callable[[str, str], Path], running: Callable[[str, str], bool]
    ) -> None:
        self._directory = directory
        self._log_file = log_file
        self._is_running = running
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context())
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _context(self) -> ssl.SSLContext:
        """A key of its own; the API server does not ask who vouches for it."""
        key, certificate = self._directory / "kubelet.key", self._directory / "kubelet.crt"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=process-node", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        namespace, pod = request.match_info["namespace"], request.match_info["pod"]
        path, query = self._log_file(namespace, pod), request.query
        response = web.StreamResponse()
        await response.prepare(request)
        text = path.read_bytes() if path.exists() else b""
        if "tailLines" in query:
            lines = text.splitlines(keepends=True)
            await response.write(b"".join(lines[max(0, len(lines) - int(query["tailLines"])) :]))
        else:
            await response.write(text)
        at = len(text)
        while query.get("follow") == "true":
            ended = not self._is_running(namespace, pod)
            with path.open("rb") as file:
                file.seek(at)
                more = file.read()
            at += len(more)
            await response.write(more)
            if ended:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return response

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        port = int(request.query["port"] if "port" in request.query else request.query["ports"])
        socket = web.WebSocketResponse(protocols=[_PROTOCOL])
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            await socket.send_bytes(b"\x01" + str(error).encode())
            return socket
        back = asyncio.create_task(_copy(reader, socket))
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\x00":
                writer.write(message.data[1:])
        back.cancel()
        writer.close()
        return socket


async def _copy(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while chunk := await reader.read(65_536):
        await socket.send_bytes(b"\x00" + chunk)
    await socket.close()
