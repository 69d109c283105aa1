"""/openapi.json and /docs: open to everybody who reaches the port, because they tell what is in the source anyway.

The page is made of our own files alone, so that it works in a cluster without a way out, and may load nothing else.
"""

from functools import cache
from importlib.resources import files

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from retl.rest.pages.openapi import describe

_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_FILES = {"docs.css": "text/css", "docs.js": "text/javascript"}

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def description(request: Request) -> Response:
    """The description; the same for everybody, and made when it is first asked for."""
    app = request.app
    if app.openapi_schema is None:
        app.openapi_schema = describe(app)
    return Response(orjson.dumps(app.openapi_schema), media_type="application/json")


@router.get("/docs")
async def page() -> Response:
    """The page for people."""
    return Response(_read("docs.html"), headers=_POLICY, media_type="text/html")


@router.get("/docs.css")
@router.get("/docs.js")
async def asset(request: Request) -> Response:
    """What the page needs."""
    name = request.url.path.rpartition("/")[2]
    return Response(_read(name), headers=_POLICY, media_type=_FILES[name])


@cache
def _read(name: str) -> bytes:
    return (files(__package__) / name).read_bytes()
