"""What syncs refer to: models, sources, destinations, and the objects that a destination takes."""

from uuid import UUID

from retl.resources.kinds import DESTINATION, Manifest
from retl.rest.service.cluster import Cluster
from retl.rest.service.directory import Directory

_PREFIX = "conn_"


async def destination_of(cluster: Cluster, directory: Directory, which: UUID | str) -> Manifest | None:
    """The destination of that uid; or of that name, or of the name that `conn_sf_prod` says, `sf-prod`."""
    if isinstance(which, UUID):
        return await directory.find(cluster, DESTINATION, which)
    found = await cluster.find(DESTINATION, which)
    if found is None and which.startswith(_PREFIX):
        found = await cluster.find(DESTINATION, which.removeprefix(_PREFIX).replace("_", "-"))
    return found
