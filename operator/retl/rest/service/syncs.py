"""The syncs of a workspace: read, made, changed and deleted as the caller."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from random import uniform
from typing import Any
from uuid import UUID

from retl.resources.kinds import DESTINATION, MODEL, RUN, SYNC, Manifest
from retl.resources.marks import CREATED_BY
from retl.resources.meta import API_VERSION
from retl.resources.views import UNFINISHED, Sync
from retl.rest.callers.caller import NOBODY
from retl.rest.problems import Problem, not_found
from retl.rest.service import gitops, idempotency, merge, naming
from retl.rest.service.cluster import Listed
from retl.rest.service.connections import destination_of
from retl.rest.service.refused import Expired, Lost, Taken
from retl.rest.service.room import Room
from retl.rest.service.rowsets import Lookup
from retl.rest.service.values import Named, Page, PageAsked, Place, SyncFilter, SyncRecord, SyncWish, Write, uid_in

_TRIES = 20
"""Of a change that others were quicker than."""
_LONGEST_PAUSE = 0.1
"""Seconds between two of them: no two clients are to go on in step."""


class SyncsOfWorkspace(Room):
    """The Syncs of the interface."""

    async def syncs(self, which: SyncFilter, page: PageAsked | None) -> Page[SyncRecord]:
        fields = await self._selector(which)
        if fields is None:
            return Page([])
        cluster, directory = self._cluster, self._directory
        listed, models, destinations, unfinished = await asyncio.gather(
            self._listed(fields, page),
            directory.list(cluster, MODEL),
            directory.list(cluster, DESTINATION, metadata_only=True),
            directory.list(cluster, RUN, fields=UNFINISHED, metadata_only=True),
        )
        named_models, named_destinations, runs = (_by_name(each) for each in (models, destinations, unfinished))
        records = [
            _record(
                self.place,
                manifest,
                named_models.get(_reference(manifest, "modelRef")),
                named_destinations.get(_reference(manifest, "destinationRef")),
                runs.get(_active_run(manifest)),
            )
            for manifest in listed.items
        ]
        return Page(records, listed.next or None)

    async def sync(self, uid: UUID) -> SyncRecord:
        return await self._shown(await self._sync(uid))

    async def create_sync(self, wish: SyncWish, how: Write) -> SyncRecord:
        async with self._once(how):
            return await self._created(wish, how)

    async def _created(self, wish: SyncWish, how: Write) -> SyncRecord:
        request = idempotency.request(how, self._cluster.caller, self.place, "create_sync")
        if request is not None and (made := await self._sync_made_before(request)) is not None:
            return await self._shown(made, replayed=True)
        references = await Lookup(self._cluster, self._directory, None).references(wish)
        spec = merge.merged(None, wish, references.found)
        annotations = {CREATED_BY: str(self._cluster.caller.id)} | (request.annotations if request else {})
        name = wish.name if isinstance(wish.name, str) else ""
        for candidate in naming.sync_names(name, request.suffix if request else ""):
            manifest = {
                "apiVersion": API_VERSION,
                "kind": SYNC,
                "metadata": {"name": candidate, "namespace": self.place.namespace, "annotations": annotations},
                "spec": spec,
            }
            try:
                made = await self._cluster.create(SYNC, manifest, dry_run=how.dry_run)
            except Taken:
                continue
            if not how.dry_run:
                self._directory.learn(SYNC, [made])
            return _record(self.place, made, references.model, references.destination, None, query=True)
        if request is not None and (made := await self._sync_made_before(request)) is not None:
            return await self._shown(made, replayed=True)
        raise Taken(409, "conflict", f"there is a sync named {naming.slug_of(name)}; choose another name")

    async def change_sync(self, uid: UUID, wish: SyncWish, how: Write) -> SyncRecord:
        for _ in range(_TRIES):
            before = await self._living_sync(uid)
            _check_version(before, how)
            references = await Lookup(self._cluster, self._directory, before).references(wish)
            after = merge.merged(before.get("spec"), wish, references.found)
            if merge.same(before.get("spec") or {}, after):
                return await self._shown(before)
            change = merge.change(before, after)
            gitops.check(before, change["spec"])
            try:
                changed = await self._cluster.patch(SYNC, before["metadata"]["name"], change, dry_run=how.dry_run)
            except Lost:
                await asyncio.sleep(uniform(0, _LONGEST_PAUSE))  # noqa: S311 - no secret
                continue
            return await self._shown(changed, model=references.model, destination=references.destination)
        raise Problem(409, "conflict", "others keep changing the sync at the same time; try again")

    async def delete_sync(self, uid: UUID, how: Write) -> datetime:
        before = await self._living_sync(uid)
        _check_version(before, how)
        gitops.check(before, None)
        metadata = before["metadata"]
        only_if = {"uid": metadata["uid"]}
        only_if |= {} if how.if_match is None else {"resourceVersion": metadata["resourceVersion"]}
        try:
            await self._cluster.delete(SYNC, metadata["name"], only_if, dry_run=how.dry_run)
        except Lost:
            raise not_found("such sync in this workspace") if how.if_match is None else _another_version() from None
        return datetime.now(UTC).replace(microsecond=0)

    async def _selector(self, which: SyncFilter) -> str | None:
        """Field selector of the syncs that are asked for; None if there can be none."""
        selected = [] if which.enabled is None else [f"spec.state{'' if which.enabled else '!'}=Active"]
        if which.destination is not None:
            destination = await destination_of(self._cluster, self._directory, which.destination)
            if destination is None:
                return None
            selected.append(f"spec.destinationRef.name={destination['metadata']['name']}")
        return ",".join(selected)

    async def _listed(self, fields: str, page: PageAsked | None) -> Listed:
        limit, after = (page.limit, page.after or "") if page else (None, "")
        try:
            listed = await self._cluster.list(SYNC, fields=fields, limit=limit, after=after)
        except Expired as expired:
            if not expired.further_on:
                raise
            listed = await self._cluster.list(SYNC, fields=fields, limit=limit, after=expired.further_on)
        self._directory.learn(SYNC, listed.items)
        return listed

    async def _sync_made_before(self, request: idempotency.Request) -> Manifest | None:
        """The sync that the same request made before, whatever it is called."""
        listed = await self._directory.list(self._cluster, SYNC, metadata_only=True)
        made = next((each["metadata"]["name"] for each in listed if request.made(each)), None)
        return await self._cluster.find(SYNC, made) if made else None

    async def _shown(
        self,
        manifest: Manifest,
        *,
        model: Manifest | None = None,
        destination: Manifest | None = None,
        replayed: bool = False,
    ) -> SyncRecord:
        """The record of one sync; what it refers to is looked up, unless it is known."""
        model, destination, active = await asyncio.gather(
            self._named(MODEL, _reference(manifest, "modelRef"), model),
            self._named(DESTINATION, _reference(manifest, "destinationRef"), destination),
            self._named(RUN, _active_run(manifest)),
        )
        return _record(self.place, manifest, model, destination, active, query=True, replayed=replayed)

    async def _named(self, kind: str, name: str, known: Manifest | None = None) -> Manifest | None:
        if known is not None or not name:
            return known
        return await self._cluster.find(kind, name, metadata_only=kind != MODEL)


def _check_version(manifest: Manifest, how: Write) -> None:
    if how.if_match is not None and manifest["metadata"]["resourceVersion"] not in how.if_match:
        raise _another_version()


def _another_version() -> Problem:
    return Problem(HTTPStatus.PRECONDITION_FAILED, "precondition-failed", "the sync has changed since; read it again")


def _record(
    place: Place,
    manifest: Manifest,
    model: Manifest | None,
    destination: Manifest | None,
    active: Manifest | None,
    *,
    query: bool = False,
    replayed: bool = False,
) -> SyncRecord:
    sync = Sync.read(manifest)
    last = sync.status.last_run
    return SyncRecord(
        place=place,
        sync=sync,
        model=_as_named(model),
        destination=_as_named(destination),
        primary_key=sync.spec.get("primaryKey") or ((model or {}).get("spec") or {}).get("primaryKey") or (),
        last_run=uid_in(active["metadata"]["uid"]) if active else uid_in(last.uid) if last else None,
        created_by=uid_in(sync.meta.annotations.get(CREATED_BY, "")) or NOBODY,
        updated_at=_updated_at(manifest),
        query=_query(sync.spec) if query else "",
        replayed=replayed,
    )


def _query(spec: Mapping[str, Any]) -> str:
    if "modelRef" in spec:
        return f"model:{spec['modelRef']['name']}"
    return str((spec.get("query") or {}).get("sql", ""))


def _updated_at(manifest: Manifest) -> datetime:
    """When somebody last wrote the spec, as the API server noted it."""
    metadata = manifest["metadata"]
    written = [
        entry["time"]
        for entry in metadata.get("managedFields") or []
        if not entry.get("subresource") and "f:spec" in (entry.get("fieldsV1") or {}) and "time" in entry
    ]
    return datetime.fromisoformat(max(written, default=metadata["creationTimestamp"]))


def _as_named(manifest: Manifest | None) -> Named | None:
    return Named(UUID(manifest["metadata"]["uid"]), manifest["metadata"]["name"]) if manifest else None


def _by_name(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests}


def _reference(manifest: Manifest, field: str) -> str:
    return str(((manifest.get("spec") or {}).get(field) or {}).get("name", ""))


def _active_run(manifest: Manifest) -> str:
    return str(((manifest.get("status") or {}).get("activeRun") or {}).get("name", ""))
