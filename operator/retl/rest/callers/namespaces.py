"""Which namespace a workspace is: by its name, or by its uid."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from retl.apiserver import media
from retl.apiserver.endpoints import ENDPOINTS, NAMESPACE
from retl.apiserver.transport import Call, Transport
from retl.resources.kinds import Manifest
from retl.rest.callers.caller import LIST_SYNCS, Caller
from retl.rest.callers.refused import found
from retl.rest.callers.rights import Review, no_workspace
from retl.rest.problems import not_found

REMEMBERED_SECONDS = 10.0
LISTED_SECONDS = 1.0
"""All namespaces are listed at most once in so long, however many unknown uids are asked for."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace that was there a moment ago."""

    name: str
    uid: UUID
    made: datetime


class Namespaces:
    """The namespaces of the cluster, as this pod sees them.

    Args:
        own: connections of this pod, which may read namespaces.
        review: tells whether a caller may know that there is no such namespace.
    """

    def __init__(self, own: Transport, review: Review, clock: Callable[[], float] = monotonic) -> None:
        self._own = own
        self._review = review
        self._clock = clock
        self._by_name: dict[str, tuple[Namespace, float]] = {}
        self._names: dict[UUID, str] = {}
        self._listed = float("-inf")
        self._listing = asyncio.Lock()

    async def find(self, caller: Caller, workspace: str) -> Namespace:
        """The namespace of that name or uid; what looks like a uid is one.

        A caller who may not list syncs does not learn that there is none: they get one that is not there, and are
        refused by the API server, whatever they ask for, as they would be in one that is.

        Raises:
            Problem: 404 there is none; 403 nor could there be, or none has that uid; 401, 429, 503.
        """
        if _LABEL.fullmatch(workspace) and not _UID.fullmatch(workspace):
            found = await self._named(workspace)
            if found is None and not await self._may_know(caller, workspace):
                return Namespace(workspace, UUID(int=0), datetime.max.replace(tzinfo=UTC))
        else:
            found = await self._with_uid(UUID(workspace)) if _UID.fullmatch(workspace) else None
            if found is None and not await self._may_know(caller, None):
                raise no_workspace()
        if found is None:
            raise not_found("such workspace")
        return found

    async def made(self, name: str) -> datetime | None:
        """When the namespace of that name was made; None if there is none (raises Problem 429 and 503)."""
        found = await self._named(name)
        return found.made if found else None

    async def _may_know(self, caller: Caller, name: str | None) -> bool:
        return await self._review.may(caller, name, LIST_SYNCS)

    async def _named(self, name: str) -> Namespace | None:
        known, until = self._by_name.get(name, (None, 0.0))
        if known is not None and self._clock() < until:
            return known
        self._by_name.pop(name, None)
        call = Call("get", NAMESPACE, ENDPOINTS[NAMESPACE].path(None, name), accept=media.METADATA)
        manifest = await found(self._own, call)
        return self._remember(manifest) if manifest else None

    async def _with_uid(self, uid: UUID) -> Namespace | None:
        async with self._listing:
            if uid not in self._names and self._clock() - self._listed >= LISTED_SECONDS:
                await self._list()
        name = self._names.get(uid)
        namespace = await self._named(name) if name else None
        return namespace if namespace and namespace.uid == uid else None

    async def _list(self) -> None:
        call = Call("list", NAMESPACE, ENDPOINTS[NAMESPACE].path(None), accept=media.METADATA_LIST)
        listed = await found(self._own, call) or {"items": []}
        self._listed = self._clock()
        namespaces = [self._remember(manifest) for manifest in listed["items"]]
        self._names = {each.uid: each.name for each in namespaces}

    def _remember(self, manifest: Manifest) -> Namespace:
        metadata = manifest["metadata"]
        made = datetime.fromisoformat(metadata["creationTimestamp"])
        namespace = Namespace(metadata["name"], UUID(metadata["uid"]), made)
        self._by_name[namespace.name] = (namespace, self._clock() + REMEMBERED_SECONDS)
        return namespace
