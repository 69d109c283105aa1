"""Which name an object has that a client knows by its uid.

What is remembered is a hint and gives nobody access: the object itself is read as the caller each time, and its uid
compared.
"""

from collections.abc import Sequence
from uuid import UUID

from retl.resources.kinds import Manifest
from retl.rest.recent import Recent
from retl.rest.service.cluster import Cluster

REMEMBERED = 50_000


class Directory:
    """Names of objects that were seen, whoever saw them."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._names: Recent[tuple[str, str, str], str] = Recent(size)

    def learn(self, kind: str, manifests: Sequence[Manifest]) -> None:
        """Remember the names of objects."""
        for manifest in manifests:
            metadata = manifest["metadata"]
            self._names.keep((kind, metadata["namespace"], metadata["uid"]), metadata["name"])

    def name(self, kind: str, namespace: str, uid: UUID) -> str | None:
        """What the object was called when it was last seen."""
        return self._names.get((kind, namespace, str(uid)))

    async def list(
        self, cluster: Cluster, kind: str, *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> Sequence[Manifest]:
        """All objects of a kind, whose names are then known."""
        listed = await cluster.list(kind, labels=labels, fields=fields, metadata_only=metadata_only)
        self.learn(kind, listed.items)
        return listed.items

    async def find(self, cluster: Cluster, kind: str, uid: UUID) -> Manifest | None:
        """The object of that uid, as the caller may see it; None if the workspace has none of the kind."""
        name = self.name(kind, cluster.place.namespace, uid)
        found = await _with_uid(cluster, kind, name, uid)
        if found is not None:
            return found
        listed = await self.list(cluster, kind, metadata_only=True)
        name = next((each["metadata"]["name"] for each in listed if each["metadata"]["uid"] == str(uid)), None)
        return await _with_uid(cluster, kind, name, uid)


async def _with_uid(cluster: Cluster, kind: str, name: str | None, uid: UUID) -> Manifest | None:
    found = await cluster.find(kind, name) if name else None
    return found if found and found["metadata"]["uid"] == str(uid) else None
