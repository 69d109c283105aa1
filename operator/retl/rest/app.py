"""The API pod's two apps: a public one with health and metrics, an internal one with the state service.

Two ports, so that a NetworkPolicy can open the one to people and the other to runners only.
"""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from retl.rest import problems, reader_service, state_service
from retl.rest.auth import Identify
from retl.rest.metrics import Metrics, Observe
from retl.rest.requests.ids import Answered
from retl.rest.state_service import StoreNow


@dataclass(frozen=True, slots=True)
class Apps:
    """One app a port."""

    public: FastAPI
    internal: FastAPI


def create_apps(store: StoreNow, identify: Identify, controller_account: str | None = None) -> Apps:
    """Build both apps.

    Args:
        store: the open state store; raises StateError while it is not open.
        identify: says who holds a bearer token.
        controller_account: NAMESPACE/NAME of the controller's ServiceAccount; None: it reads nothing here.
    """
    metrics = Metrics(store)
    public = _app("Reverse ETL Operator", "public", metrics)
    internal = _app("Reverse ETL Operator: state service", "internal", metrics)
    _add_health(public, store, metrics)
    state_service.install(internal, store, identify, controller_account)
    reader_service.install(internal)
    return Apps(public, internal)


def _app(title: str, port: str, metrics: Metrics) -> FastAPI:
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_middleware(Answered)
    app.add_middleware(Observe, metrics=metrics, port=port)
    return app


def _add_health(app: FastAPI, store: StoreNow, metrics: Metrics) -> None:
    @app.get("/healthz")
    async def alive() -> PlainTextResponse:
        """The process answers; it need not be of use yet."""
        return PlainTextResponse("ok")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        """The state database answers (503 otherwise)."""
        await store().ping()
        return PlainTextResponse("ok")

    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(await metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
