"""The runs of a workspace: those that the cluster has and those that only the state database remembers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from retl.resources import requests
from retl.resources.kinds import RUN, SYNC, Manifest
from retl.resources.marks import TRIGGERED_BY, UNTRACKED
from retl.resources.views import Run, Sync
from retl.rest.problems import Problem, not_found
from retl.rest.service import idempotency, naming, runlist
from retl.rest.service.refused import Taken
from retl.rest.service.room import Room
from retl.rest.service.values import Page, PageAsked, RunFilter, RunOrder, RunRecord, Write
from retl.state.history import RunRow, RunsAsked

NEWEST = 1_000
"""Of a list without pages."""
_NOT_SUCCEEDED = "status.phase!=Succeeded"
"""Every run that succeeded is in the history; of the others some never began."""


class RunsOfWorkspace(Room):
    """The Runs of the interface, as far as they are read, started, cancelled and approved."""

    async def runs(self, which: RunFilter, page: PageAsked | None) -> Page[RunRecord]:
        after = runlist.read(page.after) if page and page.after else None
        limit = page.limit if page else NEWEST
        live = await self._live(which.sync, must_be_there=page is None)
        rows, superseded = await self._rows(which, live, after, limit + 1)
        here = [
            run
            for run in live.values()
            if run.uid not in superseded
            and which.state in (None, run.state)
            and (after is None or runlist.position(run) < after)
        ]
        shown, further = runlist.page(here, rows, limit)
        return Page(shown, runlist.written(further) if further and page else None)

    async def run(self, uid: UUID, sync: UUID | None = None) -> RunRecord:
        found, _ = await asyncio.gather(self._run(uid), self._sync(sync) if sync else _nothing())
        if sync is not None and found.sync != sync:
            raise not_found("such run of this sync")
        return found

    async def start(self, sync: UUID, order: RunOrder, how: Write) -> RunRecord:
        async with self._once(how):
            return await self._started(sync, order, how)

    async def _started(self, sync: UUID, order: RunOrder, how: Write) -> RunRecord:
        owner = await self._owner(sync)
        request = idempotency.request(how, self._cluster.caller, self.place, f"start:{order.mode}:{sync}")
        name = naming.run_name(owner.name, request.suffix) if request else ""
        if request is not None and (made := await self._run_made_before(name, request, sync)) is not None:
            return made
        manifest = self._ordered(owner, order)
        if request is not None:
            manifest["metadata"] |= {"name": name}
            manifest["metadata"]["annotations"] |= request.annotations
        try:
            started = await self._cluster.create(RUN, manifest, dry_run=how.dry_run)
        except Taken:
            if request is not None and (made := await self._run_made_before(name, request, sync)) is not None:
                return made
            raise
        if not how.dry_run:
            self._directory.learn(RUN, [started])
        return runlist.of_manifest(self.place, started, sync)

    async def _owner(self, sync: UUID) -> Sync:
        """The sync whose run it is to be."""
        return Sync.read(await self._living_sync(sync))

    def _ordered(self, sync: Sync, order: RunOrder) -> Manifest:
        """The SyncRun; it goes with its sync, as those of ticks do, and has no controller, as theirs have."""
        spec: dict[str, Any] = {} if order.mode == "Sync" else {"mode": order.mode}
        spec |= {"fullRefresh": True} if order.full_refresh else {}
        if order.replay is not None:
            spec["replay"] = order.replay.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        try:
            manifest = requests.run_of(sync, spec)
        except requests.Draft as error:
            raise Problem(409, "sync-is-draft", str(error)) from None
        manifest["metadata"] |= {
            "annotations": {**UNTRACKED, TRIGGERED_BY: str(self._cluster.caller.id)},
            "ownerReferences": [
                {"apiVersion": manifest["apiVersion"], "kind": SYNC, "name": sync.name, "uid": sync.meta.uid}
            ],
        }
        return manifest

    async def _run_made_before(self, name: str, request: idempotency.Request, sync: UUID) -> RunRecord | None:
        """The run that the same request made before, as it is now, also when its SyncRun is gone."""
        found = await self._cluster.find(RUN, name)
        if found is not None:
            if not request.made(found):
                return None
            return replace(await self._told(found, sync), replayed=True)
        row = await self._state().run_of(self.place.namespace, name=name)
        if row is None or row.sync_uid != str(sync):
            return None
        return replace(runlist.of_row(self.place, row), replayed=True)

    async def _run(self, uid: UUID) -> RunRecord:
        namespace = self.place.namespace
        name = self._directory.name(RUN, namespace, uid)
        found = await self._with_uid(name, uid)
        row = None
        if found is None or Run.read(found).phase not in ("Failed", "Cancelled"):
            row = await self._state().run_of(namespace, uid=str(uid))
        if found is None and row is not None and row.name != name:
            found = await self._with_uid(row.name, uid)
        if found is None and row is None:
            found = await self._unfinished(uid)
        if found is not None:
            live = runlist.of_manifest(self.place, found, await self._sync_of(found, row))
            if row is None or not runlist.outdated(live, row):
                self._directory.learn(RUN, [found])
                return runlist.as_listed(live, row)
        if row is None:
            raise not_found("such run in this workspace")
        return runlist.of_row(self.place, row)

    async def _told(self, manifest: Manifest, sync: UUID | None) -> RunRecord:
        """A run of the cluster whose sync is known."""
        live = runlist.of_manifest(self.place, manifest, sync)
        row = await self._state().run_of(self.place.namespace, uid=str(live.uid)) if live.state == "Succeeded" else None
        return runlist.as_listed(live, row)

    async def _with_uid(self, name: str | None, uid: UUID) -> Manifest | None:
        found = await self._cluster.find(RUN, name) if name else None
        return found if found and found["metadata"]["uid"] == str(uid) else None

    async def _unfinished(self, uid: UUID) -> Manifest | None:
        """The run, if it is one that nobody has seen and that is not in the history: it has not begun, or never did."""
        listed = await self._directory.list(self._cluster, RUN, fields=_NOT_SUCCEEDED, metadata_only=True)
        name = next((each["metadata"]["name"] for each in listed if each["metadata"]["uid"] == str(uid)), None)
        return await self._with_uid(name, uid)

    async def _sync_of(self, run: Manifest, row: RunRow | None) -> UUID | None:
        if row is not None:
            return UUID(row.sync_uid)
        if (owner := runlist.owner_uid(run)) is not None:
            return owner
        sync = await self._cluster.find(SYNC, Run.read(run).sync, metadata_only=True)
        return UUID(sync["metadata"]["uid"]) if sync else None

    async def _live(self, sync: UUID | None, *, must_be_there: bool) -> dict[str, RunRecord]:
        """Runs of the cluster by uid, those left out that have succeeded, as the history has them."""
        fields = _NOT_SUCCEEDED
        if sync is not None:
            found = await (self._sync(sync) if must_be_there else self._directory.find(self._cluster, SYNC, sync))
            fields += f",spec.syncRef.name={found['metadata']['name']}" if found else ""
        manifests = await self._directory.list(self._cluster, RUN, fields=fields)
        uids = await self._sync_uids(manifests)
        records = {
            each["metadata"]["uid"]: runlist.of_manifest(self.place, each, uids.get(each["metadata"]["uid"]))
            for each in manifests
        }
        return {uid: run for uid, run in records.items() if sync in (None, run.sync)}

    async def _sync_uids(self, runs: Sequence[Manifest]) -> dict[str, UUID]:
        """uid of the sync of each run, by the uid of the run."""
        owners = {each["metadata"]["uid"]: runlist.owner_uid(each) for each in runs}
        found = {uid: owner for uid, owner in owners.items() if owner is not None}
        if len(found) < len(owners):
            syncs = await self._directory.list(self._cluster, SYNC, metadata_only=True)
            by_name = {each["metadata"]["name"]: UUID(each["metadata"]["uid"]) for each in syncs}
            for each in runs:
                uid, named = each["metadata"]["uid"], by_name.get(Run.read(each).sync)
                if uid not in found and named is not None:
                    found[uid] = named
        return found

    async def _rows(
        self, which: RunFilter, live: dict[str, RunRecord], after: runlist.Position | None, wanted: int
    ) -> tuple[list[RunRecord], set[UUID]]:
        """Runs of the history that the cluster does not show, and those of the cluster whose end only it has seen."""
        states = frozenset() if which.state is None else runlist.ROW_STATES[which.state]
        found: list[RunRecord] = []
        superseded: set[UUID] = set()
        if which.state is not None and not states:
            return found, superseded
        place = (after[0], str(after[1])) if after else None
        while True:
            asked = RunsAsked(self.place.namespace, wanted, str(which.sync) if which.sync else None, states, place)
            rows = await self._state().history(asked)
            for row in rows:
                known = live.get(row.uid)
                if known is None or runlist.outdated(known, row):
                    found.append(runlist.of_row(self.place, row))
                    superseded |= {found[-1].uid} if known else set()
            if len(rows) < wanted or len(found) >= wanted:
                return found, superseded
            place = (rows[-1].created_at, rows[-1].uid)


async def _nothing() -> None:
    return None
