"""Which pages of other origins may ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from retl.rest.app import create_apps
from retl.state.sql import SqlStateStore
from tests.rest.service import always_there, closed_door, listening, namespace_in_token

PORTAL, OTHER = "https://portal.example.com", "https://portal.example.com.example.net"
SYNCS = "/api/reverse-etl/syncs"


@asynccontextmanager
async def client_of(database: SqlStateStore, *origins: str) -> AsyncIterator[httpx.AsyncClient]:
    public = replace(closed_door(), cors_origins=origins)
    apps = create_apps(lambda: database, namespace_in_token, always_there, public)
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


def preflight(origin: str) -> dict[str, str]:
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization, if-match"}
    return asked | {"Origin": origin}


async def test_without_an_origin_no_page_may_ask(database: SqlStateStore) -> None:
    async with client_of(database) as client:
        asked = await client.options(SYNCS, headers=preflight(PORTAL))
        answer = await client.get("/healthz", headers={"Origin": PORTAL})
    assert asked.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


async def test_pages_of_the_named_origin_alone_may_ask_and_without_cookies(database: SqlStateStore) -> None:
    async with client_of(database, PORTAL) as client:
        asked = await client.options(SYNCS, headers=preflight(PORTAL))
        others = await client.options(SYNCS, headers=preflight(OTHER))
        refused = await client.get(SYNCS, headers={"Origin": PORTAL})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PORTAL)
    assert "access-control-allow-credentials" not in asked.headers
    assert asked.headers["x-request-id"]
    assert (others.status_code, others.headers.get("access-control-allow-origin")) == (400, None)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PORTAL)
    assert "X-Request-ID" in refused.headers["access-control-expose-headers"]
