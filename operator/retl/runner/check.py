"""A check of one connection: log in, look at what is there, hand the catalog to the state service. Writes nothing else.

What cannot be read of one row set or object is said in the catalog and stands in nobody else's way; a login that is
refused, or an end that cannot be reached, is what the check fails with.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from retl.destinations.base import Destination, LoginRefused
from retl.destinations.registry import DESTINATIONS
from retl.errors import DestinationError, InvalidInput, SourceError, StateError
from retl.runner import connect
from retl.runspec.catalog import Catalog, CatalogField, CatalogObject, bounded
from retl.runspec.check import CheckResult, CheckSpec, RowSet, WantedObject
from retl.sources.base import Source
from retl.sources.registry import SOURCES
from retl.state.http import HttpStateStore

AT_ONCE = 4
"""Row sets or objects that are asked about at the same time."""
PROBLEM_MAX = 500
CHANGES_MAX_BYTES = 800
SERVER_MAX = 255

W = TypeVar("W")
T = TypeVar("T")


async def check(spec: CheckSpec, secrets_dir: Path | None, state: HttpStateStore) -> CheckResult:
    """Check a connection.

    Args:
        secrets_dir: one directory a Secret, in it one file a key.
        state: takes the catalog; where it does not answer, the check succeeds without one.
    Raises:
        RetlError: the check failed: the settings are wrong, the login was refused, the other end cannot be reached.
    """
    if spec.kind == "SyncSource":
        server, catalog = await _of_source(connect.source(spec.connection, secrets_dir), spec.row_sets)
        version = SOURCES.version(spec.connection.connector)
    else:
        destination = connect.destination(spec.connection, secrets_dir)
        try:
            server, catalog = await _of_destination(destination, spec.objects)
        finally:
            await destination.close()
        version = DESTINATIONS.version(spec.connection.connector)
    digest, changes, lost = catalog.digest(), "", ""
    try:
        changes = "; ".join(await state.put_catalog(spec, catalog))
    except StateError as error:
        digest, lost = "", f"what it found could not be kept: {error}"
    return CheckResult(
        succeeded=True,
        message=lost[:PROBLEM_MAX],
        connector_version=version,
        server=server[:SERVER_MAX],
        objects=len(catalog.objects),
        fields=sum(len(each.fields) for each in catalog.objects),
        catalog=digest,
        changes=changes.encode()[:CHANGES_MAX_BYTES].decode(errors="ignore"),
    )


async def _of_source(source: Source, row_sets: Sequence[RowSet]) -> tuple[str, Catalog]:
    server = await asyncio.to_thread(source.server)
    listed = await asyncio.to_thread(source.objects)

    async def columns(row_set: RowSet) -> CatalogObject:
        found = CatalogObject(name=row_set.object_name, definition=row_set.definition)
        try:
            schema = await asyncio.to_thread(source.columns, row_set.query)
        except SourceError as error:
            if error.retriable:
                raise
            return found.model_copy(update={"problem": str(error)[:PROBLEM_MAX]})
        fields = [CatalogField(name=field.name, type=str(field.type)) for field in schema]
        return found.model_copy(update={"fields": fields})

    return server, bounded(await _each(row_sets, columns), listed or ())


async def _of_destination(destination: Destination, wanted: Sequence[WantedObject]) -> tuple[str, Catalog]:
    server = await destination.server()
    listed = await destination.objects()

    async def described(want: WantedObject) -> CatalogObject | None:
        try:
            fields = await destination.describe(want.name, want.mode)
        except LoginRefused:
            raise
        except (DestinationError, InvalidInput) as error:
            if error.retriable:
                raise
            return CatalogObject(name=want.name, problem=str(error)[:PROBLEM_MAX])
        if fields is None:
            return None
        known = [CatalogField(name=f.name, type=f.type, required=f.required, read_only=f.read_only) for f in fields]
        return CatalogObject(name=want.name, fields=known)

    return server, bounded([each for each in await _each(wanted, described) if each is not None], listed or ())


async def _each(things: Sequence[W], work: Callable[[W], Awaitable[T]]) -> list[T]:
    """Some at a time, all of them, in their order; the first error ends it."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(thing: W) -> T:
        async with room:
            return await work(thing)

    tasks = [asyncio.create_task(one(thing)) for thing in things]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
