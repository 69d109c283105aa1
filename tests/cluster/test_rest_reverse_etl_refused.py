"""What /api/reverse-etl refuses on a real API server, and where it says that the fault is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from retl.resources.ids import type_id
from tests.cluster.objects import object_of, warehouse
from tests.cluster.rest_api import Rest, rest  # noqa: F401 - fixture
from tests.cluster.reverse_etl import EXAMPLE, Client, refusal


@pytest.fixture
async def call(rest: Rest) -> AsyncIterator[Client]:  # noqa: F811 - the fixture
    async with rest.as_("admin") as http:
        yield Client(http, rest)


MAPPING = {"source": "account_id", "destination": "Id", "key": True}
BAD_BODIES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"name": ""}, "invalid-input", ["/name"]),
    ({"nmae": "x"}, "invalid-input", ["/nmae"]),
    ({"sourceQuery": "DROP TABLE accounts"}, "invalid-input", ["/sourceQuery"]),
    ({"sourceQuery": "SELECT 1; SELECT 2"}, "invalid-input", ["/sourceQuery"]),
    ({"sourceQuery": "model:nothing"}, "invalid-input", ["/sourceQuery"]),
    ({"sourceQuery": "ref('../x')"}, "invalid-input", ["/sourceQuery"]),
    ({"destinationId": "conn_nothing"}, "invalid-input", ["/destinationId"]),
    ({"destinationId": "../secrets?x=#"}, "invalid-input", ["/destinationId"]),
    ({"destinationId": type_id("conn", uuid4())}, "invalid-input", ["/destinationId"]),
    ({"syncMode": "Upsert"}, "invalid-input", ["/syncMode"]),
    ({"fieldMappings": [{"source": "a", "destination": "A"}]}, "invalid-input", ["/fieldMappings"]),
    ({"fieldMappings": [MAPPING, MAPPING]}, "invalid-input", ["/fieldMappings/1/destination"]),
    ({"fieldMappings": [MAPPING | {"source": "upper(name)"}]}, "invalid-input", ["/fieldMappings"]),
    ({"fieldMappings": [MAPPING | {"cast": "money"}]}, "invalid-input", ["/fieldMappings/0/cast"]),
    ({"schedule": {"type": "cron", "expression": "@after"}}, "invalid-input", ["/schedule"]),
    ({"schedule": {"type": "cron", "expression": "every day"}}, "invalid-input", ["/schedule/expression"]),
    ({"primaryKey": [""]}, "invalid-input", ["/primaryKey/0"]),
    ({"name": 1, "enabled": "yes"}, "invalid-input", ["/name", "/enabled"]),
]


async def test_a_body_that_is_wrong_is_refused_with_a_pointer_to_each_field_and_nothing_is_made(call: Client) -> None:
    id = await call.made(name="stays as it is")
    before = await call.got(f"/syncs/{id}")
    names = {each["metadata"]["name"] for each in call.rest.namespace.list("reverseetlsync")}
    for sent, slug, places in BAD_BODIES:
        for method, path, body in (("POST", "/syncs", EXAMPLE | sent), ("PUT", f"/syncs/{id}", sent)):
            assert refusal(await call(method, path, body)) == (422, slug, places), (method, sent)
    assert await call.got(f"/syncs/{id}") == before
    assert {each["metadata"]["name"] for each in call.rest.namespace.list("reverseetlsync")} == names


GONE = {kind: type_id(kind, uuid4()) for kind in ("retl_sync", "retl_run", "retl_dlq", "conn")}
BAD_REQUESTS: list[tuple[str, str, Any, tuple[int, str, list[str]]]] = [
    ("GET", "/syncs/5", None, (404, "not-found", [])),
    ("GET", f"/syncs/{GONE['retl_sync']}", None, (404, "not-found", [])),
    ("GET", "/syncs/{run}", None, (404, "not-found", [])),
    ("PUT", f"/syncs/{GONE['retl_sync']}", {}, (404, "not-found", [])),
    ("DELETE", f"/syncs/{GONE['retl_sync']}", None, (404, "not-found", [])),
    ("GET", "/runs/{sync}", None, (404, "not-found", [])),
    ("GET", f"/runs/{GONE['retl_run']}", None, (404, "not-found", [])),
    ("GET", f"/runs/{GONE['retl_run']}/events", None, (404, "not-found", [])),
    ("GET", f"/runs/{GONE['retl_run']}/logs", None, (404, "not-found", [])),
    ("POST", f"/runs/{GONE['retl_run']}/cancel", None, (404, "not-found", [])),
    ("POST", "/sync/run", {"syncId": GONE["retl_sync"]}, (404, "not-found", [])),
    ("POST", "/sync/toggle", {"syncId": GONE["retl_sync"], "enabled": True}, (404, "not-found", [])),
    ("GET", "/pipelines", None, (404, "not-found", [])),
    ("PATCH", "/syncs/{sync}", {}, (405, "method-not-allowed", [])),
    ("POST", "/sync/run", {"syncId": "{run}"}, (422, "invalid-input", ["/syncId"])),
    ("POST", "/sync/run", {"syncIds": ["{sync}", "x"]}, (422, "invalid-input", ["/syncIds/1"])),
    ("POST", "/sync/run", {}, (422, "invalid-input", [""])),
    ("POST", "/sync/run", None, (422, "malformed-json", [])),
    ("POST", "/sync/plan", {"syncId": "{sync}", "fullRefresh": True}, (422, "invalid-input", ["/fullRefresh"])),
    ("POST", "/runs/{run}/cancel", {"now": True}, (422, "invalid-input", ["/now"])),
    ("POST", "/runs/{run}/approve", {}, (422, "invalid-input", ["/planHash"])),
    ("POST", "/dlq/resolve", {"entryIds": ["{sync}"], "resolution": "x"}, (422, "invalid-input", ["/entryIds/0"])),
    ("GET", "/syncs?limit=0", None, (422, "invalid-input", ["limit"])),
    ("GET", "/syncs?limit=201", None, (422, "invalid-input", ["limit"])),
    ("GET", "/syncs?limit=5&limit=6", None, (422, "invalid-input", ["limit"])),
    ("GET", "/syncs?enabled=yes", None, (422, "invalid-input", ["enabled"])),
    ("GET", "/syncs?destinationId=x", None, (422, "invalid-input", ["destinationId"])),
    ("GET", "/syncs?format=xml", None, (422, "invalid-input", ["format"])),
    ("GET", "/syncs?cursor=x", None, (422, "invalid-cursor", ["cursor"])),
    ("DELETE", "/syncs/{sync}?dryRun=1", None, (422, "invalid-input", ["dryRun"])),
    ("GET", "/runs?status=completed", None, (422, "invalid-input", ["status"])),
    ("GET", "/runs?sync_id={run}", None, (422, "invalid-input", ["sync_id"])),
    ("GET", "/runs/{run}/logs?tail=0", None, (422, "invalid-input", ["tail"])),
    ("GET", "/objects", None, (422, "invalid-input", ["destination_id"])),
    ("GET", f"/objects?destination_id={GONE['conn']}", None, (404, "not-found", [])),
    ("GET", "/fields?destination_id=sf-prod", None, (422, "invalid-input", ["object_name"])),
    ("GET", "/dlq?resolved=maybe", None, (422, "invalid-input", ["resolved"])),
    ("GET", "/dlq/stats?since=yesterday", None, (422, "invalid-input", ["since"])),
    ("GET", "/dlq/stats?since=2026-01-15T15:00:00", None, (422, "invalid-input", ["since"])),
]


async def test_a_request_that_is_wrong_is_refused_and_says_why(call: Client) -> None:
    sync = await call.made(name="wrong requests")
    run = await call.started(sync)
    for method, path, body, wanted in BAD_REQUESTS:
        sent = json.loads(json.dumps(body).replace("{sync}", sync).replace("{run}", run))
        answer = await call(method, path.replace("{sync}", sync).replace("{run}", run), sent)
        assert refusal(answer) == wanted, (method, path, body)


async def test_sql_needs_a_source_that_is_the_default(call: Client) -> None:
    async with call.rest.as_("other") as http:
        other = Client(http, call.rest)
        call.rest.other.apply(
            object_of("SyncDestination", "sf-prod", {"connector": "http", "config": {"url": "http://127.0.0.1:1"}})
        )
        answer = await other("POST", "/syncs", EXAMPLE)
        assert refusal(answer) == (422, "no-default-source", ["/sourceQuery"])
        call.rest.other.apply(warehouse("lake"), warehouse("house"))
        answer = await other("POST", "/syncs", EXAMPLE)
        assert refusal(answer)[1] == "no-default-source"
        assert all(word in answer.json()["detail"] for word in ("house", "lake", "reverseetl.io/default-source"))
        call.rest.other.delete("syncsource", "house")
        assert (await other("POST", "/syncs", EXAMPLE)).status_code == 201


async def test_the_header_names_another_workspace_than_that_of_the_credential(call: Client) -> None:
    assert refusal(await call("GET", "/syncs", X_Workspace_ID=""))[1:] == ("invalid-input", ["X-Workspace-ID"])
    async with call.rest.as_("other") as http:
        for named in (call.rest.namespace.name, call.rest.uid):
            answer = await Client(http, call.rest)("GET", "/syncs", X_Workspace_ID=named)
            assert refusal(answer)[:2] == (403, "forbidden")
    async with call.rest.as_("admin") as http:
        answer = await Client(http, call.rest)("GET", "/syncs", X_Workspace_ID=call.rest.uid)
        assert answer.json() == await call.got("/syncs")
