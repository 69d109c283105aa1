"""The way in: from a request to the workspace it is about, as its caller may see it."""

import asyncio
from dataclasses import dataclass

from fastapi import Request

from retl.rest.callers.caller import Authenticate, Caller
from retl.rest.problems import Problem
from retl.rest.requests.headers import credential
from retl.rest.requests.limits import Limits
from retl.rest.service.interface import Workspace, Workspaces

CALLER = "retl.caller"
"""Where the request's scope holds the Caller, once they are known."""
WORKSPACE = "retl.workspace"
"""Where it holds the workspace's namespace."""
AGAIN_SECONDS = 30.0
"""How often the credential of a request that goes on is looked at."""


@dataclass(frozen=True, slots=True)
class Door:
    """What stands between a request and a workspace; the app's state holds it as `door`."""

    authenticate: Authenticate
    workspaces: Workspaces
    limits: Limits


async def entered(request: Request, named: str | None) -> Workspace:
    """The workspace that a request is about.

    Args:
        named: name or uid of the workspace; None for that of the credential.
    Raises:
        Problem: 401, 403, 404, 422, 429 or 503, as `Limits`, `Authenticate` and `Workspaces` say.
    """
    door: Door = request.app.state.door
    caller = await _known(door, request)
    request.scope[CALLER] = caller
    door.limits.admit(caller)
    workspace = await door.workspaces.open(caller, named)
    request.scope[WORKSPACE] = workspace.place.namespace
    return workspace


async def turned_away(request: Request) -> None:
    """Returns once the credential of a request that goes on is worth nothing any more.

    The API server sees to that for a token; of a key it knows only the ServiceAccount, which stays.
    """
    door: Door = request.app.state.door
    status = 0
    while status != 401:
        await asyncio.sleep(AGAIN_SECONDS)
        try:
            await door.authenticate(credential(request))
        except Problem as refusal:
            status = refusal.status


async def _known(door: Door, request: Request) -> Caller:
    address = request.client.host if request.client else ""
    shown = ""
    try:
        shown = credential(request)
        door.limits.knock(address, shown)
        caller = await door.authenticate(shown)
    except Problem as refusal:
        if refusal.status == 401:
            door.limits.turned_away(address, shown)
        raise
    door.limits.let_in(shown)
    return caller
