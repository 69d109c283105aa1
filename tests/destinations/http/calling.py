"""The http connector, ready to be called with a configuration for the REST API of these tests."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from retl.destinations.base import Batch, Outcome, Target
from retl.destinations.http.connector import HttpDestination
from retl.destinations.registry import DESTINATIONS
from tests.destinations.simulators.http import CLIENT, CLIENT_SECRET

CLIENT_LOGIN = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}


@asynccontextmanager
async def connector(
    config: Mapping[str, Any],
    login: Mapping[str, str] | None = None,
    *,
    mode: str = "upsert",
    fields: Sequence[str] = ("id", "name"),
) -> AsyncIterator[HttpDestination]:
    """The connector, opened for the object accounts with the key id."""
    made = HttpDestination(DESTINATIONS.check("http", config), DESTINATIONS.login("http", "s", login or {}))
    try:
        await made.open(Target("accounts", mode, ("id",), tuple(fields), timedelta(seconds=5)))
        yield made
    finally:
        await made.close()


async def send(
    made: HttpDestination, *records: Mapping[str, Any] | str, operation: str = "upsert", ids: Sequence[str] = ()
) -> Sequence[Outcome]:
    """Write records in one call; a text is a record as the engine wrote it."""
    payloads = [record.encode() if isinstance(record, str) else json.dumps(record).encode() for record in records]
    return await made.write(Batch(len(records), payloads, operation=operation, ids=ids))
