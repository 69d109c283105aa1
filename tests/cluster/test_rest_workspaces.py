"""/api/v1/workspaces on a real API server: every published example, what is beyond them, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retl.rest.callers.caller import NOBODY
from tests.cluster.objects import object_of
from tests.cluster.rest_api import Rest, rest  # noqa: F401 - fixture
from tests.unit.rest.specs import SPECS

SCRIPT = Path(__file__).parents[2] / "examples" / "rest" / "workspaces.sh"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MODES, STATUSES = ("upsert", "insert", "update", "mirror"), ("draft", "active", "paused", "error")
RUN_STATUSES = ("pending", "running", "completed", "failed", "cancelled")


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and str(UUID(value)) == value


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    return type(value) is int


def is_moment(value: Any) -> bool:
    return isinstance(value, str) and MOMENT.fullmatch(value) is not None


def is_null_or_moment(value: Any) -> bool:
    return value is None or is_moment(value)


def is_null_or_uuid(value: Any) -> bool:
    return value is None or is_uuid(value)


def is_mapping(value: Any) -> bool:
    return all(
        set(entry) - {"type_cast"} == {"source_column", "destination_field"} and all(map(is_text, entry.values()))
        for entry in value
    )


SYNC = {
    "id": is_uuid,
    "workspace_id": is_uuid,
    "model_id": is_uuid,
    "destination_id": is_uuid,
    "name": is_text,
    "description": is_text,
    "field_mapping": is_mapping,
    "sync_mode": MODES.__contains__,
    "schedule": is_text,
    "config": lambda value: isinstance(value, dict),
    "primary_key": is_text,
    "status": STATUSES.__contains__,
    "status_error": is_text,
    "created_by": is_uuid,
    "created_at": is_moment,
    "updated_at": is_moment,
    "last_synced_at": is_null_or_moment,
    "last_run_id": is_null_or_uuid,
}
"""The published fields of a sync, in the published order, and of what type each is."""
STARTED = {
    "id": is_uuid,
    "sync_id": is_uuid,
    "workspace_id": is_uuid,
    "status": RUN_STATUSES.__contains__,
    "started_at": is_moment,
    "rows_synced": is_number,
    "rows_failed": is_number,
    "triggered_by": is_uuid,
    "created_at": is_moment,
}
RUN = STARTED | {"completed_at": is_null_or_moment, "error_message": is_text}


def check(shown: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """All of these fields and no others, each of its type."""
    assert shown.keys() == fields.keys()
    assert [name for name, right in fields.items() if not right(shown[name])] == []


class Client:
    """A client of one workspace, as the published examples send requests."""

    def __init__(self, http: httpx.AsyncClient, ground: Rest, ids: dict[str, str]) -> None:
        self.rest = ground
        self.root = f"/api/v1/workspaces/{ground.uid}"
        self.ids = ids
        self._http = http
        self._headers = {"X-Workspace-ID": ground.uid}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http.request(method, f"{self.root}{path}", json=body, headers=named)

    async def made(self, **fields: Any) -> dict[str, Any]:
        """A new sync."""
        answer = await self("POST", "/syncs", self.example | fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    @property
    def example(self) -> dict[str, Any]:
        """The published body of a new sync, with ids of this workspace."""
        return {
            "name": "Customers to Salesforce",
            "model_id": self.ids["active-accounts"],
            "destination_id": self.ids["sf-prod"],
            "field_mapping": [
                {"source_column": "email", "destination_field": "Email"},
                {"source_column": "first_name", "destination_field": "FirstName"},
            ],
            "sync_mode": "upsert",
            "primary_key": "customer_id",
            "schedule": "0 */6 * * *",
        }

    def object(self, sync: dict[str, Any]) -> dict[str, Any]:
        """The resource of a sync that the API shows."""
        found = self.rest.namespace.list("reverseetlsyncs")
        return next(each for each in found if each["metadata"]["uid"] == sync["id"])

    def run_object(self, run: dict[str, Any]) -> dict[str, Any]:
        return next(each for each in self.rest.namespace.list("syncruns") if each["metadata"]["uid"] == run["id"])


@pytest.fixture
async def call(rest: Rest) -> AsyncIterator[Client]:  # noqa: F811
    async with rest.as_("admin") as http:
        lists = [
            (await http.get(f"/api/v1/workspaces/{rest.uid}/{kind}")).json() for kind in ("models", "destinations")
        ]
        yield Client(http, rest, {each["name"]: each["id"] for found in lists for each in found})


async def test_the_published_examples_work_as_published(call: Client) -> None:
    created = await call("POST", "/syncs", call.example)
    assert created.status_code == 201
    sync = created.json()
    check(sync, SYNC)
    assert list(sync) == list(SYNC)
    assert sync.items() >= (call.example | {"status": "active", "status_error": "", "description": ""}).items()
    assert (sync["workspace_id"], sync["last_synced_at"], sync["last_run_id"]) == (call.rest.uid, None, None)
    path = f"/syncs/{sync['id']}"

    listed = await call("GET", "/syncs")
    assert (listed.status_code, [each for each in listed.json() if each["id"] == sync["id"]]) == (200, [sync])
    got = await call("GET", path)
    assert (got.status_code, got.json()) == (200, sync)

    changed = await call("PUT", path, {"schedule": "0 */12 * * *", "status": "paused"})
    assert changed.status_code == 200
    check(changed.json(), SYNC)
    assert _but(changed.json(), "updated_at") == _but(sync, "updated_at") | {
        "schedule": "0 */12 * * *",
        "status": "paused",
    }

    triggered = await call("POST", f"{path}/trigger")
    assert triggered.status_code == 201
    started = triggered.json()
    check(started, STARTED)
    assert started.items() >= {"sync_id": sync["id"], "status": "pending", "rows_synced": 0, "rows_failed": 0}.items()
    assert started["triggered_by"] == sync["created_by"]

    runs = await call("GET", f"{path}/runs")
    assert (runs.status_code, [each["id"] for each in runs.json()]) == (200, [started["id"]])
    check(runs.json()[0], RUN)
    run = await call("GET", f"{path}/runs/{started['id']}")
    assert (run.status_code, run.json()) == (200, started | {"completed_at": None, "error_message": ""})

    deleted = await call("DELETE", path)
    assert (deleted.status_code, deleted.json()) == (200, {"status": "deleted"})
    assert (await call("GET", path)).status_code == 404
    assert (await call("GET", f"{path}/runs")).status_code == 404


async def test_a_published_type_cast_is_kept(call: Client) -> None:
    mapping = [
        {"source_column": "email", "destination_field": "Email"},
        {"source_column": "revenue", "destination_field": "Annual_Revenue", "type_cast": "number"},
    ]
    assert (await call.made(field_mapping=mapping))["field_mapping"] == mapping


@pytest.mark.parametrize(
    ("phase", "status", "said"),
    [
        ("Running", "running", ""),
        ("AwaitingApproval", "pending", "AwaitingApproval: no such table"),
        ("Succeeded", "completed", ""),
        ("Failed", "failed", "SourceFailed: no such table"),
        ("Cancelled", "cancelled", ""),
    ],
)
async def test_a_run_has_the_published_status(call: Client, phase: str, status: str, said: str) -> None:
    sync = await call.made()
    run = (await call("POST", f"/syncs/{sync['id']}/trigger", {"full_refresh": True})).json()
    ended = phase in ("Succeeded", "Failed", "Cancelled")
    why = {
        "type": "Succeeded",
        "status": "True" if phase == "Succeeded" else "False",
        "reason": "SourceFailed",
        "message": "no such table",
        "lastTransitionTime": "2026-01-15T15:02:30Z",
    }
    _set_status(
        call,
        run,
        {
            "phase": phase,
            "startedAt": "2026-01-15T15:00:00Z",
            "counts": {"created": 5000, "updated": 420, "rejected": 2, "invalid": 1},
            "conditions": [why],
            **({"finishedAt": "2026-01-15T15:02:30Z"} if ended else {}),
        },
    )
    shown = (await call("GET", f"/syncs/{sync['id']}/runs/{run['id']}")).json()
    check(shown, RUN)
    assert shown.items() >= {"status": status, "rows_synced": 5420, "rows_failed": 3, "error_message": said}.items()
    assert shown["started_at"] == "2026-01-15T15:00:00Z"
    assert shown["completed_at"] == ("2026-01-15T15:02:30Z" if ended else None)


NEW_SCHEDULE = {"timeZone": "UTC", "catchUp": "Latest"}
"""What the API server writes beside the cron expression of a schedule that says nothing else."""
WHOLE = {
    "modelRef": {"name": "active-accounts"},
    "destinationRef": {"name": "http"},
    "object": "accounts",
    "mode": "mirror",
    "mappings": [
        {"destination": "id", "source": "id", "key": True},
        {"destination": "country", "expression": "upper(country)", "onlyIfEmpty": True},
        {"destination": "origin", "value": "it's us"},
        {"destination": "run", "metadata": "RunId"},
        {"destination": "email", "source": "email", "hash": {"normalize": "Email"}, "sensitive": True},
    ],
    "allColumns": {"exclude": ["secret"]},
    "schedule": {"cron": "@daily", "timeZone": "Europe/Vienna", "jitter": "5m"},
    "guards": {"maxDeletes": "5%"},
    "delivery": {"onUnknown": "Hold"},
}


async def test_a_sync_made_by_other_means_is_shown_and_kept_but_for_what_is_changed(call: Client) -> None:
    call.rest.namespace.apply(object_of("ReverseETLSync", "by-hand", WHOLE))
    before = call.rest.namespace.get("reverseetlsync", "by-hand")
    path = f"/syncs/{before['metadata']['uid']}"
    got = await call("GET", path)
    shown = got.json()
    check(shown, SYNC)
    assert (shown["name"], shown["created_by"], shown["primary_key"]) == ("by-hand", str(NOBODY), "id")
    assert [entry["source_column"] for entry in shown["field_mapping"]] == [
        "id",
        "upper(country)",
        "'it''s us'",
        "{{RunId}}",
        "email",
    ]
    assert shown["config"] == {
        "object": "accounts",
        "key": ["id"],
        "allColumns": {"exclude": ["secret"]},
        "delivery": {"onUnknown": "Hold"},
        "guards": {"maxDeletes": "5%"},
        "schedule": {"timeZone": "Europe/Vienna", "jitter": "5m"},
    }

    same = await call("PUT", path, shown)
    assert (same.status_code, same.json(), same.headers["ETag"]) == (200, shown, got.headers["ETag"])
    entries = [*shown["field_mapping"][:2], shown["field_mapping"][4] | {"source_column": "mail"}]
    changed = await call("PUT", path, shown | {"description": "by hand", "field_mapping": entries})
    assert changed.status_code == 200, changed.text
    after = call.rest.namespace.get("reverseetlsync", "by-hand")["spec"]
    old = before["spec"]["mappings"]
    assert after == before["spec"] | {
        "description": "by hand",
        "mappings": [*old[:2], old[4] | {"source": "mail"}],
    }


@settings(derandomize=True, max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs=st.lists(SPECS, min_size=12, max_size=12))
async def test_whatever_a_manifest_says_stays_when_all_that_is_shown_is_sent_back(
    call: Client, specs: list[dict[str, Any]]
) -> None:
    name = f"any-{uuid4()}"
    call.rest.namespace.apply(*(object_of("ReverseETLSync", f"{name}-{at}", spec) for at, spec in enumerate(specs)))
    made = [each for each in call.rest.namespace.list("reverseetlsyncs") if each["metadata"]["name"].startswith(name)]
    for each in made:
        path = f"/syncs/{each['metadata']['uid']}"
        shown = (await call("GET", path)).json()
        same = await call("PUT", path, shown)
        assert (same.status_code, same.headers.get("ETag")) == (200, f'"{each["metadata"]["resourceVersion"]}"')
        changed = await call("PUT", path, shown | {"description": "changed", "schedule": "@weekly"})
        assert changed.status_code == 200, changed.text
        schedule = each["spec"].get("schedule", NEW_SCHEDULE) | {"cron": "@weekly"}
        each["spec"] |= {"description": "changed", "schedule": schedule}
    found = {each["metadata"]["uid"]: each["spec"] for each in call.rest.namespace.list("reverseetlsyncs")}
    assert [found[each["metadata"]["uid"]] for each in made] == [each["spec"] for each in made]
    assert len(made) == len(specs)


async def test_a_query_of_its_own_stays_where_a_sync_names_itself_as_its_model(call: Client) -> None:
    query = {"sourceRef": {"name": "warehouse"}, "sql": "SELECT id, email FROM accounts"}
    spec = _but(WHOLE, "modelRef") | {"query": query, "primaryKey": ["id"]}
    call.rest.namespace.apply(object_of("ReverseETLSync", "own-query", spec))
    uid = call.rest.namespace.get("reverseetlsync", "own-query")["metadata"]["uid"]
    assert (await call("GET", f"/syncs/{uid}")).json()["model_id"] == uid
    kept = await call("PUT", f"/syncs/{uid}", {"model_id": uid.upper(), "primary_key": "id, email"})
    assert (kept.status_code, kept.json()["primary_key"]) == (200, "id,email")
    other = await call("PUT", f"/syncs/{(await call.made())['id']}", {"model_id": uid})
    assert _problem(other) == (422, "invalid-input", ["/model_id"])
    moved = await call("PUT", f"/syncs/{uid}", {"model_id": call.ids["active-accounts"]})
    assert (moved.status_code, moved.json()["model_id"]) == (200, call.ids["active-accounts"])
    assert "query" not in call.rest.namespace.get("reverseetlsync", "own-query")["spec"]


async def test_config_says_what_the_published_fields_cannot(call: Client) -> None:
    config = {
        "object": "Contact",
        "key": ["FirstName"],
        "guards": {"maxDeletes": 5},
        "schedule": {"timeZone": "Europe/Vienna"},
    }
    sync = await call.made(config=config, status="draft")
    assert (sync["config"], sync["status"]) == (config, "draft")
    spec = call.object(sync)["spec"]
    assert (spec["object"], spec["guards"]["maxDeletes"], spec["state"]) == ("Contact", 5, "Draft")
    assert spec["schedule"].items() >= {"cron": "0 */6 * * *", "timeZone": "Europe/Vienna"}.items()
    path = f"/syncs/{sync['id']}"
    kept = (await call("PUT", path, {"config": {"guards": {"minRows": 1}, "key": ["Email"]}})).json()
    assert kept["config"] == config | {"guards": {"minRows": 1}, "key": ["Email"]}
    reset = (await call("PUT", path, {"config": {"guards": None, "schedule": None}, "schedule": "@hourly"})).json()
    assert (reset["config"], reset["schedule"]) == ({"object": "Contact", "key": ["Email"]}, "@hourly")
    none = (await call("PUT", path, {"schedule": ""})).json()
    assert (none["schedule"], "schedule" in call.object(sync)["spec"]) == ("", False)


@pytest.mark.parametrize(("destination", "object"), [("sf-prod", "Account"), ("http", "active-accounts")])
async def test_without_an_object_the_destination_says_which_else_the_model(
    call: Client, destination: str, object: str
) -> None:
    sync = await call.made(destination_id=call.ids[destination])
    assert sync["config"]["object"] == object


@pytest.mark.parametrize(
    ("mapped", "key"),
    [(["email", "customer_id"], ["CUSTOMER_ID"]), (["email", "first_name"], ["EMAIL"])],
)
async def test_the_key_is_what_columns_of_the_primary_key_go_to_else_the_first(
    call: Client, mapped: list[str], key: list[str]
) -> None:
    mapping = [{"source_column": column, "destination_field": column.upper()} for column in mapped]
    assert (await call.made(field_mapping=mapping))["config"]["key"] == key


TWICE = [{"source_column": "a", "destination_field": "A"}, {"source_column": "b", "destination_field": "A"}]
LONG = [{"source_column": "x" * 256, "destination_field": "A"}]
BAD_BODIES: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": ""}, ["/name"]),
    ({"name": None}, ["/name"]),
    ({"name": 1, "sync_mode": 2}, ["/name", "/sync_mode"]),
    ({"nmae": "x"}, ["/nmae"]),
    ({"model_id": "customers"}, ["/model_id"]),
    ({"model_id": str(uuid4())}, ["/model_id"]),
    ({"destination_id": str(uuid4())}, ["/destination_id"]),
    ({"field_mapping": []}, ["/field_mapping"]),
    ({"field_mapping": TWICE}, ["/field_mapping/1/destination_field"]),
    ({"field_mapping": LONG}, ["/field_mapping/0/source_column"]),
    ({"field_mapping": [TWICE[0] | {"type_cast": "text"}]}, ["/field_mapping/0/type_cast"]),
    ({"sync_mode": "delete"}, ["/sync_mode"]),
    ({"schedule": "every day"}, ["/schedule"]),
    ({"schedule": "@after"}, ["/schedule"]),
    ({"schedule": "", "config": {"schedule": {"timeZone": "UTC"}}}, ["/schedule"]),
    ({"primary_key": ","}, ["/primary_key"]),
    ({"primary_key": "x" * 256}, ["/primary_key"]),
    ({"status": "error"}, ["/status"]),
    ({"created_by": str(NOBODY)}, ["/created_by"]),
    ({"config": {"object": ""}}, ["/config/object"]),
    ({"config": {"gaurds": {}}}, ["/config/gaurds"]),
    ({"config": {"key": ["Nothing"]}}, ["/config/key/0"]),
    ({"config": {"guards": {"maxDeletes": "many"}}}, ["/config/guards/maxDeletes"]),
    (
        {"config": {"guards": {"maxDeletes": "many"}, "runner": {"retries": 99}}},
        [
            "/config/guards/maxDeletes",
            "/config/runner/retries",
        ],
    ),
    ({"config": {"delivery": {"batch_size": 5}}}, ["/config/delivery/batch_size"]),
]


async def test_a_body_that_is_wrong_is_refused_with_a_pointer_to_each_field_and_nothing_is_made(call: Client) -> None:
    sync = await call.made()
    there = len((await call("GET", "/syncs")).json())
    for sent, pointers in BAD_BODIES:
        for method, path, body in (("POST", "/syncs", call.example | sent), ("PUT", f"/syncs/{sync['id']}", sent)):
            answer = await call(method, path, body)
            found = _problem(answer)
            assert (found[:2], sorted(found[2])) == ((422, "invalid-input"), sorted(pointers)), (method, sent)
    assert (await call("GET", f"/syncs/{sync['id']}")).json() == sync
    assert len((await call("GET", "/syncs")).json()) == there


BAD_REQUESTS: list[tuple[str, str, Any, dict[str, str], tuple[int, str]]] = [
    ("GET", "/syncs/5", None, {}, (404, "not-found")),
    ("GET", f"/syncs/{uuid4()}", None, {}, (404, "not-found")),
    ("PUT", f"/syncs/{uuid4()}", {}, {}, (404, "not-found")),
    ("DELETE", f"/syncs/{uuid4()}", None, {}, (404, "not-found")),
    ("POST", f"/syncs/{uuid4()}/trigger", None, {}, (404, "not-found")),
    ("GET", f"/syncs/{uuid4()}/runs", None, {}, (404, "not-found")),
    ("GET", "/syncs/{sync}/runs/latest", None, {}, (404, "not-found")),
    ("GET", f"/syncs/{{sync}}/runs/{uuid4()}", None, {}, (404, "not-found")),
    ("GET", f"/syncs/{uuid4()}/runs/{{run}}", None, {}, (404, "not-found")),
    ("POST", f"/syncs/{uuid4()}/runs/{{run}}/cancel", None, {}, (404, "not-found")),
    ("GET", "/syncs/{run}", None, {}, (404, "not-found")),
    ("GET", "/syncs/{sync}/runs/{run}/plan", None, {}, (404, "not-found")),
    ("GET", "/pipelines", None, {}, (404, "not-found")),
    ("PATCH", "/syncs/{sync}", {}, {}, (405, "method-not-allowed")),
    ("POST", "/syncs/{sync}/runs/{run}/approve", {"plan_hash": "abc"}, {}, (409, "not-awaiting-approval")),
    ("PUT", "/syncs/{sync}", {"schedule": "@daily"}, {"If-Match": '"1"'}, (412, "precondition-failed")),
    ("PUT", "/syncs/{sync}", None, {}, (422, "malformed-json")),
    ("PUT", "/syncs/{sync}", [], {}, (422, "malformed-json")),
    ("POST", "/syncs/{sync}/trigger", {"full_refresh": 1}, {}, (422, "invalid-input")),
    ("POST", "/syncs/{sync}/plan", {"full_refresh": True}, {}, (422, "invalid-input")),
    ("POST", "/syncs/{sync}/runs/{run}/approve", {}, {}, (422, "invalid-input")),
    ("GET", "/syncs?limit=5", None, {}, (422, "invalid-input")),
    ("GET", "/syncs?format=xml", None, {}, (422, "invalid-input")),
    ("DELETE", "/syncs/{sync}?dryRun=yes", None, {}, (422, "invalid-input")),
    ("GET", "/syncs/{sync}/runs/{run}/logs?tail=0", None, {}, (422, "invalid-input")),
    ("GET", "/syncs", None, {"X-Workspace-ID": str(uuid4())}, (422, "workspace-mismatch")),
    ("GET", "/syncs", None, {"X-Workspace-ID": ""}, (422, "invalid-input")),
]


async def test_a_request_that_is_wrong_is_refused_and_says_why(call: Client) -> None:
    sync = await call.made()
    run = (await call("POST", f"/syncs/{sync['id']}/trigger")).json()
    for method, path, body, headers, wanted in BAD_REQUESTS:
        answer = await call(method, path.replace("{sync}", sync["id"]).replace("{run}", run["id"]), body, **headers)
        assert _problem(answer)[:2] == wanted, (method, path, body)
    assert (await call("GET", f"/syncs/{sync['id']}")).json() == sync


async def test_the_workspace_may_be_named_by_its_name_too(call: Client) -> None:
    async with call.rest.as_("viewer") as viewer:
        for headers in ({}, {"X-Workspace-ID": call.rest.namespace.name}, {"X-Workspace-ID": call.rest.uid.upper()}):
            found = await viewer.get(f"/api/v1/workspaces/{call.rest.namespace.name}/syncs", headers=headers)
            assert (found.status_code, found.json()) == (200, (await call("GET", "/syncs")).json())


async def test_a_draft_is_not_run(call: Client) -> None:
    sync = await call.made(status="draft")
    assert _problem(await call("POST", f"/syncs/{sync['id']}/trigger"))[:2] == (409, "sync-is-draft")


async def test_a_write_can_be_tried_and_repeated_and_made_to_depend_on_what_was_read(call: Client) -> None:
    there = len((await call("GET", "/syncs")).json())
    tried = await call("POST", "/syncs?dryRun=true", call.example)
    assert (tried.status_code, tried.headers["Retl-Dry-Run"]) == (201, "true")
    check(tried.json(), SYNC)
    assert len((await call("GET", "/syncs")).json()) == there

    key = str(uuid4())
    first, again = [await call("POST", "/syncs", call.example, Idempotency_Key=key) for _ in range(2)]
    sync = first.json()
    path = f"/syncs/{sync['id']}"
    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, sync, "true")
    assert first.headers["Location"] == f"{call.root}{path}"
    assert _problem(await call("POST", "/syncs", call.example | {"name": "B"}, Idempotency_Key=key))[:2] == (
        422,
        "idempotency-key-reused",
    )

    tag = first.headers["ETag"]
    assert (await call("GET", path, If_None_Match=tag)).status_code == 304
    changed = await call("PUT", path, {"description": "seen"}, If_Match=tag)
    assert (changed.status_code, changed.json()["description"]) == (200, "seen")
    assert _problem(await call("PUT", path, {"description": ""}, If_Match=tag))[:2] == (412, "precondition-failed")
    assert (await call("DELETE", f"{path}?dryRun=true")).json() == {"status": "deleted"}
    assert (await call("GET", path)).json() == changed.json()
    assert _problem(await call("DELETE", path, If_Match=tag))[:2] == (412, "precondition-failed")

    runs = [await call("POST", f"{path}/trigger", Idempotency_Key=key) for _ in range(2)]
    assert [run.status_code for run in runs] == [201, 201]
    assert runs[0].json() == runs[1].json()
    assert runs[0].headers["Location"] == f"{call.root}{path}/runs/{runs[0].json()['id']}"


async def test_changes_of_different_fields_at_the_same_time_all_last(call: Client) -> None:
    path = f"/syncs/{(await call.made())['id']}"
    wanted = {"name": "Another", "schedule": "@hourly", "status": "paused", "description": "all at once"}
    answers = await asyncio.gather(*(call("PUT", path, {name: value}) for name, value in wanted.items()))
    assert [answer.status_code for answer in answers] == [200] * len(wanted)
    assert (await call("GET", path)).json().items() >= wanted.items()


async def test_a_sync_can_be_had_as_a_manifest_to_commit(call: Client) -> None:
    sync = await call.made(name="To commit")
    answer = await call("GET", f"/syncs/{sync['id']}?format=yaml")
    assert answer.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(answer.text) == {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "ReverseETLSync",
        "metadata": {"name": "to-commit", "namespace": call.rest.namespace.name},
        "spec": {
            "displayName": "To commit",
            "modelRef": {"name": "active-accounts"},
            "destinationRef": {"name": "sf-prod"},
            "object": "Account",
            "primaryKey": ["customer_id"],
            "mappings": [
                {"destination": "Email", "source": "email", "key": True},
                {"destination": "FirstName", "source": "first_name"},
            ],
            "schedule": {"cron": "0 */6 * * *"},
        },
    }
    documents = list(yaml.safe_load_all((await call("GET", "/syncs", Accept="application/yaml")).text))
    assert {each["kind"] for each in documents} == {"ReverseETLSync"}
    assert len(documents) == len((await call("GET", "/syncs")).json())
    planned = await call("POST", "/syncs?dryRun=true&format=yaml", call.example | {"name": "Not there yet"})
    assert (planned.status_code, yaml.safe_load(planned.text)["metadata"]["name"]) == (201, "not-there-yet")


async def test_a_run_can_be_planned_and_cancelled_and_followed_to_its_end(call: Client) -> None:
    sync = await call.made()
    path = f"/syncs/{sync['id']}"
    planned = (await call("POST", f"{path}/plan")).json()
    check(planned, STARTED)
    assert call.run_object(planned)["spec"]["mode"] == "Plan"
    run = f"{path}/runs/{planned['id']}"
    for _ in range(2):
        cancelled = await call("POST", f"{run}/cancel")
        assert (cancelled.status_code, cancelled.json()["id"]) == (200, planned["id"])
    assert call.run_object(planned)["spec"]["cancel"] is True
    _set_status(call, planned, {"phase": "Cancelled", "finishedAt": "2026-01-15T15:02:30Z"})
    assert (await call("POST", f"{run}/cancel")).json()["status"] == "cancelled"
    events = await call("GET", f"{run}/events")
    assert events.headers["Content-Type"].startswith("text/event-stream")
    told = [json.loads(line.removeprefix("data: ")) for line in events.text.splitlines() if line.startswith("data: ")]
    assert {each["status"] for each in told} == {"cancelled"}
    check(told[0], RUN)
    assert "event: end" in events.text
    assert _problem(await call("GET", f"{run}/logs"))[:2] == (404, "not-found")


async def test_a_run_that_is_held_goes_on_with_exactly_the_plan_that_was_approved(call: Client) -> None:
    sync = await call.made()
    run = (await call("POST", f"/syncs/{sync['id']}/trigger")).json()
    _set_status(call, run, {"phase": "AwaitingApproval", "planHash": "abc"})
    path = f"/syncs/{sync['id']}/runs/{run['id']}/approve"
    assert _problem(await call("POST", path, {"plan_hash": "abd"}))[:2] == (409, "plan-changed")
    approved = await call("POST", path, {"plan_hash": "abc"})
    assert approved.status_code == 200, approved.text
    check(approved.json(), RUN)
    assert call.run_object(run)["spec"]["approval"] == {"planHash": "abc"}


async def test_models_sources_and_destinations_are_listed_with_the_ids_to_send(call: Client) -> None:
    common = {
        "id": is_uuid,
        "workspace_id": is_uuid,
        "name": is_text,
        "status": ("ready", "error", "pending").__contains__,
        "status_error": is_text,
        "created_at": is_moment,
    }
    (model,) = (await call("GET", "/models")).json()
    check(model, common | {"source_id": is_uuid})
    (source,) = (await call("GET", "/sources")).json()
    check(source, common | {"connector": is_text})
    assert (model["name"], model["source_id"], source["connector"]) == ("active-accounts", source["id"], "duckdb")
    destinations = (await call("GET", "/destinations")).json()
    for each in destinations:
        check(each, common | {"connector": is_text})
    assert [each["name"] for each in destinations] == ["http", "sf-prod"]


async def test_the_example_for_the_shell_does_what_it_says(call: Client) -> None:
    token = call.rest.tokens["operator"]
    environment = {"API": call.rest.url, "WORKSPACE": call.rest.namespace.name, "TOKEN": token}
    done = await asyncio.to_thread(
        subprocess.run, ["bash", str(SCRIPT)], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "deleted"
    assert token not in done.stdout + done.stderr


def _set_status(call: Client, run: dict[str, Any], status: dict[str, Any]) -> None:
    """What the controller would have written."""
    name = call.run_object(run)["metadata"]["name"]
    call.rest.cluster.kubectl(
        *("patch", "syncrun", name, "-n", call.rest.namespace.name, "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": status})),
    )


def _problem(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, slug and pointers of a refusal."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    said = answer.json()
    assert (said["status"], said["instance"][:17]) == (answer.status_code, "urn:retl:request:")
    pointers = [error["pointer"] for error in said.get("errors", []) if "pointer" in error]
    return answer.status_code, said["type"].rpartition("/")[2], pointers


def _but(shown: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in names}
