"""All routes of this dialect."""

from fastapi import APIRouter

from retl.rest.workspaces import connection_routes, run_routes, sync_routes

router = APIRouter(prefix="/api/v1/workspaces/{id}", tags=["Workspaces"])
for _routes in (sync_routes, run_routes, connection_routes):
    router.include_router(_routes.router)
