"""`retl api` as a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.postgres import free_port

RETL = Path(sys.executable).with_name("retl")
START_SECONDS = 60


@dataclass
class Api:
    """A running `retl api`.

    Attributes:
        public: client of the public port.
        internal_url: of the state service.
    """

    process: asyncio.subprocess.Process
    public: httpx.AsyncClient
    internal_url: str

    async def says(self, words: str) -> str:
        """Read its log up to the line with these words."""
        assert self.process.stderr is not None
        read = ""
        async with asyncio.timeout(START_SECONDS):
            while words not in read:
                line = (await self.process.stderr.readline()).decode()
                assert line, f"{words!r} not in: {read}"
                read += line
        return read


@asynccontextmanager
async def api(
    state_url: str, kubeconfig: Path, *options: str | Path, port: int = 0, internal_port: int = 0, key: str = ""
) -> AsyncIterator[Api]:
    """Start it, with that state key; it is killed at the end of the block unless it has ended."""
    port, internal_port = port or free_port(), internal_port or free_port()
    process = await asyncio.create_subprocess_exec(
        *(RETL, "api", "--state", state_url, "--host", "127.0.0.1", "--kubeconfig", kubeconfig),
        *("--port", str(port), "--internal-port", str(internal_port), *options),
        env=os.environ | {"RETL_STATE_KEY": key},
        stderr=asyncio.subprocess.PIPE,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as public:
        try:
            scheme = "https" if "--state-tls-cert" in options else "http"
            yield Api(process, public, f"{scheme}://127.0.0.1:{internal_port}")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
