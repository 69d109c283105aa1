"""The API pod's two apps: a public one with the REST API, health and metrics, an internal one with the state service.

Two ports, so that a NetworkPolicy can open the one to people and the other to runners only.
"""

import asyncio
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from retl.rest import problems, reader_service, state_service
from retl.rest.auth import Identify
from retl.rest.metrics import Metrics, Observe
from retl.rest.pages import openapi, routes
from retl.rest.problems import RETRY_AFTER, Problem
from retl.rest.reader_service import NamespaceMade
from retl.rest.requests import cors
from retl.rest.requests.entry import Door
from retl.rest.requests.ids import Answered
from retl.rest.requests.paths import Paths
from retl.rest.reverse_etl import router as reverse_etl
from retl.rest.state_service import StoreNow
from retl.rest.workspaces import router as workspaces


@dataclass(frozen=True, slots=True)
class Apps:
    """One app a port."""

    public: FastAPI
    internal: FastAPI


@dataclass(frozen=True, slots=True)
class Public:
    """What the public app is made with.

    Attributes:
        door: leads to workspaces.
        cors_origins: pages of these origins may ask.
        stopping: set once the pod is to leave.
    """

    door: Door
    cors_origins: tuple[str, ...] = ()
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def create_apps(
    store: StoreNow, identify: Identify, made: NamespaceMade, public: Public, controller_account: str | None = None
) -> Apps:
    """Build both apps.

    Args:
        store: the open state store; raises StateError while it is not open.
        identify: says which runner holds a bearer token, on the internal port.
        made: says since when there is a namespace.
        controller_account: NAMESPACE/NAME of the controller's ServiceAccount; None: it reads nothing here.
    """
    metrics = Metrics(store)
    metrics.watch(public.door.limits)
    internal = _app("Reverse ETL Operator: state service", "internal", metrics)
    state_service.install(internal, store, identify, controller_account)
    reader_service.install(internal, made)
    apps = Apps(_public(public, store, metrics), internal)
    for app in (apps.public, apps.internal):
        app.state.paths = Paths(app)
    return apps


def _public(public: Public, store: StoreNow, metrics: Metrics) -> FastAPI:
    app = _app(openapi.TITLE, "public", metrics, public.cors_origins)
    app.state.door = public.door
    app.state.stopping = public.stopping
    _add_health(app, store, metrics, public.stopping)
    app.include_router(routes.router)
    app.include_router(workspaces.router)
    app.include_router(reverse_etl.router)
    return app


def _app(title: str, port: str, metrics: Metrics, cors_origins: tuple[str, ...] = ()) -> FastAPI:
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app, public=port == "public")
    if cors_origins:
        cors.allow(app, cors_origins)
    app.add_middleware(Answered)
    app.add_middleware(Observe, metrics=metrics, port=port)
    return app


def _add_health(app: FastAPI, store: StoreNow, metrics: Metrics, stopping: asyncio.Event) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def alive() -> PlainTextResponse:
        """The process answers; it need not be of use yet."""
        return PlainTextResponse("ok")

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> PlainTextResponse:
        """The state database answers, and the pod is to stay (503 otherwise)."""
        if stopping.is_set():
            raise Problem(503, "stopping", "this pod is leaving", RETRY_AFTER)
        await store().ping()
        return PlainTextResponse("ok")

    @app.get("/metrics", include_in_schema=False)
    async def scrape() -> Response:
        return Response(await metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
