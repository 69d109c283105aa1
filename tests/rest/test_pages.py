"""The description of the API, and the page for people."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from retl.rest.app import create_apps
from retl.state.sql import SqlStateStore
from tests.rest.service import always_there, closed_door, listening, namespace_in_token

PAGE = ("/docs", "/docs.css", "/docs.js")


@pytest.fixture
async def client(database: SqlStateStore) -> AsyncIterator[httpx.AsyncClient]:
    apps = create_apps(lambda: database, namespace_in_token, always_there, closed_door())
    async with listening(apps.public) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in PAGE:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert not re.findall(r"""(?:https?:)?//[^\s"'<>]+\.[^\s"'<>]+""", answer.text)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    page = (await client.get("/docs")).text
    linked = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(linked) == {"docs.css", "docs.js", "openapi.json"}


async def test_whoever_knows_no_credential_may_read_the_description(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert "/healthz" not in json.dumps(answer.json())
