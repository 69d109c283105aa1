"""What the parts of the service layer work with: one workspace as one caller, and the state database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from retl.resources.kinds import SYNC, Manifest
from retl.rest.problems import Problem, not_found
from retl.rest.service import idempotency
from retl.rest.service.cluster import Cluster
from retl.rest.service.directory import Directory
from retl.rest.service.values import Place, Write
from retl.rest.state_service import StoreNow
from retl.state.sql import SqlStateStore


class Room:
    """One workspace.

    Args:
        cluster: its objects, as the caller.
        directory: names of objects that were seen.
        state: the open state store; raises StateError while it is not open.
    """

    def __init__(self, cluster: Cluster, directory: Directory, state: StoreNow) -> None:
        self._cluster = cluster
        self._directory = directory
        self._store = state

    @property
    def place(self) -> Place:
        """Which one."""
        return self._cluster.place

    def _state(self) -> SqlStateStore:
        """What the state database has of this workspace (raises StateError)."""
        return self._store().since(self.place.made)

    @asynccontextmanager
    async def _once(self, how: Write) -> AsyncIterator[bool]:
        """Whether the same request, by its key, has been made before; it has, once the block is through.

        Raises:
            Problem: 422 another request came with the key.
        """
        key = idempotency.key(how, self._cluster.caller, self.place)
        body = await self._state().body_asked(key) if key else None
        if body not in (None, how.digest):
            raise idempotency.reused()
        yield body is not None
        if key and body is None and not how.dry_run:
            await self._state().note_asked(key, how.digest)

    async def _sync(self, uid: UUID) -> Manifest:
        """The sync of that uid (raises Problem 404)."""
        found = await self._directory.find(self._cluster, SYNC, uid)
        if found is None:
            raise not_found("such sync in this workspace")
        return found

    async def _living_sync(self, uid: UUID) -> Manifest:
        """The same, if it is not about to go (raises Problem 404 and 409)."""
        found = await self._sync(uid)
        if "deletionTimestamp" in found["metadata"]:
            raise Problem(409, "being-deleted", f"ReverseETLSync {found['metadata']['name']} is being deleted")
        return found
