"""What the routes of this dialect have in common: the workspace that a request is about, and pages."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from retl.rest.problems import POINTER
from retl.rest.requests import cursors, headers
from retl.rest.requests.documented import header
from retl.rest.requests.entry import entered
from retl.rest.requests.queries import Paged
from retl.rest.reverse_etl import answers, wishes
from retl.rest.service.interface import Workspace
from retl.rest.service.values import Page, PageAsked, T

WORKSPACE = "X-Workspace-ID"
WORKSPACE_HEADER = header(
    WORKSPACE, "Name or id of the workspace; not needed where the credential belongs to one.", minLength=1
)


async def _workspace(request: Request) -> Workspace:
    request.scope[POINTER] = wishes.pointer
    return await entered(request, headers.once(request, WORKSPACE))


Here = Annotated[Workspace, Depends(_workspace)]
"""The workspace of the header, else that of the credential, as the caller may see it."""


def asked(query: Paged, of: str) -> PageAsked:
    """The page that a query asks for; `of` is what its cursor belongs to, see `cursors.query`."""
    return PageAsked(query.limit, cursors.open(query.cursor, of) if query.cursor else None)


def page(found: Page[T], query: Paged, of: str, shown: Callable[[T], answers.Item]) -> answers.Paged[answers.Item]:
    """A page as it is answered."""
    return {
        "data": [shown(each) for each in found.items],
        "meta": {"page": {"limit": query.limit, "cursor": next_cursor(found, of)}},
    }


def next_cursor(found: Page[T], of: str) -> str | None:
    """What asks for the page after this one; None if this is the last."""
    return cursors.seal(found.next, of) if found.next is not None else None
