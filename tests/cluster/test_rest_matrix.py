"""Who may do what: every route of the REST API for every kind of caller, as one table, with the audit log of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, NoReturn, cast

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from retl.resources import ids
from retl.resources.kinds import DESTINATION, MODEL, RUN, SYNC
from retl.resources.run import RunCounts
from retl.rest.app import Public, create_apps
from retl.rest.callers import keys
from retl.rest.callers.caller import Authenticate
from retl.rest.problems import unauthorized
from retl.rest.requests.entry import Door
from retl.rest.requests.limits import Limits
from retl.rest.service.interface import Workspaces
from retl.rest.state_service import StoreNow
from retl.runspec.result import RunResult
from retl.runspec.spec import RunIdentity, SyncIdentity
from retl.state.letter_pages import Asked
from retl.state.store import Commit
from tests.cluster.cluster import POLICIES, based
from tests.cluster.controlplane import ControlPlane
from tests.cluster.objects import FAR_AWAY, run_of, sync
from tests.cluster.processes import wait_until
from tests.cluster.rest_api import OPERATOR_NAMESPACE, Rest
from tests.unit.state import databases

ROLES = ("viewer", "operator", "admin")
WORTHLESS = ("none", "another scheme", "wrong", "another audience", "revoked key", "expired key")
STRANGERS = ("nobody", "other", "key of other")
PLAN_HASH = "3f9c"


@dataclass(frozen=True)
class Row:
    """A request, and what those who have a role are answered; worthless credentials get 401, all others 403."""

    viewer: int
    operator: int
    admin: int
    body: Any = None
    query: str = ""
    run: str = "ended"


READ = Row(200, 200, 200)
TRIAL = "?dryRun=true"
OPEN = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs.css", "/docs.js"]
"""What needs no credential."""

NEW = {
    "name": "Accounts again",
    "model_id": "{model}",
    "destination_id": "{destination}",
    "field_mapping": [{"source_column": "id", "destination_field": "Id"}],
    "sync_mode": "upsert",
    "primary_key": "id",
}
WORKSPACES = {
    ("GET", "/syncs"): READ,
    ("POST", "/syncs"): Row(403, 201, 201, NEW, TRIAL),
    ("GET", "/syncs/{syncId}"): READ,
    ("PUT", "/syncs/{syncId}"): Row(403, 200, 200, {"description": "another"}, TRIAL),
    ("DELETE", "/syncs/{syncId}"): Row(403, 200, 200, query=TRIAL),
    ("POST", "/syncs/{syncId}/trigger"): Row(403, 201, 201, query=TRIAL),
    ("POST", "/syncs/{syncId}/plan"): Row(403, 201, 201, query=TRIAL),
    ("GET", "/syncs/{syncId}/runs"): READ,
    ("GET", "/syncs/{syncId}/runs/{runId}"): READ,
    ("POST", "/syncs/{syncId}/runs/{runId}/cancel"): Row(403, 200, 200, run="waiting"),
    ("POST", "/syncs/{syncId}/runs/{runId}/approve"): Row(403, 403, 200, {"plan_hash": PLAN_HASH}, run="held"),
    ("GET", "/syncs/{syncId}/runs/{runId}/plan"): Row(403, 200, 200),
    ("GET", "/syncs/{syncId}/runs/{runId}/events"): READ,
    # Who may read logs learns that this run's pod is gone.
    ("GET", "/syncs/{syncId}/runs/{runId}/logs"): Row(403, 404, 404),
    ("GET", "/models"): READ,
    ("GET", "/sources"): READ,
    ("GET", "/destinations"): READ,
}
OF_SYNC = {"syncId": "{sync_id}"}
REVERSE_ETL = {
    ("GET", "/syncs"): READ,
    ("POST", "/syncs"): Row(
        *(403, 201, 201),
        {
            "name": "Accounts again",
            "sourceQuery": "SELECT id FROM accounts",
            "destinationId": "sf-prod",
            "objectName": "Account",
            "syncMode": "upsert",
            "fieldMappings": [{"source": "id", "destination": "Id", "key": True}],
            "schedule": {"type": "manual"},
        },
        TRIAL,
    ),
    ("GET", "/syncs/{id}"): READ,
    ("PUT", "/syncs/{id}"): Row(403, 200, 200, {"name": "Another"}, TRIAL),
    ("DELETE", "/syncs/{id}"): Row(403, 200, 200, query=TRIAL),
    ("POST", "/sync/toggle"): Row(403, 200, 200, OF_SYNC | {"enabled": False}, TRIAL),
    ("POST", "/sync/run"): Row(403, 202, 202, OF_SYNC, TRIAL),
    ("POST", "/sync/plan"): Row(403, 202, 202, OF_SYNC, TRIAL),
    ("GET", "/runs"): READ,
    ("GET", "/runs/{id}"): READ,
    ("POST", "/runs/{id}/cancel"): Row(403, 200, 200, run="waiting"),
    ("POST", "/runs/{id}/approve"): Row(403, 403, 200, {"planHash": PLAN_HASH}, run="held"),
    ("GET", "/runs/{id}/plan"): Row(403, 200, 200),
    ("GET", "/runs/{id}/events"): READ,
    ("GET", "/runs/{id}/logs"): Row(403, 404, 404),
    ("GET", "/destinations"): READ,
    ("GET", "/objects"): replace(READ, query="?destination_id=sf-prod"),
    ("GET", "/fields"): replace(READ, query="?destination_id=sf-prod&object_name=Account"),
    ("GET", "/sources"): READ,
    ("GET", "/models"): READ,
    ("GET", "/dlq"): Row(403, 200, 200),
    ("GET", "/dlq/stats"): READ,
    ("POST", "/dlq/resolve"): Row(403, 200, 200, {"entryIds": ["{letter}"], "resolution": "wont-fix"}),
}
PREFIXES = {"/api/v1/workspaces/{id}": WORKSPACES, "/api/reverse-etl": REVERSE_ETL, "/v1/api/reverse-etl": REVERSE_ETL}
TABLE = {("GET", path): READ for path in OPEN} | {
    # Who cancels a run changes what the next one is answered, so each route has a run of its own.
    (method, prefix + path): replace(row, run=f"{row.run}-{number}")
    for number, (prefix, rows) in enumerate(PREFIXES.items())
    for (method, path), row in rows.items()
}


def test_every_route_has_its_row() -> None:
    async def never(*_: Any) -> NoReturn:
        raise AssertionError("nothing is asked here")

    door = Door(cast(Authenticate, never), cast(Workspaces, None), Limits())
    app = create_apps(cast(StoreNow, never), never, never, Public(door)).public
    routes = [(context.methods, context.path) for context in iter_route_contexts(app.routes)]
    assert {(method, str(path)) for methods, path in routes for method in methods or {"ANY"}} == TABLE.keys()


@dataclass(frozen=True)
class Ground:
    """A workspace with a sync, its runs and a dead letter, and a credential of every caller."""

    rest: Rest
    names: Mapping[str, str]
    run_uids: Mapping[str, str]
    credentials: Mapping[str, str | None]

    def request(self, method: str, template: str, row: Row, workspace: str | None = None) -> httpx.Request:
        namespace = workspace or self.rest.namespace.name
        sync, run = self.names["sync"], self.run_uids.get(row.run, "")
        headers = {}
        if template.startswith("/api/v1/workspaces/"):
            words = {"id": namespace, "syncId": sync, "runId": run}
        elif template not in OPEN:
            words = {"id": ids.type_id("retl_run", run) if "/runs/" in template else self.names["sync_id"]}
            headers["X-Workspace-ID"] = namespace
        else:
            words = {}
        body = "" if row.body is None else json.dumps(row.body)
        for name, value in self.names.items():
            body = body.replace(f"{{{name}}}", value)
        headers |= {"Content-Type": "application/json"} if body else {}
        url = self.rest.url + template.format(**words) + row.query
        return httpx.Request(method, url, headers=headers, content=body)


def expected(row: Row, *, needs_credential: bool) -> dict[str, int]:
    """Status by caller."""
    of_role = {role: cast(int, getattr(row, role)) for role in ROLES}
    answers = of_role | {f"key of {role}": status for role, status in of_role.items()}
    answers |= dict.fromkeys(STRANGERS, 403) | dict.fromkeys(WORTHLESS, 401)
    return answers if needs_credential else dict.fromkeys(answers, 200)


@pytest.fixture(scope="module")
def ground(rest: Rest) -> Ground:
    kubectl, namespace = rest.cluster.kubectl, rest.namespace
    kubectl("apply", *based(*POLICIES))
    namespace.apply(sync("accounts", state="Active", schedule=FAR_AWAY))
    uid = {
        kind: {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list(kind)}
        for kind in (SYNC, MODEL, DESTINATION)
    }
    phases = {
        "ended": {"phase": "Succeeded", "attempt": 1},
        "held": {"phase": "AwaitingApproval", "attempt": 1, "planHash": PLAN_HASH},
        "waiting": {},
    }
    of_runs = {f"{name}-{number}": phases[name] for number in range(len(PREFIXES)) for name in phases}
    namespace.apply(*(run_of("accounts") | {"metadata": {"name": name}} for name in of_runs))
    for name, status in of_runs.items():
        patch = json.dumps({"status": status})
        kubectl("patch", RUN, name, "-n", namespace.name, "--subresource=status", "--type=merge", "-p", patch)
    runs = {each["metadata"]["name"]: each["metadata"]["uid"] for each in namespace.list(RUN)}
    names = {
        "sync": uid[SYNC]["accounts"],
        "model": uid[MODEL]["active-accounts"],
        "destination": uid[DESTINATION]["sf-prod"],
    }
    ended = {name: uid for name, uid in runs.items() if "ended" in name}
    names |= {"sync_id": ids.type_id("retl_sync", names["sync"])}
    names |= {"letter": asyncio.run(remember(rest, names["sync"], ended))}
    return Ground(rest, names, runs, credentials(rest))


async def remember(rest: Rest, sync_uid: str, runs: Mapping[str, str]) -> str:
    """Put runs with their plans, and a dead letter, into the state database; the letter's id."""
    namespace = rest.namespace.name
    identity = SyncIdentity(namespace=namespace, name="accounts", uid=sync_uid)
    async with rest.store() as store:
        for name, uid in runs.items():
            request = replace(databases.request(), run=RunIdentity(name=name, uid=uid), sync=identity)
            claim = await store.claim(request)
            await store.save_plan(claim, b'{"changes": []}')
            await store.commit(claim, Commit(1, RunCounts(), dead_letters=[databases.letter(b"k" * 16)]))
            await store.finish(claim, RunResult(run=name, sync="accounts", status="Succeeded"))
        [letter] = await store.letter_page(Asked(namespace, None, False, None, None, 50, None, sync_uid))
    return ids.type_id("retl_dlq", letter.id)


def credentials(rest: Rest) -> dict[str, str | None]:
    """What each caller shows in the Authorization header."""
    kubectl, here, there = rest.cluster.kubectl, rest.namespace.name, rest.other.name
    audience = kubectl("create", "token", "retl-admin", "-n", here, "--audience=reverse-etl-state").strip()
    revoked = key(rest, here, "admin")
    kubectl("delete", "secret", keys.secret_name(keys.id_of(revoked) or ""), "-n", OPERATOR_NAMESPACE)
    shown = {
        "wrong": rest.tokens["admin"][:-8] + "wrongwro",
        "another audience": audience,
        "revoked key": revoked,
        "expired key": key(rest, here, "admin", timedelta(seconds=-1)),
        "nobody": rest.tokens["nobody"],
        "other": rest.tokens["other"],
        "key of other": key(rest, there, "admin"),
        **{role: rest.tokens[role] for role in ("viewer", "operator", "admin")},
        **{f"key of {role}": key(rest, here, role) for role in ROLES},
    }
    by_token = {caller: f"Bearer {credential}" for caller, credential in shown.items()}
    return {"none": None, "another scheme": f"Basic {rest.tokens['admin']}"} | by_token


def key(rest: Rest, namespace: str, role: str, life: timedelta = timedelta(hours=1)) -> str:
    """The text of a new key."""
    identity, text = keys.generate()
    account = keys.Account(namespace, f"retl-{role}")
    secret = keys.Key(identity, account, datetime.now(UTC) + life, keys.digest(text)).secret
    rest.cluster.kubectl("create", "-n", OPERATOR_NAMESPACE, "-f", "-", input=json.dumps(secret))
    return text


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A client from an address of its own for each row: an address may show few worthless credentials a second."""
    number = list(TABLE).index(request.getfixturevalue("route"))
    transport = httpx.AsyncHTTPTransport(local_address=f"127.1.1.{number + 1}", verify=False)
    async with httpx.AsyncClient(transport=transport, timeout=30) as opened:
        yield opened


@pytest.mark.parametrize("route", TABLE, ids=" ".join)
async def test_each_caller_is_answered_as_the_table_says(
    ground: Ground, client: httpx.AsyncClient, route: tuple[str, str]
) -> None:
    method, template = route
    row = TABLE[route]
    wanted = expected(row, needs_credential=template not in OPEN)
    request = ground.request(method, template, row)

    async def status(caller: str) -> int:
        shown = ground.credentials[caller]
        headers = dict(request.headers) | ({"Authorization": shown} if shown else {})
        answer = await client.request(method, request.url, headers=headers, content=request.content)
        return answer.status_code

    answers: dict[str, int] = {}
    # What nobody may do goes first: a run that is cancelled already may be asked to stop by who may only read it.
    for refused in (True, False):
        callers = [caller for caller, wants in wanted.items() if (wants >= 400) is refused]
        answers |= dict(zip(callers, await asyncio.gather(*map(status, callers)), strict=True))
    assert answers == {caller: wanted[caller] for caller in answers}


@pytest.mark.parametrize("route", [route for route in TABLE if route[1] not in OPEN], ids=" ".join)
async def test_nobody_learns_which_workspaces_there_are(
    ground: Ground, client: httpx.AsyncClient, route: tuple[str, str]
) -> None:
    row = TABLE[route]
    headers = {"Authorization": str(ground.credentials["nobody"])}

    async def told(workspace: str, body: Any) -> tuple[int, str]:
        request = ground.request(*route, replace(row, body=body), workspace)
        answer = await client.request(
            *(request.method, request.url), headers=dict(request.headers) | headers, content=request.content
        )
        return answer.status_code, answer.json()["detail"]

    for body in (row.body, {"nonsense": True}):
        there = await told(ground.rest.namespace.name, body)
        assert await told("no-such-workspace", body) == there
    assert (await told("no-such-workspace", row.body))[0] == 403


@pytest.mark.parametrize(
    "shown",
    [
        [],
        ["Bearer"],
        ["{admin}"],
        ["Token {admin}"],
        ["Bearer {admin} {admin}"],
        ["Bearer {admin}", "Bearer {admin}"],
        ["Bearer {admin},Bearer {admin}"],
        ["Bearer\t{admin}"],
        ["Bearer {admin}é"],
        ["Bearer " + "x" * 9000],
        ["Bearer retl_"],
        ["Bearer retl_" + "a" * 16 + "_" + "a" * 52],
    ],
    ids=lambda shown: str(shown)[:40],
)
async def test_whatever_is_no_credential_is_refused_in_the_same_words(rest: Rest, shown: list[str]) -> None:
    fields = [(b"Authorization", each.format(admin=rest.tokens["admin"]).encode()) for each in shown]
    async with rest.client({}) as client:
        answer = await client.get("/api/v1/workspaces/whatever/syncs", headers=httpx.Headers(fields))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="reverse-etl"')
    said = answer.json()
    assert said.pop("instance") == f"urn:retl:request:{answer.headers['X-Request-ID']}"
    assert said == unauthorized().document()


# What the audit log shows of all that

Acts = set[tuple[str, str]]
"""Verbs and resources."""


def by_whom(event: dict[str, Any]) -> tuple[str, str]:
    """User name, and id of the API key, that a request was made for."""
    impersonated = event.get("impersonatedUser", {})
    extra = impersonated.get("extra", {}).get("reverseetl.io/api-key", [""])
    return str(impersonated.get("username") or event["user"]["username"]), str(extra[0])


def what(event: dict[str, Any]) -> tuple[str, str]:
    """Verb and resource."""
    return str(event["verb"]), str(event.get("objectRef", {}).get("resource"))


def test_the_audit_log_names_the_caller_of_every_request_and_the_key(
    ground: Ground, control_plane: ControlPlane
) -> None:
    place = ground.rest.namespace.name

    def done(role: str, with_key: bool) -> Acts:
        """What the API server let a role do in the workspace, by token or by key."""
        identity = keys.id_of(str(ground.credentials[f"key of {role}"]).removeprefix("Bearer ")) if with_key else ""
        return {
            what(event)
            for event in control_plane.audit_events()
            if by_whom(event) == (f"system:serviceaccount:{place}:retl-{role}", identity)
            and event["responseStatus"]["code"] < 300
            and event.get("objectRef", {}).get("apiGroup") == "reverseetl.io"
        }

    syncs = "reverseetlsyncs"
    reads = {("list", syncs), ("get", syncs), ("list", "syncmodels"), ("list", "syncruns"), ("get", "syncruns")}
    writes = {("create", syncs), ("patch", syncs), ("delete", syncs), ("create", "syncruns")}
    # A run that is cancelled already is not written again.
    may = {"viewer": reads, "operator": reads | writes, "admin": reads | writes}
    for role, with_key in product(ROLES, (False, True)):
        assert wait_until(lambda: may[role] <= done(role, with_key), 10), (role, done(role, with_key))  # noqa: B023
        written = {act for act in done(role, with_key) if act[0] not in ("get", "list", "watch")}
        assert written <= (writes | {("patch", "syncruns")} if role != "viewer" else set()), role


def test_the_pod_asks_nothing_for_itself_but_who_is_there(ground: Ground, control_plane: ControlPlane) -> None:
    pod = f"system:serviceaccount:{OPERATOR_NAMESPACE}:retl-api"
    own = [event for event in control_plane.audit_events() if by_whom(event)[0] == pod]
    granted = [event for event in own if event["responseStatus"]["code"] < 400]
    always = {("get", "namespaces"), ("get", "secrets"), ("get", "serviceaccounts")}
    # Pods of other tests of this cluster find workspaces by their uids, and serve runners.
    assert always <= set(map(what, granted)) <= always | {("list", "namespaces"), ("create", "tokenreviews")}
    assert {event["objectRef"]["namespace"] for event in own if what(event)[1] == "secrets"} == {OPERATOR_NAMESPACE}
