"""All routes of this dialect, under both of its prefixes."""

from fastapi import APIRouter

from retl.rest.reverse_etl import connection_routes, letter_routes, run_routes, sync_routes

PREFIXES = ("/api/reverse-etl", "/v1/api/reverse-etl")
"""The second is the first by another name, for clients whose base path has a version."""

router = APIRouter()
for _prefix in PREFIXES:
    for _routes in (sync_routes, run_routes, connection_routes, letter_routes):
        router.include_router(_routes.router, prefix=_prefix, include_in_schema=_prefix == PREFIXES[0])
