"""The state database, as the command line opens it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from retl.errors import InvalidInput
from retl.state import blobs
from retl.state.sealing import ENV_KEY, local_key, parse_key
from retl.state.sql import SqlStateStore

T = TypeVar("T")
_SQLITE = "sqlite:///"


def read_url(url: str | None, file: Path | None) -> str:
    """The state database's URL from an option or the environment, or from a mounted file.

    Raises:
        InvalidInput: neither is given, both are, or the file cannot be read.
    """
    if (url is None) == (file is None):
        raise InvalidInput(
            "state database: give exactly one of RETL_STATE_DATABASE_URL (or --state) and --state-url-file"
        )
    if file is None:
        assert url is not None
        return url
    try:
        return file.read_text().strip()
    except OSError as error:
        raise InvalidInput(f"--state-url-file {file}: {error.strerror}") from None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlStateStore]:
    """The database, with the key of RETL_STATE_KEY, or else the one beside an SQLite file.

    Raises:
        InvalidInput: the URL is not one of a state database.
        StateError: it cannot be used.
    """
    store = await SqlStateStore.open(url, key=_key(url), blobs=blobs.from_environment())
    try:
        yield store
    finally:
        await store.close()


def ask(url: str, question: Callable[[SqlStateStore], Awaitable[T]]) -> T:
    """Ask a database that is there: looking must not leave an empty one behind.

    Raises:
        InvalidInput: there is no such database.
        StateError: it cannot be used.
    """
    file = Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not file.exists():
        raise InvalidInput(f"state database {file}: there is none; give --state, or make one with retl run")
    return asyncio.run(_asked(url, question))


def _key(url: str) -> bytes | None:
    if text := os.environ.get(ENV_KEY):
        return parse_key(text)
    return local_key(Path(url.removeprefix(_SQLITE))) if url.startswith(_SQLITE) else None


async def _asked(url: str, question: Callable[[SqlStateStore], Awaitable[T]]) -> T:
    async with opened(url) as store:
        return await question(store)
