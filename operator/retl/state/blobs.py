"""Snapshot parts outside the database: immutable objects in a bucket or a directory.

Only whoever opens the state database speaks to the object store; runners never see it. An object is written once under
a random name, is never changed, and the database says what it must hold. Bytes go in and out whole: a part is small.
"""

import asyncio
import os
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from retl.errors import InvalidInput, SnapshotDamaged, StateError

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

URL_VARIABLE = "RETL_SNAPSHOT_URL"

PATIENCE = timedelta(seconds=30)
"""How long a request is tried again while the store is in trouble. Runners wait for a minute, and then ask anew."""
_REQUEST_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=5)

T = TypeVar("T")


class Blobs(Protocol):
    """Where objects lie. All methods raise StateError when the store cannot be used."""

    url: str

    async def put(self, name: str, data: bytes) -> None:
        """Write an object; it is there in full, and to stay, when this returns."""

    async def get(self, name: str) -> bytes:
        """The whole object (raises SnapshotDamaged if there is none)."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""


def new_name() -> str:
    """A name that no object has. It holds nothing that a tenant chose, so it cannot point elsewhere."""
    return f"{uuid.uuid4().hex}.part"


def from_environment() -> Blobs | None:
    """The object store that RETL_SNAPSHOT_URL names; None if it names none (raises InvalidInput)."""
    url = os.environ.get(URL_VARIABLE, "")
    return open_blobs(url) if url else None


def open_blobs(url: str) -> Blobs:
    """The object store at a URL; credentials come from the environment or the machine's identity. Connects to nothing.

    Args:
        url: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory.
    Raises:
        InvalidInput: the URL is none of these, its library is not installed, or the environment lacks a setting.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.netloc
    except ValueError:
        scheme = host = ""
    if scheme == "file" and host in {"", "localhost"} and parts.path.strip("/"):
        return Directory(Path(unquote(parts.path)))
    if scheme not in {"s3", "gs", "az"} or not re.fullmatch(r"[\w.-]+", host) or parts.query or parts.fragment:
        # Not quoted: it may hold a password, which does not belong there.
        raise InvalidInput(
            f"{URL_VARIABLE}: write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or "
            "file:///directory; credentials do not belong there, they come from the environment"
        )
    return Bucket(url)


class Directory:
    """Objects as files. Readable by their owner only, like an SQLite state file."""

    def __init__(self, path: Path) -> None:
        self.url = path.as_uri()
        self._path = path

    async def put(self, name: str, data: bytes) -> None:
        await self._call(lambda: self._put(name, data))

    async def get(self, name: str) -> bytes:
        return await self._call((self._path / name).read_bytes)

    async def delete(self, names: Sequence[str]) -> None:
        await self._call(lambda: self._delete(names))

    def _put(self, name: str, data: bytes) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = _unfinished(self._path / name)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path / name)
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)  # else a power cut may take the name back after the database has it
        finally:
            os.close(directory)

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            for path in (self._path / name, _unfinished(self._path / name)):
                path.unlink(missing_ok=True)

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except FileNotFoundError as error:
            raise _missing(self.url, Path(error.filename).name) from None
        except OSError as error:
            raise StateError(f"snapshot store {self.url}: {error.filename}: {error.strerror}") from None


class Bucket:
    """Objects in S3, Google Cloud Storage or Azure Blob Storage."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = _connect(self.url)

    async def put(self, name: str, data: bytes) -> None:
        try:
            await self._call(self._store.put_async(name, data, use_multipart=False))
        except FileNotFoundError:
            raise StateError(f"snapshot store {self.url}: there is no such bucket; create it") from None

    async def get(self, name: str) -> bytes:
        try:
            return await self._call(self._read(name))
        except FileNotFoundError:
            raise _missing(self.url, name) from None

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:  # one by one: asked for many at once, not all vendors delete the rest when one is gone
            with suppress(FileNotFoundError):
                await self._call(self._store.delete_async(name))

    async def _read(self, name: str) -> bytes:
        found = await self._store.get_async(name)
        return bytes(await found.bytes_async())

    async def _call(self, request: Awaitable[T]) -> T:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            return await request
        except (PermissionDeniedError, UnauthenticatedError):
            raise StateError(
                f"snapshot store {self.url}: access denied; allow these credentials to read, write and delete objects"
            ) from None
        except BaseError as error:
            raise StateError(f"snapshot store {self.url}: {_without_secrets(str(error))}") from None


def _connect(url: str) -> "S3Store | GCSStore | AzureStore":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise InvalidInput(
            f"{URL_VARIABLE}: {url} needs a library that is not here; pip install 'reverse-etl-operator[object-store]'"
        ) from None
    # An endpoint of one's own may be plain http; the vendors' are https, whatever is allowed.
    client: ClientConfig = {"allow_http": True, "timeout": _REQUEST_TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT}
    retry: RetryConfig = {
        "max_retries": 100,
        "retry_timeout": PATIENCE,
        "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
    }
    try:
        if url.startswith("s3:"):
            return S3Store.from_url(url, client_options=client, retry_config=retry)
        if url.startswith("gs:"):
            return GCSStore.from_url(url, client_options=client, retry_config=retry)
        return AzureStore.from_url(url, client_options=client, retry_config=retry)
    except BaseError as error:
        raise InvalidInput(f"{URL_VARIABLE}: {url}: {_without_secrets(str(error))}") from None


def _unfinished(path: Path) -> Path:
    return path.with_suffix(".unfinished")


def _missing(url: str, name: str) -> SnapshotDamaged:
    return SnapshotDamaged(
        f"snapshot store {url}: object {name} is missing; bring it back (a backup, an older version), "
        f"or set {URL_VARIABLE} to where the objects are"
    )


def _without_secrets(text: str) -> str:
    """The first line of what the library says, without queries and bodies: they may hold signatures and tokens."""
    line = text.partition("\n")[0].partition("<")[0]
    return re.sub(r"\?\S*", "", line).strip(" :-")
