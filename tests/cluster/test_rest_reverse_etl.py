"""/api/reverse-etl on a real API server: every published example, and what is beyond them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml

from retl.resources.ids import type_id
from retl.resources.run import RunCounts
from retl.resources.sync import ReverseETLSyncSpec
from retl.rest.reverse_etl.router import PREFIXES
from retl.runspec.catalog import Catalog, CatalogField, CatalogObject
from retl.runspec.result import RunResult
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.catalogs import Whose
from retl.state.store import ClaimRequest, Commit, NewDeadLetter
from tests.cluster.objects import object_of
from tests.cluster.rest_api import Rest, rest  # noqa: F401 - fixture
from tests.cluster.reverse_etl import (
    AT,
    CHANGED,
    CONN_ID,
    ENTRY,
    ENTRY_ID,
    EXAMPLE,
    FLAG,
    LIST,
    LISTED,
    RUN,
    RUN_ID,
    RUN_WHOLE,
    SQL,
    STARTED,
    STATISTICS,
    SYNC_ID,
    TEXT,
    WHOLE,
    Client,
    attributes,
    refusal,
)

SCRIPT = Path(__file__).parents[2] / "examples" / "rest" / "reverse-etl.sh"


@pytest.fixture
async def call(rest: Rest) -> AsyncIterator[Client]:  # noqa: F811 - the fixture
    async with rest.as_("admin") as http:
        yield Client(http, rest)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_published_examples_work_as_published(call: Client, prefix: str) -> None:
    call = Client(call.http, call.rest, prefix)
    answer = await call("POST", "/syncs", EXAMPLE)
    assert answer.status_code == 201, answer.text
    created = answer.json()
    made = attributes(created["data"], "reverse_etl_sync", WHOLE, SYNC_ID)
    id = created["data"]["id"]
    assert answer.headers["Location"] == f"{prefix}/syncs/{id}"
    wanted = {"name": "name", "sourceQuery": "source_query", "objectName": "object_name", "syncMode": "sync_mode"}
    assert {sent: made[shown] for sent, shown in wanted.items()} == {sent: EXAMPLE[sent] for sent in wanted}
    assert (made["field_mappings"], made["schedule"]) == (EXAMPLE["fieldMappings"], EXAMPLE["schedule"])
    assert made["enabled"] is True
    assert await call.got(f"/syncs/{id}") == created

    listed = await call.got("/syncs")
    assert listed["meta"] == {"page": {"limit": 50, "cursor": None}}
    shown = next(each for each in listed["data"] if each["id"] == id)
    assert made.items() >= attributes(shown, "reverse_etl_sync", LISTED, SYNC_ID).items()

    schedule = {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"}
    answer = await call("PUT", f"/syncs/{id}", {"schedule": schedule})
    assert answer.status_code == 200, answer.text
    changed = attributes(answer.json()["data"], "reverse_etl_sync", CHANGED, SYNC_ID)
    assert changed == {name: made[name] for name in CHANGED} | {
        "schedule": schedule,
        "updated_at": changed["updated_at"],
    }

    answer = await call("POST", "/sync/run", {"syncId": id})
    assert answer.status_code == 202, answer.text
    run = answer.json()["data"]
    assert attributes(run, "reverse_etl_run", STARTED, RUN_ID).items() >= {
        ("sync_id", id),
        ("status", "queued"),
        ("full_refresh", False),
    }
    assert answer.headers["Location"] == f"{prefix}/runs/{run['id']}"

    runs = await call.got(f"/runs?sync_id={id}&status=queued")
    assert [each["id"] for each in runs["data"]] == [run["id"]]
    attributes(runs["data"][0], "reverse_etl_run", RUN, RUN_ID)

    answer = await call("POST", "/sync/toggle", {"syncId": id, "enabled": False})
    assert answer.status_code == 200, answer.text
    toggled = attributes(answer.json()["data"], "reverse_etl_sync", {"enabled": FLAG, "updated_at": AT}, SYNC_ID)
    assert toggled["enabled"] is False
    assert call.object("reverseetlsync", id)["spec"]["state"] == "Paused"

    answer = await call("DELETE", f"/syncs/{id}")
    assert answer.status_code == 200, answer.text
    assert attributes(answer.json()["data"], "reverse_etl_sync", {"deleted": FLAG, "deleted_at": AT}, SYNC_ID)[
        "deleted"
    ]
    assert refusal(await call("GET", f"/syncs/{id}"))[:2] == (404, "not-found")


async def test_destinations_tell_their_objects_and_fields_once_a_check_has_found_them(call: Client) -> None:
    fields = [CatalogField(name="Name", type="string", required=True), CatalogField(name="Id", read_only=True)]
    catalog = Catalog(objects=[CatalogObject(name="Account", fields=fields), CatalogObject(name="Contact")])
    destination = call.rest.namespace.get("syncdestination", "sf-prod")
    uid = destination["metadata"]["uid"]
    id = type_id("conn", uid)
    assert await call.got(f"/objects?destination_id={id}") == {"data": []}
    async with call.rest.store() as store:
        await store.put_catalog(Whose(call.rest.namespace.name, uid, "SyncDestination", "sf-prod"), catalog)
    moment = "2026-01-15T15:00:00Z"
    check = {"number": 1, "asked": "x", "succeeded": True, "finishedAt": moment, "catalog": "abc"}
    call.set_status(
        *("syncdestination", "sf-prod"),
        conditions=[
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": moment}
        ],
        lastCheck=check | {"objects": 2},
    )
    call.set_status("syncdestination", "http", lastCheck=check | {"objects": 0})
    call.rest.cluster.kubectl(
        *("annotate", "syncdestination", "sf-prod", "-n", call.rest.namespace.name),
        "reverseetl.io/display-name=Salesforce Production",
    )

    shown = {"name": TEXT, "connector": TEXT, "status": TEXT, "objects_discoverable": FLAG}
    found = {
        each["id"]: attributes(each, "reverse_etl_destination", shown, CONN_ID)
        for each in (await call.got("/destinations"))["data"]
    }
    assert found[id] == {
        "name": "Salesforce Production",
        "connector": "http",
        "status": "connected",
        "objects_discoverable": True,
    }
    [of_nothing] = [each for uid, each in found.items() if uid != id]
    assert (of_nothing["status"], of_nothing["objects_discoverable"]) == ("pending", False)
    assert (await call.got("/destinations?connector=salesforce")) == {"data": []}
    assert len((await call.got("/destinations?connector=http"))["data"]) == 2

    shown = {"label": TEXT, "api_name": TEXT, "supports_upsert": FLAG, "writable": FLAG}
    for named in (id, uid, "sf-prod", "conn_sf_prod"):
        objects = (await call.got(f"/objects?destination_id={named}"))["data"]
        assert [attributes(each, "destination_object", shown, TEXT)["api_name"] for each in objects] == [
            "Account",
            "Contact",
        ]
    assert [each["id"] for each in (await call.got(f"/objects?destination_id={id}&search=cONT"))["data"]] == ["Contact"]

    shown = {"label": TEXT, "data_type": TEXT, "required": FLAG, "updateable": FLAG, "external_id": FLAG}
    found_fields = (await call.got(f"/fields?destination_id={id}&object_name=Account"))["data"]
    assert [attributes(each, "destination_field", shown, TEXT) for each in found_fields] == [
        {"label": "Name", "data_type": "string", "required": True, "updateable": True, "external_id": False},
        {"label": "Id", "data_type": "unknown", "required": False, "updateable": False, "external_id": False},
    ]
    assert refusal(await call("GET", f"/fields?destination_id={id}&object_name=Lead"))[:2] == (404, "not-found")

    sources = (await call.got("/sources"))["data"]
    shown = {"name": TEXT, "connector": TEXT, "status": TEXT, "default": FLAG}
    assert [attributes(each, "reverse_etl_source", shown, CONN_ID)["default"] for each in sources] == [True]
    models = (await call.got("/models"))["data"]
    shown = {"name": TEXT, "source_name": TEXT, "status": TEXT}
    assert [attributes(each, "reverse_etl_model", shown, TEXT)["source_name"] for each in models] == ["warehouse"]
    assert [each["id"] for each in models] == ["model:active-accounts"]


async def seed(call: Client, sync: str, *codes: str) -> UUID:
    """A run of the history with a dead letter of each code; its uid."""
    metadata = call.object("reverseetlsync", sync)["metadata"]
    uid = uuid4()
    async with call.rest.store() as store:
        identity = SyncIdentity(namespace=call.rest.namespace.name, name=metadata["name"], uid=metadata["uid"])
        run = RunIdentity(name=f"{metadata['name']}-{uid.hex[:6]}", uid=str(uid))
        claim = await store.claim(ClaimRequest(run, identity, "baseline", "pod"))
        keys = [os.urandom(16) for _ in codes]
        letters = [
            NewDeadLetter(
                key, bytes(16), code, "INVALID_EMAIL: bad format", {"External_Id__c": "acc_88291"}, attempts=5
            )
            for key, code in zip(keys, codes, strict=True)
        ]
        counts = RunCounts(read=12840, created=12700, updated=95, rejected=45)
        await store.commit(claim, Commit(1, counts, dead_letters=letters))
        await store.finish(claim, RunResult(run=run.name, sync=metadata["name"], status="Succeeded", counts=counts))
    return uid


async def test_dead_letters_are_listed_counted_and_resolved_as_published(call: Client) -> None:
    sync = await call.made(name="letters")
    run = await seed(call, sync, "DESTINATION_VALIDATION", "DESTINATION_VALIDATION", "RATE_LIMIT")
    await seed(call, await call.made(name="other letters"), "UNKNOWN")

    listed = await call.got(f"/dlq?sync_id={sync}&limit=2")
    assert listed["meta"]["page"]["limit"] == 2
    rest_of_it = await call.got(f"/dlq?sync_id={sync}&limit=2&cursor={listed['meta']['page']['cursor']}")
    assert rest_of_it["meta"] == {"page": {"limit": 2, "cursor": None}}
    entries = listed["data"] + rest_of_it["data"]
    assert len({each["id"] for each in entries}) == 3
    for each in entries:
        found = attributes(each, "reverse_etl_dlq_entry", ENTRY, ENTRY_ID)
        assert (found["sync_id"], found["run_id"]) == (sync, type_id("retl_run", run))
        assert (found["record_keys"], found["attempts"]) == ({"External_Id__c": "acc_88291"}, 5)

    of_all = attributes((await call.got("/dlq/stats"))["data"], "reverse_etl_dlq_stats", STATISTICS)
    assert (of_all["open_count"], of_all["by_error_code"]["UNKNOWN"]) == (4, 1)
    of_one = (await call.got(f"/dlq/stats?sync_id={sync}"))["data"]["attributes"]
    assert of_one.items() >= {"open_count": 3, "resolved_count": 0}.items()
    assert of_one["by_error_code"] == {"DESTINATION_VALIDATION": 2, "RATE_LIMIT": 1}
    since = (await call.got("/dlq/stats?since=2999-01-01T00:00:00Z"))["data"]["attributes"]
    assert (since["open_count"], since["by_error_code"]) == (0, {})

    first, second = entries[0]["id"], entries[1]["id"]
    answer = await call("POST", "/dlq/resolve", {"entryIds": [first, first], "resolution": "fixed_upstream"})
    assert answer.status_code == 200, answer.text
    shown = {"resolved_ids": LIST, "replay_run_id": type(None), "resolved_at": AT}
    done = attributes(answer.json()["data"], "reverse_etl_dlq_resolve", shown)
    assert done["resolved_ids"] == [first]
    history = (await call.got("/dlq?resolved=true"))["data"]
    assert [(each["id"], each["attributes"]["resolved"]) for each in history] == [(first, True)]
    assert (await call.got(f"/dlq/stats?sync_id={sync}"))["data"]["attributes"]["resolved_count"] == 1

    again = {"entryIds": [second], "resolution": "manual_push", "replay": True}
    answer = await call("POST", "/dlq/resolve", again, Idempotency_Key="again")
    done = attributes(answer.json()["data"], "reverse_etl_dlq_resolve", shown | {"replay_run_id": RUN_ID})
    replay = call.object("syncrun", done["replay_run_id"])["spec"]
    assert (replay["mode"], len(replay["replay"]["entries"])) == ("Replay", 1)
    assert "Idempotency-Replayed" not in answer.headers
    repeated = await call("POST", "/dlq/resolve", again, Idempotency_Key="again")
    assert repeated.json()["data"]["attributes"]["replay_run_id"] == done["replay_run_id"]
    assert repeated.headers["Idempotency-Replayed"] == "true"
    for another in ({**again, "entryIds": [first]}, {**again, "replay": False}):
        reused = refusal(await call("POST", "/dlq/resolve", another, Idempotency_Key="again"))
        assert reused[:2] == (422, "idempotency-key-reused")

    unknown = {"entryIds": [second, second, type_id("retl_dlq", uuid4())], "resolution": "skipped"}
    assert refusal(await call("POST", "/dlq/resolve", unknown)) == (422, "invalid-input", ["/entryIds/2"])


async def test_many_syncs_are_run_at_once_and_each_that_cannot_be_is_told(call: Client) -> None:
    first, second, draft = [await call.made(name=f"batch {n}") for n in range(3)]
    call.rest.namespace.patch(
        "reverseetlsync", call.object("reverseetlsync", draft)["metadata"]["name"], {"spec": {"state": "Draft"}}
    )
    gone = type_id("retl_sync", uuid4())
    answer = await call("POST", "/sync/run", {"syncIds": [second, draft, first, second, gone], "fullRefresh": True})
    assert answer.status_code == 202, answer.text
    said = answer.json()
    runs = [attributes(each, "reverse_etl_run", STARTED, RUN_ID) for each in said["data"]]
    assert [(each["sync_id"], each["full_refresh"]) for each in runs] == [(second, True), (first, True)]
    wrong = [(each["sync_id"], each["status"], each["type"].rpartition("/")[2]) for each in said["errors"]]
    assert wrong == [(draft, 409, "sync-is-draft"), (gone, 404, "not-found")]
    assert call.object("syncrun", said["data"][0]["id"])["spec"]["fullRefresh"] is True

    answer = await call("POST", "/sync/run", {"syncIds": [draft, gone]})
    assert refusal(answer)[:2] == (422, "no-run-started")
    assert [each["sync_id"] for each in answer.json()["errors"]] == [draft, gone]
    answer = await call("POST", "/sync/run", {"syncIds": [first]})
    assert answer.json().keys() == {"data"}
    assert len(answer.json()["data"]) == 1


@pytest.mark.parametrize(
    ("query", "row_set"),
    [
        ("model:active-accounts", {"modelRef": {"name": "active-accounts"}}),
        (" ref('active-accounts') ", {"modelRef": {"name": "active-accounts"}}),
        ('ref("active-accounts")', {"modelRef": {"name": "active-accounts"}}),
        (
            "with a as (select 1 as account_id) select * from a",
            {
                "query": {
                    "sourceRef": {"name": "warehouse"},
                    "sql": "with a as (select 1 as account_id) select * from a",
                },
                "primaryKey": ["account_id"],
            },
        ),
    ],
)
async def test_a_source_query_is_sql_or_the_name_of_a_model(call: Client, query: str, row_set: dict[str, Any]) -> None:
    spec = call.object("reverseetlsync", await call.made(name="row set", sourceQuery=query))["spec"]
    assert {name: spec[name] for name in ("modelRef", "query", "primaryKey") if spec.get(name)} == row_set


async def test_lists_are_filtered_and_paged_without_loss(call: Client) -> None:
    http_id = type_id("conn", call.rest.namespace.get("syncdestination", "http")["metadata"]["uid"])
    ids = {await call.made(name=f"page {n}", destinationId=http_id, enabled=n < 3) for n in range(5)}
    for named in ("http", "conn_http", http_id):
        assert {each["id"] for each in (await call.got(f"/syncs?destination_id={named}"))["data"]} == ids
    on = (await call.got(f"/syncs?destination_id={http_id}&enabled=true"))["data"]
    off = (await call.got(f"/syncs?destination_id={http_id}&enabled=false"))["data"]
    assert (len(on), len(off)) == (3, 2)
    assert all(each["attributes"]["enabled"] for each in on)
    assert await call.got(f"/syncs?destination_id={type_id('conn', uuid4())}") == {
        "data": [],
        "meta": {"page": {"limit": 50, "cursor": None}},
    }
    seen: list[str] = []
    cursor: str | None = ""
    for _ in range(4):
        part = await call.got(f"/syncs?destination_id={http_id}&limit=2" + (f"&cursor={cursor}" if cursor else ""))
        seen += [each["id"] for each in part["data"]]
        if (cursor := part["meta"]["page"]["cursor"]) is None:
            break
    assert (len(seen), set(seen)) == (5, ids)

    part = await call.got("/syncs?limit=1")
    cursor = part["meta"]["page"]["cursor"]
    for path in (f"/syncs?limit=1&enabled=true&cursor={cursor}", f"/runs?cursor={cursor}", f"/syncs?cursor=x{cursor}"):
        assert refusal(await call("GET", path)) == (422, "invalid-cursor", ["cursor"])


async def test_runs_of_the_cluster_and_of_the_history_are_one_list(call: Client) -> None:
    sync = await call.made(name="runs")
    old = type_id("retl_run", await seed(call, sync))
    states = {"Running": "running", "AwaitingApproval": "awaiting_approval", "Failed": "failed"}
    runs: dict[str, str] = {}
    for phase, status in states.items():
        id = await call.started(sync)
        name = call.object("syncrun", id)["metadata"]["name"]
        call.set_status("syncrun", name, phase=phase, startedAt="2026-01-15T15:00:00Z", planHash="abc")
        runs[status] = id
    listed = (await call.got(f"/runs?sync_id={sync}"))["data"]
    assert {each["id"]: each["attributes"]["status"] for each in listed} == {
        old: "succeeded",
        **{id: status for status, id in runs.items()},
    }
    for status, id in (runs | {"succeeded": old}).items():
        assert [each["id"] for each in (await call.got(f"/runs?sync_id={sync}&status={status}"))["data"]] == [id]
        whole = (await call.got(f"/runs/{id}"))["data"]
        fields = RUN_WHOLE | ({"plan_hash": type(None)} if id == old else {})
        assert attributes(whole, "reverse_etl_run", fields, RUN_ID)["status"] == status
    counted = next(each["attributes"] for each in listed if each["id"] == old)
    assert [counted[name] for name in ("rows_read", "rows_written", "rows_failed")] == [12840, 12795, 45]

    assert (await call("DELETE", f"/syncs/{sync}")).status_code == 200
    assert (await call.got(f"/runs/{old}"))["data"]["attributes"]["sync_id"] == sync


async def test_a_run_is_planned_approved_followed_and_cancelled(call: Client) -> None:
    sync = await call.made(name="held")
    planned = await call("POST", "/sync/plan", {"syncId": sync})
    assert planned.status_code == 202, planned.text
    attributes(planned.json()["data"], "reverse_etl_run", STARTED, RUN_ID)
    plan = planned.json()["data"]["id"]
    assert call.object("syncrun", plan)["spec"]["mode"] == "Plan"
    assert refusal(await call("GET", f"/runs/{plan}/plan"))[:2] == (404, "not-found")
    assert refusal(await call("GET", f"/runs/{plan}/logs"))[:2] == (404, "not-found")

    run = await call.started(sync)
    name = call.object("syncrun", run)["metadata"]["name"]
    assert refusal(await call("POST", f"/runs/{run}/approve", {"planHash": "abc"}))[:2] == (
        409,
        "not-awaiting-approval",
    )
    call.set_status("syncrun", name, phase="AwaitingApproval", planHash="abc")
    assert refusal(await call("POST", f"/runs/{run}/approve", {"planHash": "abd"}))[:2] == (409, "plan-changed")
    approved = await call("POST", f"/runs/{run}/approve", {"planHash": "abc"})
    assert approved.status_code == 200, approved.text
    assert attributes(approved.json()["data"], "reverse_etl_run", RUN_WHOLE, RUN_ID)["plan_hash"] == "abc"
    assert call.object("syncrun", run)["spec"]["approval"] == {"planHash": "abc"}
    call.set_status("syncrun", name, phase="Running")
    again = await call("POST", f"/runs/{run}/approve", {"planHash": "abc"})
    assert (again.status_code, again.json()["data"]["attributes"]["status"]) == (200, "running")
    another = await call("POST", f"/runs/{run}/approve", {"planHash": "abd"})
    assert refusal(another)[:2] == (409, "not-awaiting-approval")

    for _ in range(2):
        assert (await call("POST", f"/runs/{run}/cancel")).status_code == 200
    assert call.object("syncrun", run)["spec"]["cancel"] is True
    call.set_status("syncrun", name, phase="Cancelled")
    assert (await call("POST", f"/runs/{run}/cancel")).json()["data"]["attributes"]["status"] == "cancelled"
    events = await call("GET", f"/runs/{run}/events")
    assert events.headers["Content-Type"].startswith("text/event-stream")
    told = [json.loads(line.removeprefix("data: ")) for line in events.text.splitlines() if line.startswith("data: ")]
    assert {attributes(each, "reverse_etl_run", RUN_WHOLE, RUN_ID)["status"] for each in told} == {"cancelled"}
    assert "event: end" in events.text


async def test_a_write_can_be_tried_and_repeated_and_made_to_depend_on_what_was_read(call: Client) -> None:
    body = EXAMPLE | {"name": "tried"}
    tried = await call("POST", "/syncs?dryRun=true", body)
    assert (tried.status_code, tried.headers["Retl-Dry-Run"]) == (201, "true")
    attributes(tried.json()["data"], "reverse_etl_sync", WHOLE, SYNC_ID)
    assert refusal(await call("GET", f"/syncs/{tried.json()['data']['id']}"))[0] == 404

    key = str(uuid4())
    first, again = [await call("POST", "/syncs", body, Idempotency_Key=key) for _ in range(2)]
    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, first.json(), "true")
    written = await call("POST", "/syncs?format=yaml", body, Idempotency_Key=key)
    assert written.headers["Content-Type"].startswith("application/yaml")
    for name in ("Location", "ETag", "Idempotency-Replayed"):
        assert written.headers[name] == again.headers[name]
    assert refusal(await call("POST", "/syncs", EXAMPLE, Idempotency_Key=key))[:2] == (422, "idempotency-key-reused")
    id, tag = first.json()["data"]["id"], first.headers["ETag"]
    run = {"syncIds": [id]}
    runs = [await call("POST", "/sync/run", run, Idempotency_Key=key) for _ in range(2)]
    assert runs[0].json() == runs[1].json()
    assert [each.headers.get("Idempotency-Replayed") for each in runs] == [None, "true"]
    other = await call.made(name="another")
    old, new = (Client(call.http, call.rest, prefix) for prefix in PREFIXES)
    for client, another in ((old, {"syncIds": [other]}), (new, {"syncId": other}), (new, {"syncIds": [id, other]})):
        reused = refusal(await client("POST", "/sync/run", another, Idempotency_Key=key))
        assert reused[:2] == (422, "idempotency-key-reused")
    assert (await call.got(f"/runs?sync_id={other}"))["data"] == []

    path = f"/syncs/{id}"
    assert (await call("GET", path, If_None_Match=tag)).status_code == 304
    same = await call("PUT", path, {"name": "tried", "enabled": True, "sourceQuery": SQL}, If_Match=tag)
    assert (same.status_code, same.headers["ETag"]) == (200, tag)
    changed = await call("PUT", path, {"name": "changed"}, If_Match=tag)
    assert (changed.status_code, changed.json()["data"]["attributes"]["name"]) == (200, "changed")
    for method, at, sent in (
        ("PUT", path, {"name": "late"}),
        ("DELETE", path, None),
        ("POST", "/sync/toggle", {"syncId": id, "enabled": False}),
    ):
        assert refusal(await call(method, at, sent, If_Match=tag))[:2] == (412, "precondition-failed")
    assert (await call("DELETE", f"{path}?dryRun=true")).status_code == 200
    assert (await call.got(path))["data"]["attributes"]["name"] == "changed"


async def test_a_sync_can_be_had_as_a_manifest_to_commit(call: Client) -> None:
    id = await call.made(name="To commit", schedule=None, enabled=False)
    answer = await call("GET", f"/syncs/{id}?format=yaml")
    assert answer.headers["Content-Type"].startswith("application/yaml")
    manifest = yaml.safe_load(answer.text)
    assert manifest["metadata"] == {"name": "to-commit", "namespace": call.rest.namespace.name}
    assert manifest["spec"] == {
        "displayName": "To commit",
        "query": {"sourceRef": {"name": "warehouse"}, "sql": SQL},
        "destinationRef": {"name": "sf-prod"},
        "object": "Account",
        "primaryKey": ["account_id"],
        "mappings": EXAMPLE["fieldMappings"],
        "state": "Paused",
    }
    listed = await call("GET", "/syncs?limit=1", Accept="application/yaml")
    assert len(list(yaml.safe_load_all(listed.text))) == 1
    link = listed.headers["Link"].partition(">")[0].removeprefix("<")
    following = await call.http.get(link, headers={"Accept": "application/yaml"})
    assert following.status_code == 200
    assert following.text != listed.text
    planned = await call("PUT", f"/syncs/{id}?dryRun=true&format=yaml", {"enabled": True})
    assert "state" not in yaml.safe_load(planned.text)["spec"]
    assert (await call.got(f"/syncs/{id}"))["data"]["attributes"]["enabled"] is False


def spec_of(name: str, call: Client) -> dict[str, Any]:
    """The spec of a sync with all its defaults."""
    spec = call.rest.namespace.get("reverseetlsync", name)["spec"]
    return ReverseETLSyncSpec.model_validate(spec, by_alias=True, by_name=False).model_dump(mode="json")


async def test_a_sync_by_kubectl_and_by_each_dialect_is_the_same_resource_and_a_change_by_one_is_seen_by_all(
    call: Client,
) -> None:
    workspace = f"/api/v1/workspaces/{call.rest.namespace.name}"
    mapped: list[dict[str, Any]] = [
        {"source": "id", "destination": "Id", "key": True},
        {"source": "email", "destination": "Email"},
    ]
    call.rest.namespace.apply(
        object_of(
            "ReverseETLSync",
            "by-kubectl",
            {
                "displayName": "Accounts",
                "modelRef": {"name": "active-accounts"},
                "destinationRef": {"name": "sf-prod"},
                "object": "Account",
                "mappings": mapped,
                "schedule": {"cron": "0 */6 * * *"},
            },
        )
    )
    first = {
        "name": "Accounts",
        "model_id": call.rest.namespace.get("syncmodel", "active-accounts")["metadata"]["uid"],
        "destination_id": call.rest.namespace.get("syncdestination", "sf-prod")["metadata"]["uid"],
        "field_mapping": [
            {"source_column": each["source"], "destination_field": each["destination"]} for each in mapped
        ],
        "sync_mode": "upsert",
        "primary_key": "id",
        "schedule": "0 */6 * * *",
        "config": {"object": "Account"},
    }
    second = {
        "name": "Accounts",
        "sourceQuery": "model:active-accounts",
        "destinationId": "sf-prod",
        "objectName": "Account",
        "fieldMappings": mapped,
        "syncMode": "upsert",
        "schedule": {"type": "cron", "expression": "0 */6 * * *"},
    }
    answers = [await call.http.post(f"{workspace}/syncs", json=first), await call("POST", "/syncs", second)]
    assert [answer.status_code for answer in answers] == [201, 201]
    uids = [str(answers[0].json()["id"]), answers[1].json()["data"]["id"]]
    one, two = (call.object("reverseetlsync", uid if "_" in uid else type_id("retl_sync", uid)) for uid in uids)
    by_kubectl = spec_of("by-kubectl", call)
    assert spec_of(one["metadata"]["name"], call) == by_kubectl
    assert spec_of(two["metadata"]["name"], call) == by_kubectl

    uid = call.rest.namespace.get("reverseetlsync", "by-kubectl")["metadata"]["uid"]
    by_first, by_second = f"{workspace}/syncs/{uid}", f"/syncs/{type_id('retl_sync', uid)}"

    async def seen() -> list[tuple[str, str, bool]]:
        """Name, schedule and state as kubectl, the first and the second dialect show them."""
        spec = call.rest.namespace.get("reverseetlsync", "by-kubectl")["spec"]
        shown = (await call.http.get(by_first)).json()
        other = (await call.got(by_second))["data"]["attributes"]
        return [
            (spec["displayName"], spec["schedule"]["cron"], spec.get("state", "Active") == "Active"),
            (shown["name"], shown["schedule"], shown["status"] == "active"),
            (other["name"], other["schedule"]["expression"], other["enabled"]),
        ]

    assert await seen() == [("Accounts", "0 */6 * * *", True)] * 3
    call.rest.namespace.patch("reverseetlsync", "by-kubectl", {"spec": {"displayName": "By kubectl"}})
    assert await seen() == [("By kubectl", "0 */6 * * *", True)] * 3
    assert (await call.http.put(by_first, json={"schedule": "@daily"})).status_code == 200
    assert await seen() == [("By kubectl", "@daily", True)] * 3
    assert (await call("POST", "/sync/toggle", {"syncId": uid, "enabled": False})).status_code == 200
    assert await seen() == [("By kubectl", "@daily", False)] * 3
    run = await call.started(uid)
    runs = (await call.http.get(f"{by_first}/runs")).json()
    assert [type_id("retl_run", each["id"]) for each in runs] == [run]
    assert (await call.http.delete(by_first)).status_code == 200
    assert refusal(await call("GET", by_second))[0] == 404


async def test_the_example_for_the_shell_does_what_it_says(call: Client) -> None:
    token = call.rest.tokens["operator"]
    environment = {"API": call.rest.url, "TOKEN": token}
    done = await asyncio.to_thread(
        subprocess.run, ["bash", str(SCRIPT)], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "deleted: true"
    assert token not in done.stdout + done.stderr
