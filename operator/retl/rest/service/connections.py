"""What syncs refer to: models, sources, destinations, and the objects that a destination takes."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from retl.destinations.registry import DESTINATIONS
from retl.errors import InvalidInput
from retl.resources import SyncDestination, requests
from retl.resources.conditions import Condition, find
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, Manifest
from retl.resources.marks import DEFAULT_SOURCE, DISPLAY_NAME
from retl.resources.views import Other
from retl.rest.problems import RETRY_AFTER, Problem, not_found
from retl.rest.service.cluster import Cluster
from retl.rest.service.directory import Directory
from retl.rest.service.room import Room
from retl.rest.service.values import ConnectionRecord, FieldRecord, ObjectRecord
from retl.runspec.catalog import Catalog
from retl.runspec.resolve import connection

CHECK_SECONDS = 60.0
"""How long a check that was asked for may take."""
_PREFIX = "conn_"


async def destination_of(cluster: Cluster, directory: Directory, which: UUID | str) -> Manifest | None:
    """The destination of that uid; or of that name, or of the name that `conn_sf_prod` says, `sf-prod`."""
    if isinstance(which, UUID):
        return await directory.find(cluster, DESTINATION, which)
    found = await cluster.find(DESTINATION, which)
    if found is None and which.startswith(_PREFIX):
        found = await cluster.find(DESTINATION, which.removeprefix(_PREFIX).replace("_", "-"))
    return found


def default_sources(sources: Sequence[Manifest]) -> tuple[list[str], list[str]]:
    """Names of the sources that may answer queries which name none, one if all is well; and of those with the label."""
    marked = [each["metadata"]["name"] for each in sources if _labels(each).get(DEFAULT_SOURCE) == "true"]
    return marked or [each["metadata"]["name"] for each in sources], marked


class ConnectionsOfWorkspace(Room):
    """The Connections of the interface."""

    async def models(self) -> Sequence[ConnectionRecord]:
        return [_record(each) for each in await self._directory.list(self._cluster, MODEL)]

    async def sources(self) -> Sequence[ConnectionRecord]:
        sources = await self._directory.list(self._cluster, SOURCE)
        answering, _ = default_sources(sources)
        return [_record(each, default=[each["metadata"]["name"]] == answering) for each in sources]

    async def destinations(self, connector: str | None = None) -> Sequence[ConnectionRecord]:
        records = [_record(each) for each in await self._directory.list(self._cluster, DESTINATION)]
        return [each for each in records if connector in (None, each.connector)]

    async def objects(self, destination: UUID | str, search: str, *, refresh: bool) -> Sequence[ObjectRecord]:
        manifest, catalog = await self._catalog(destination, refresh)
        wanted, upsert = search.casefold(), _upserts(manifest)
        return [
            ObjectRecord(
                name=each.name,
                label=each.name,
                upsert=upsert,
                writable=not each.problem and (not each.fields or any(not field.read_only for field in each.fields)),
            )
            for each in catalog.objects
            if wanted in each.name.casefold()
        ]

    async def fields(self, destination: UUID | str, object: str, *, refresh: bool) -> Sequence[FieldRecord]:
        _, catalog = await self._catalog(destination, refresh)
        found = catalog.object(object)
        if found is None:
            if not catalog.objects:
                return []
            raise not_found("such object of this destination")
        return [
            FieldRecord(
                name=each.name,
                label=each.name,
                type=each.type or "unknown",
                required=each.required,
                updateable=not each.read_only,
                external_id=False,
            )
            for each in found.fields
        ]

    async def _catalog(self, which: UUID | str, refresh: bool) -> tuple[Manifest, Catalog]:
        manifest = await destination_of(self._cluster, self._directory, which)
        if manifest is None:
            raise not_found("such destination in this workspace")
        if refresh:
            manifest = await self._checked(manifest["metadata"]["name"])
        last = Other.read(DESTINATION, manifest["metadata"]["name"], manifest).last_check
        if last is None or not last.catalog:
            return manifest, Catalog()
        text = await self._state().catalog(self.place.namespace, manifest["metadata"]["uid"])
        return manifest, Catalog.model_validate_json(text) if text else Catalog()

    async def _checked(self, name: str) -> Manifest:
        """The destination once a check has looked at it anew."""
        asked = datetime.now(UTC).isoformat()
        await self._cluster.patch(DESTINATION, name, requests.check(asked))
        found: Manifest | None = None
        try:
            async with asyncio.timeout(CHECK_SECONDS), aclosing(self._cluster.watch(DESTINATION, name)) as seen:
                async for found in seen:
                    if found is None:
                        raise not_found("such destination in this workspace")
                    if _answered(found, asked):
                        break
        except TimeoutError:
            told = f"no check of SyncDestination {name} ended within {CHECK_SECONDS:.0f} s"
            raise Problem(503, "no-check", f"{told}; see whether the controller is at work", RETRY_AFTER) from None
        assert found is not None, "a watch goes on until there is something to stop at"
        last = Other.read(DESTINATION, name, found).last_check
        if last is not None and not last.succeeded:
            raise Problem(409, "check-failed", f"{last.reason}: {last.message}")
        return found


def _answered(manifest: Manifest, asked: str) -> bool:
    status: dict[str, Any] = manifest.get("status") or {}
    return status.get("lastHandledCheck") == asked and "lastCheck" in status and "activeCheck" not in status


def _record(manifest: Manifest, *, default: bool = False) -> ConnectionRecord:
    metadata, spec, status = manifest["metadata"], manifest.get("spec") or {}, manifest.get("status") or {}
    conditions = [Condition.model_validate(each) for each in status.get("conditions") or []]
    ready = find(conditions, "Ready")
    last_check = status.get("lastCheck") or {}
    return ConnectionRecord(
        uid=UUID(metadata["uid"]),
        name=metadata["name"],
        display_name=str((metadata.get("annotations") or {}).get(DISPLAY_NAME) or metadata["name"]),
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        connector=str(spec.get("connector", "")),
        ready={"True": True, "False": False}.get(ready.status) if ready else None,
        reason=ready.reason if ready else "",
        message=ready.message if ready else "",
        source=str((spec.get("sourceRef") or {}).get("name", "")),
        discoverable=bool(last_check.get("catalog") and last_check.get("objects")),
        default=default,
    )


def _labels(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("labels") or {}


def _upserts(manifest: Manifest) -> bool:
    """Whether the destination, configured as it is, has mode upsert; not where its settings are wrong."""
    try:
        return "upsert" in DESTINATIONS.capabilities(connection(SyncDestination.read(manifest))).modes
    except (ValidationError, InvalidInput):
        return False
