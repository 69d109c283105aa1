"""The API server as the benchmark uses it: many objects made fast, lists timed, arrivals of Jobs noted."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.cluster.kubectl import Access

Manifest = dict[str, Any]
IN_FLIGHT = 40
PAGE = 500
MERGE_PATCH, STRATEGIC_PATCH = "application/merge-patch+json", "application/strategic-merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Api:
    """An administrator's connection to one API server."""

    def __init__(self, kubeconfig: Path) -> None:
        access = Access.load(kubeconfig)
        self._session = aiohttp.ClientSession(
            access.server,
            headers={"Authorization": f"Bearer {access.token}"},
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(access.ca_file)), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        )

    async def close(self) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, body: Manifest | None = None, media: str = "") -> Manifest:
        """The decoded answer (raises RuntimeError with the API server's words)."""
        headers = {"Content-Type": media or "application/json"}
        content = None if body is None else orjson.dumps(body)
        async with self._session.request(method, path, data=content, headers=headers) as response:
            text = await response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status}: {text.decode()[:500]}")
        answer: Manifest = orjson.loads(text)
        return answer

    async def list(self, path: str) -> list[Manifest]:
        """All objects of a collection, in pages, one after the other."""
        found: list[Manifest] = []
        more: str | None = ""
        while more is not None:
            page = await self.request("GET", f"{path}?limit={PAGE}{more and f'&continue={more}'}")
            found += page["items"]
            more = page["metadata"].get("continue") or None
        return found

    @asynccontextmanager
    async def watching(
        self, path: str, note: Callable[[str, Manifest], None], *, whole: bool = False
    ) -> AsyncIterator[None]:
        """Tell `note` of each event of a collection, from now on, for as long as the block lasts.

        Args:
            whole: with spec and status; else the metadata alone, which costs the API server and us less.
        """
        start = (await self.request("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        watching = asyncio.create_task(self._watch(f"{path}?watch=1&resourceVersion={start}", note, whole))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, path: str, note: Callable[[str, Manifest], None], whole: bool) -> None:
        headers = {} if whole else {"Accept": METADATA_ONLY}
        async with self._session.get(path, headers=headers) as response:
            left = b""
            async for chunk in response.content.iter_any():
                *lines, left = (left + chunk).split(b"\n")
                for line in lines:
                    event = orjson.loads(line)
                    note(event["type"], event["object"])
        raise RuntimeError(f"GET {path}: the API server ended the watch")


class Arrivals:
    """When each object was first seen to have a Job, by our clock: a creationTimestamp has whole seconds only."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._all = asyncio.Event()

    def expect(self, due: dict[str, float]) -> None:
        """A Job of each of these objects, whose names have no dash, is due at that epoch second."""
        self._due = due

    def note(self, event: str, job: Manifest) -> None:
        """Take note of an event of a watch."""
        owner = job["metadata"]["name"].partition("-")[0]
        if event == "ADDED" and owner in self._due and owner not in self._seconds:
            self._seconds[owner] = time.time() - self._due[owner]
            if len(self._seconds) == len(self._due):
                self._all.set()

    async def until_all(self, limit: float) -> list[float]:
        """Seconds from due to seen, sorted, once all are there or at the limit (epoch seconds)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit - time.time()):
                await self._all.wait()
        return sorted(self._seconds.values())


async def in_flight(jobs: Iterable[Awaitable[Any]], at_once: int = IN_FLIGHT) -> float:
    """Do them all, so many at a time; seconds."""
    started, waiting = time.perf_counter(), iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return time.perf_counter() - started
