"""/api/reverse-etl while syncs run for real: a file is read, a CRM written to, and what it refuses is sent again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from retl.resources.ids import type_id
from tests.cluster.objects import object_of
from tests.cluster.rest_api import Rest, rest  # noqa: F401 - fixture
from tests.cluster.reverse_etl import Client, refusal
from tests.cluster.test_rest_service_runs import warehouse  # noqa: F401 - fixture

ARGO = "argocd.argoproj.io/tracking-id"
MAPPINGS = [
    {"source": "id", "destination": "account_id", "key": True},
    {"source": "name", "destination": "name"},
    {"source": "CASE WHEN id < 'A-0002' THEN 'Austria' ELSE 'AT' END", "destination": "country"},
]
ACCOUNTS: dict[str, Any] = {
    "sourceQuery": "SELECT id, name, email FROM accounts",
    "destinationId": "conn_crm",
    "objectName": "account",
    "primaryKey": ["id"],
    "fieldMappings": MAPPINGS,
    "schedule": {"type": "manual"},
}


@pytest.fixture
async def call(rest: Rest) -> AsyncIterator[Client]:  # noqa: F811 - the fixture
    async with rest.as_("admin") as http:
        yield Client(http, rest)


async def followed(call: Client, run: str) -> list[dict[str, Any]]:
    """What is told of a run until it ends; a plan that is held is approved once it is told."""
    told: list[dict[str, Any]] = []
    path = f"{call.prefix}/runs/{run}/events"
    async with call.http.stream("GET", path, timeout=90) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: "))["attributes"])
                held = told[-1]["status"] == "awaiting_approval"
                if held and all(each["status"] != "awaiting_approval" for each in told[:-1]):
                    body = {"planHash": told[-1]["plan_hash"]}
                    assert (await call("POST", f"/runs/{run}/approve", body)).status_code == 200
    return told


@pytest.mark.usefixtures("warehouse")
async def test_a_run_is_told_to_its_end_and_what_was_refused_is_sent_again(call: Client) -> None:
    sync = await call.made(name="live accounts", **ACCOUNTS)
    run = await call.started(sync)
    end = (await followed(call, run))[-1]
    assert (end["status"], end["rows_read"], end["rows_written"], end["rows_failed"]) == ("succeeded", 12, 10, 2)
    assert end["started_at"] <= end["finished_at"]
    [listed] = (await call.got(f"/runs?sync_id={sync}"))["data"]
    assert (await call.got(f"/runs/{run}"))["data"]["attributes"].items() >= listed["attributes"].items()
    assert end.items() >= listed["attributes"].items()
    assert (await call.got(f"/runs?sync_id={sync}&status=succeeded"))["data"][0]["id"] == run

    entries = (await call.got(f"/dlq?sync_id={sync}"))["data"]
    assert {each["attributes"]["run_id"] for each in entries} == {run}
    assert {each["attributes"]["record_keys"]["account_id"] for each in entries} == {"A-0000", "A-0001"}
    assert (await call.got(f"/dlq/stats?sync_id={sync}"))["data"]["attributes"]["open_count"] == 2

    fixed = [*MAPPINGS[:2], {"source": "'AT'", "destination": "country"}]
    assert (await call("PUT", f"/syncs/{sync}", {"fieldMappings": fixed})).status_code == 200
    body = {"entryIds": [each["id"] for each in entries], "resolution": "fixed_upstream", "replay": True}
    resolved = (await call("POST", "/dlq/resolve", body)).json()["data"]["attributes"]
    assert (await followed(call, resolved["replay_run_id"]))[-1]["status"] == "succeeded"
    assert (await call.got(f"/dlq/stats?sync_id={sync}"))["data"]["attributes"].items() >= {
        "open_count": 0,
        "resolved_count": 2,
    }.items()


@pytest.mark.usefixtures("warehouse")
async def test_a_run_that_a_guard_holds_goes_on_once_its_plan_is_approved(call: Client) -> None:
    sync = await call.made(name="held accounts", **ACCOUNTS)
    call.rest.namespace.patch(
        "reverseetlsync",
        call.object("reverseetlsync", sync)["metadata"]["name"],
        {"spec": {"guards": {"maxCreates": 3}}},
    )
    planned = (await call("POST", "/sync/plan", {"syncId": sync})).json()["data"]["id"]
    assert (await followed(call, planned))[-1]["status"] == "succeeded"
    assert (await call.got(f"/runs/{planned}/plan"))["counts"]["created"] == 12

    run = await call.started(sync)
    statuses = [each["status"] for each in await followed(call, run)]
    assert statuses.index("awaiting_approval") < statuses.index("succeeded")
    log = await call("GET", f"/runs/{run}/logs?tail=5")
    assert (log.status_code, log.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert 0 < len(log.text.splitlines()) <= 5


@pytest.mark.usefixtures("warehouse")
async def test_a_destination_is_looked_at_when_somebody_asks_and_may(call: Client) -> None:
    await call.got("/objects?destination_id=conn_crm&refresh=true")
    found = {each["attributes"]["name"]: each["attributes"] for each in (await call.got("/destinations"))["data"]}
    assert found["crm"]["status"] == "connected"
    async with call.rest.as_("operator") as http:
        answer = await Client(http, call.rest)("GET", "/objects?destination_id=conn_crm&refresh=true")
    assert refusal(answer)[:2] == (403, "forbidden")


async def test_a_sync_that_git_keeps_can_be_run_but_not_changed(call: Client) -> None:
    namespace = call.rest.namespace.name
    spec = {
        "modelRef": {"name": "active-accounts"},
        "destinationRef": {"name": "sf-prod"},
        "object": "Account",
        "mappings": [{"source": "id", "destination": "Id", "key": True}],
    }
    kept = object_of("ReverseETLSync", "kept", spec)
    kept["metadata"]["annotations"] = {ARGO: f"growth:reverseetl.io/ReverseETLSync:{namespace}/kept"}
    call.rest.namespace.apply(kept)
    id = type_id("retl_sync", call.rest.namespace.get("reverseetlsync", "kept")["metadata"]["uid"])
    for method, path, body in (
        ("PUT", f"/syncs/{id}", {"objectName": "Contact"}),
        ("POST", "/sync/toggle", {"syncId": id, "enabled": False}),
        ("DELETE", f"/syncs/{id}", None),
    ):
        answer = await call(method, path, body)
        assert refusal(answer)[:2] == (409, "managed-by-gitops"), path
        assert answer.json()["managed_by"] == {"tool": "Argo CD", "application": "growth"}
        assert ("patch" in answer.json()) == (method != "DELETE")
    assert (await call("PUT", f"/syncs/{id}", {"objectName": "Account"})).status_code == 200
    assert (await call("POST", "/sync/toggle", {"syncId": id, "enabled": True})).status_code == 200
    await call.started(id)
