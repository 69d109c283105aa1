"""A client of /api/reverse-etl that knows what the published API promises."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from retl.resources.ids import type_id
from retl.rest.reverse_etl.router import PREFIXES
from tests.cluster.rest_api import Rest

SQL = "SELECT account_id, name, annual_revenue, last_activity_at FROM analytics.dim_crm_account WHERE is_active = true"
EXAMPLE: dict[str, Any] = {
    "name": "crm_accounts_warehouse_to_salesforce",
    "sourceQuery": SQL,
    "destinationId": "conn_sf_prod",
    "objectName": "Account",
    "fieldMappings": [
        {"source": "account_id", "destination": "External_Id__c", "key": True},
        {"source": "name", "destination": "Name"},
        {"source": "annual_revenue", "destination": "AnnualRevenue"},
        {"source": "last_activity_at", "destination": "Last_Activity__c"},
    ],
    "syncMode": "upsert",
    "schedule": {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"},
}
"""The published body of a new sync."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TEXT, FLAG, NUMBER, LIST, OBJECT = str, bool, int, list, dict
AT, NEVER = "a moment", "a moment, or null"
SYNC_ID, RUN_ID, CONN_ID, ENTRY_ID = "retl_sync", "retl_run", "conn", "retl_dlq"
CHANGED = {"name": TEXT, "sync_mode": TEXT, "enabled": FLAG, "schedule": OBJECT, "updated_at": AT}
LISTED = CHANGED | {"destination_id": CONN_ID, "object_name": TEXT}
WHOLE = LISTED | {"source_query": TEXT, "field_mappings": LIST, "created_at": AT}
STARTED = {"sync_id": SYNC_ID, "status": TEXT, "full_refresh": FLAG, "created_at": AT}
RUN = {
    "sync_id": SYNC_ID,
    "status": TEXT,
    "rows_read": NUMBER,
    "rows_written": NUMBER,
    "rows_failed": NUMBER,
    "started_at": NEVER,
    "finished_at": NEVER,
}
RUN_WHOLE = RUN | {
    "full_refresh": FLAG,
    "created_at": AT,
    "message": TEXT,
    "plan_hash": TEXT,
    "triggered_by": TEXT,
}
ENTRY = {
    "sync_id": SYNC_ID,
    "run_id": RUN_ID,
    "error_code": TEXT,
    "message": TEXT,
    "record_keys": OBJECT,
    "attempts": NUMBER,
    "first_seen_at": AT,
    "resolved": FLAG,
}
STATISTICS = {"open_count": NUMBER, "resolved_count": NUMBER, "by_error_code": OBJECT, "computed_at": AT}


def is_a(value: Any, wanted: Any) -> bool:
    if wanted in (AT, NEVER):
        return (wanted == NEVER and value is None) or MOMENT.fullmatch(value) is not None
    if isinstance(wanted, str):
        return re.fullmatch(f"{wanted}_[0-7][0-9a-hjkmnp-tv-z]{{25}}", value) is not None
    return type(value) is wanted


def attributes(shown: dict[str, Any], type: str, fields: dict[str, Any], id: Any = None) -> dict[str, Any]:
    """The attributes of a thing, once it is seen to have the published envelope, these fields and no others."""
    assert shown.keys() == ({"type", "attributes"} if id is None else {"id", "type", "attributes"})
    assert shown["type"] == type
    assert id is None or is_a(shown["id"], id)
    found: dict[str, Any] = shown["attributes"]
    assert found.keys() == fields.keys()
    wrong = [name for name, wanted in fields.items() if not is_a(found[name], wanted)]
    assert wrong == [], found
    return found


def refusal(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Status and slug of a problem, and what it names as wrong."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said["status"] == answer.status_code
    errors = said.get("errors", [])
    places = [error.get("pointer") or error.get("parameter") or error.get("header", "") for error in errors]
    return answer.status_code, said["type"].rpartition("/")[2], places


class Client:
    """A client of one workspace, which its credential names."""

    def __init__(self, http: httpx.AsyncClient, ground: Rest, prefix: str = PREFIXES[0]) -> None:
        self.rest = ground
        self.http = http
        self.prefix = prefix

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = {} if body is None else {"json": body}
        return await self.http.request(method, f"{self.prefix}{path}", headers=named, **content)

    async def got(self, path: str) -> Any:
        """What a GET answers."""
        answer = await self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def made(self, **fields: Any) -> str:
        """Id of a new sync."""
        answer = await self("POST", "/syncs", EXAMPLE | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["id"])

    async def started(self, sync: str) -> str:
        """Id of a new run."""
        answer = await self("POST", "/sync/run", {"syncId": sync})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["data"]["id"])

    def object(self, kind: str, id: str) -> dict[str, Any]:
        """The resource of an id."""
        found = self.rest.namespace.list(kind)
        return next(each for each in found if id.endswith(type_id("conn", each["metadata"]["uid"])[5:]))

    def set_status(self, kind: str, name: str, **status: Any) -> None:
        """What the controller would have written."""
        self.rest.cluster.kubectl(
            *("patch", kind, name, "-n", self.rest.namespace.name, "--subresource=status", "--type=merge"),
            *("-p", json.dumps({"status": status})),
        )
