"""Routes of what syncs refer to; beyond the published API, so that a client finds the ids to send."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from retl.rest.requests import answers as written
from retl.rest.requests import queries
from retl.rest.requests.documented import Answer, operation
from retl.rest.requests.queries import Query
from retl.rest.workspaces import answers, examples, translate
from retl.rest.workspaces.entrance import WORKSPACE_HEADER, Opened

router = APIRouter()


@router.get(
    "/models",
    **operation(
        "List models", Answer("All, by name.", [examples.MODEL], list[answers.Model]), headers=[WORKSPACE_HEADER]
    ),
)
async def list_models(request: Request, opened: Opened) -> Response:
    """Their ids are what `model_id` takes."""
    queries.read(request, Query)
    models, sources = await opened.models(), await opened.sources()
    return written.json([translate.model(each, opened.place.uid, sources) for each in models])


@router.get(
    "/sources",
    **operation(
        "List sources", Answer("All, by name.", [examples.SOURCE], list[answers.Connector]), headers=[WORKSPACE_HEADER]
    ),
)
async def list_sources(request: Request, opened: Opened) -> Response:
    """What models read from."""
    queries.read(request, Query)
    return written.json([translate.connector(each, opened.place.uid) for each in await opened.sources()])


@router.get(
    "/destinations",
    **operation(
        "List destinations",
        Answer("All, by name.", [examples.DESTINATION], list[answers.Connector]),
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_destinations(request: Request, opened: Opened) -> Response:
    """Their ids are what `destination_id` takes."""
    queries.read(request, Query)
    return written.json([translate.connector(each, opened.place.uid) for each in await opened.destinations()])
