"""Writes each batch as a file of its own.

Three modes: `append` adds files; `replace` writes all rows and then drops the files of earlier runs; `changes` adds
files of what was added or changed, and in a folder beside them files with the keys of what is gone.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from obstore.exceptions import BaseError

from retl.destinations.base import ACKNOWLEDGED, Batch, Destination, Outcome, Target, TryLater
from retl.destinations.objects import faults
from retl.destinations.objects.access import check_endpoint
from retl.destinations.objects.config import FilesConfig, files_capabilities
from retl.destinations.objects.encode import CONTENT_TYPES, encoded
from retl.destinations.objects.naming import MANIFEST, file_name, folder, moment, ours
from retl.errors import DestinationError, DestinationUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

R = TypeVar("R")

FAILED = (BaseError, FileNotFoundError)
"""What obstore raises; the latter, which is no kind of the former, where there is no such object or bucket."""
CHECK_TIMEOUT = timedelta(seconds=30)
CONNECT_TIMEOUT = timedelta(seconds=10)
ASK_AGAIN = (0.2, 1.0, 4.0)
"""Seconds before a question is asked again on which it depends whether a record is written twice."""
CHANGED, DELETED = "changed", "deleted"
"""Folders of the mode `changes`."""


class FilesDestination(Destination):
    """Files in a bucket of some vendor.

    Args:
        endpoint: where a manifest says that it is kept; None for the vendor's own place.
        where: the bucket, for messages.
    """

    target: Target

    def __init__(self, config: FilesConfig, endpoint: str | None, where: str) -> None:
        self.capabilities = files_capabilities(config)
        self.config = config
        self.endpoint = None if endpoint is None else endpoint.rstrip("/")
        self.where = where

    @abstractmethod
    def connect(self, client: "ClientConfig", retry: "RetryConfig") -> "ObjectStore":
        """The bucket; calls nobody (raises LoginRefused, DestinationError)."""

    async def open(self, target: Target) -> None:
        self.target = target
        self._folder = folder(self.config, target)
        self._began = moment(target)
        self._written: dict[str, int] = {}
        await self._reach(target.timeout)
        await self._asked(self._first(self._folder))

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        if self.target.mode == "replace" and batch.operation == "delete":
            return [ACKNOWLEDGED] * batch.size  # `complete` drops them with the files that they are in
        path = f"{self._home(batch.operation)}/{file_name(self.config, self._began, batch.ids)}"
        data = await asyncio.to_thread(encoded, batch, self.config)
        attributes = {"Content-Type": CONTENT_TYPES[self.config.format]}
        try:
            await self._put(path, data, attributes)
        except FAILED as error:
            fault = faults.read(error)
            if batch.operation != "append" or not fault.doubtful:
                raise faults.raised(fault, self.where) from None
            await self._make_sure(path, fault)
        self._written[path] = batch.size
        return [ACKNOWLEDGED] * batch.size

    async def complete(self) -> None:
        """Name the new files in a manifest, then drop those of earlier runs; all others are left alone."""
        manifest = {"files": sorted(self._written), "rows": sum(self._written.values()), "began": self._began}
        await self._sure(
            self._put(f"{self._folder}/{MANIFEST}", orjson.dumps(manifest), {"Content-Type": "application/json"})
        )
        for path in await self._sure(self._earlier()):
            await self._sure(self._drop(path))

    async def server(self) -> str:
        await self._reach(CHECK_TIMEOUT)
        await self._asked(self._first(self.config.prefix))
        return ""

    async def close(self) -> None:
        return

    def _home(self, operation: str) -> str:
        """The folder that the records of an operation go to."""
        if self.target.mode != "changes":
            return self._folder
        return f"{self._folder}/{DELETED if operation == 'delete' else CHANGED}"

    async def _reach(self, timeout: timedelta) -> None:
        if self.endpoint is not None:
            await check_endpoint(self.endpoint)
        plain = self.endpoint is not None and self.endpoint.startswith("http://")
        client: ClientConfig = {"allow_http": plain, "timeout": timeout, "connect_timeout": CONNECT_TIMEOUT}
        pauses: Any = {"init_backoff": timedelta(), "max_backoff": timedelta(), "base": 2}
        retry: RetryConfig = {"max_retries": 0, "retry_timeout": timeout, "backoff": pauses}  # the engine tries again
        try:
            self._store = self.connect(client, retry)
        except BaseError as error:
            raise DestinationError(
                f"{self.where}: the settings or the Secret make no login ({type(error).__name__}); correct them"
            ) from None

    async def _put(self, path: str, data: bytes, attributes: Mapping[str, str]) -> None:
        await self._store.put_async(path, data, attributes=dict(attributes), use_multipart=False)

    async def _make_sure(self, path: str, fault: faults.Fault) -> None:
        """Find out whether a file is there whose write was not answered (raises TryLater if it is not, or may not be).

        Its name is its own, so that it is this batch's if it is there.
        """
        for pause in ASK_AGAIN:
            await asyncio.sleep(pause)
            try:
                await self._store.head_async(path)
                return
            except FileNotFoundError:
                raise faults.raised(fault, self.where) from None
            except BaseError:
                continue
        raise TryLater("OUTCOME_UNKNOWN", f"{self.where}: {fault.words}, and no word on the file since")

    async def _first(self, within: str) -> None:
        """Ask for one object, whichever: what it is does not matter, only that it may be asked for."""
        async for _ in self._listed(within, 1):
            return

    async def _earlier(self) -> list[str]:
        """Files in the folder that this run did not write."""
        listed = [path async for path in self._listed(self._folder)]
        return [path for path in listed if ours(path, self._folder) and path not in self._written]

    async def _listed(self, within: str, at_once: int = 1_000) -> AsyncIterator[str]:
        async for found in self._store.list(within or None, chunk_size=at_once):
            for each in found:
                yield each["path"]

    async def _drop(self, path: str) -> None:
        try:
            await self._store.delete_async(path)
        except FileNotFoundError:
            return

    async def _sure(self, call: Awaitable[R]) -> R:
        """What a call answers that does no harm when it is made twice (raises as `write`)."""
        try:
            return await call
        except FAILED as error:
            raise faults.raised(faults.read(error), self.where) from None

    async def _asked(self, call: Awaitable[R]) -> R:
        """What a call answers before anything is written (raises DestinationError)."""
        try:
            return await self._sure(call)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
