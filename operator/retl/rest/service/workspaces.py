"""Workspaces: namespaces, each as one caller may see and change it."""

from retl.apiserver.transport import Transport
from retl.rest.callers.caller import Caller
from retl.rest.callers.namespaces import Namespaces
from retl.rest.callers.rights import Review
from retl.rest.callers.transport import AsCaller
from retl.rest.problems import FieldError, Problem
from retl.rest.service.cluster import Cluster
from retl.rest.service.connections import ConnectionsOfWorkspace
from retl.rest.service.control import RunControl
from retl.rest.service.directory import Directory
from retl.rest.service.letters import LettersOfWorkspace
from retl.rest.service.syncs import SyncsOfWorkspace
from retl.rest.service.values import Place
from retl.rest.state_service import StoreNow


class ClusterWorkspace(SyncsOfWorkspace, ConnectionsOfWorkspace, RunControl, LettersOfWorkspace):
    """The Workspace of the interface."""


class ClusterWorkspaces:
    """The Workspaces of the interface.

    Args:
        own, bare: connections of this pod, and of nobody.
        state: the open state store; raises StateError while it is not open.
    """

    def __init__(
        self, own: Transport, bare: Transport, state: StoreNow, namespaces: Namespaces, review: Review
    ) -> None:
        self._as_caller = AsCaller(own, bare)
        self._state = state
        self._namespaces = namespaces
        self._review = review
        self._directory = Directory()

    async def open(self, caller: Caller, name: str | None) -> ClusterWorkspace:
        """See the interface."""
        wanted = name or caller.namespace
        if wanted is None:
            detail = "send X-Workspace-ID: this credential belongs to no workspace"
            raise Problem(422, "workspace-required", detail, errors=[FieldError(detail, header="X-Workspace-ID")])
        namespace = await self._namespaces.find(caller, wanted)
        place = Place(namespace.name, namespace.uid, namespace.made)
        cluster = Cluster(self._as_caller.of(caller), self._review, caller, place)
        return ClusterWorkspace(cluster, self._directory, self._state)
