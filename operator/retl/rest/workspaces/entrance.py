"""What a path says: the workspace, and ids in it."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request

from retl.rest.problems import POINTER, FieldError, Problem, not_found
from retl.rest.requests import documented, headers
from retl.rest.requests.entry import entered
from retl.rest.service.interface import Workspace
from retl.rest.workspaces.bodies import lower_uuid
from retl.rest.workspaces.translate import to_pointer

_HEADER = "X-Workspace-ID"
WORKSPACE_HEADER = documented.header(
    _HEADER, "Need not be sent; if it is, it names the workspace of the path, by its id or by its name."
)


async def _workspace(
    request: Request, id: Annotated[str, Path(description="Workspace: uid or name of a namespace.")]
) -> Workspace:
    request.scope[POINTER] = to_pointer
    workspace = await entered(request, id)
    named = headers.once(request, _HEADER)
    if named is not None and named != workspace.place.namespace and named.lower() != str(workspace.place.uid):
        wrong = "must name the workspace of the path, or not be sent"
        raise Problem(422, "workspace-mismatch", f"{_HEADER}: {wrong}", errors=[FieldError(wrong, header=_HEADER)])
    return workspace


def _uid(text: str, what: str) -> UUID:
    try:
        return UUID(lower_uuid(text))
    except ValueError:
        raise not_found(f"such {what}") from None


async def _sync(id: Annotated[str, Path(alias="syncId", description="Id of the sync, a UUID.")]) -> UUID:
    return _uid(id, "sync")


async def _run(id: Annotated[str, Path(alias="runId", description="Id of the run, a UUID.")]) -> UUID:
    return _uid(id, "run")


Opened = Annotated[Workspace, Depends(_workspace)]
"""The workspace of the path. It stands before other parameters: who may not enter learns nothing of them."""
SyncId = Annotated[UUID, Depends(_sync)]
RunId = Annotated[UUID, Depends(_run)]
