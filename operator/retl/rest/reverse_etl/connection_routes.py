"""What syncs refer to: destinations with their objects and fields, sources, models."""

from fastapi import APIRouter, Request, Response

from retl.rest.requests import answers as written
from retl.rest.requests import queries
from retl.rest.requests.documented import Answer, operation
from retl.rest.reverse_etl import answers, examples, ids, translate
from retl.rest.reverse_etl.entrance import WORKSPACE_HEADER, Here
from retl.rest.reverse_etl.queries import Destinations, Fields, Objects

router = APIRouter(tags=["Connections"])

_CHECK_FAILED = (409,)


@router.get(
    "/destinations",
    **operation(
        "List destinations",
        Answer(
            "Destinations by name.",
            examples.DESTINATIONS,
            answers.Several[answers.Resource[answers.DestinationAttributes]],
        ),
        query=Destinations,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_destinations(request: Request, here: Here) -> Response:
    """Connections that rows can be written into."""
    query = queries.read(request, Destinations)
    found = await here.destinations(query.connector)
    return written.json({"data": [translate.destination(each) for each in found]})


@router.get(
    "/objects",
    **operation(
        "List destination objects",
        Answer(
            "Objects as the destination's last check found them.",
            examples.OBJECTS,
            answers.Several[answers.Resource[answers.ObjectAttributes]],
        ),
        problems=_CHECK_FAILED,
        query=Objects,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_objects(request: Request, here: Here) -> Response:
    """None where no check has found out yet."""
    query = queries.read(request, Objects)
    found = await here.objects(ids.destination(query.destination_id), query.search, refresh=query.refresh)
    return written.json({"data": [translate.object_of(each) for each in found]})


@router.get(
    "/fields",
    **operation(
        "List object fields",
        Answer("Fields of the object.", examples.FIELDS, answers.Several[answers.Resource[answers.FieldAttributes]]),
        problems=_CHECK_FAILED,
        query=Fields,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_fields(request: Request, here: Here) -> Response:
    """With their types and whether they can be written."""
    query = queries.read(request, Fields)
    found = await here.fields(ids.destination(query.destination_id), query.object_name, refresh=query.refresh)
    return written.json({"data": [translate.field_of(each) for each in found]})


@router.get(
    "/sources",
    **operation(
        "List sources",
        Answer("Sources by name.", examples.SOURCES, answers.Several[answers.Resource[answers.SourceAttributes]]),
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_sources(request: Request, here: Here) -> Response:
    """Connections that rows are read from."""
    queries.read(request, queries.Query)
    return written.json({"data": [translate.source(each) for each in await here.sources()]})


@router.get(
    "/models",
    **operation(
        "List models",
        Answer("Models by name.", examples.MODELS, answers.Several[answers.Resource[answers.ModelAttributes]]),
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_models(request: Request, here: Here) -> Response:
    """Named rows; the id of one is a `sourceQuery`."""
    queries.read(request, queries.Query)
    return written.json({"data": [translate.model(each) for each in await here.models()]})
