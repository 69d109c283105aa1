"""The examples of the published API, with ids as this program makes them. They stand in the OpenAPI description."""

from typing import Any

SYNC_ID = "retl_sync_1bb8fgs0zh98z9rbbf39z5tjrg"
RUN_ID = "retl_run_3hr2jdwpvy9w58mgrdkdq2y72n"
DESTINATION_ID = "conn_64t7ma46dp9nbv7w1ahse7z781"
LETTER_ID = "retl_dlq_01jqcf4vstfggspn1yhmd7yv10"

_SQL = "SELECT account_id, name, annual_revenue FROM analytics.dim_crm_account WHERE is_active = true"
_NAME = "crm_accounts_warehouse_to_salesforce"
_SCHEDULE = {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"}
_MAPPINGS = [
    {"source": "account_id", "destination": "External_Id__c", "key": True},
    {"source": "name", "destination": "Name"},
    {"source": "annual_revenue", "destination": "AnnualRevenue"},
]


def _sync(**attributes: Any) -> dict[str, Any]:
    return {"id": SYNC_ID, "type": "reverse_etl_sync", "attributes": attributes}


def _run(**attributes: Any) -> dict[str, Any]:
    return {"id": RUN_ID, "type": "reverse_etl_run", "attributes": {"sync_id": SYNC_ID} | attributes}


def _page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"data": list(items), "meta": {"page": {"limit": 50, "cursor": None}}}


CREATE_SYNC = {
    "name": _NAME,
    "sourceQuery": _SQL,
    "destinationId": DESTINATION_ID,
    "objectName": "Account",
    "fieldMappings": _MAPPINGS,
    "syncMode": "upsert",
    "schedule": _SCHEDULE,
}
CHANGE_SYNC = {"schedule": {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"}}
SYNC = {
    "data": _sync(
        name=_NAME,
        source_query=_SQL,
        destination_id=DESTINATION_ID,
        object_name="Account",
        field_mappings=_MAPPINGS,
        sync_mode="upsert",
        enabled=True,
        schedule=_SCHEDULE,
        created_at="2025-03-27T17:00:00Z",
        updated_at="2025-03-27T17:00:00Z",
    )
}
SYNCS = _page(
    _sync(
        name=_NAME,
        destination_id=DESTINATION_ID,
        object_name="Account",
        sync_mode="upsert",
        enabled=True,
        schedule=_SCHEDULE,
        updated_at="2025-03-26T09:00:00Z",
    )
)
SYNC_CHANGED = {
    "data": _sync(
        name=_NAME,
        sync_mode="upsert",
        enabled=True,
        schedule=CHANGE_SYNC["schedule"],
        updated_at="2025-03-27T17:15:00Z",
    )
}
SYNC_DELETED = {"data": _sync(deleted=True, deleted_at="2025-03-27T17:20:00Z")}
SYNC_TOGGLED = {"data": _sync(enabled=False, updated_at="2025-03-27T17:23:30Z")}
SYNC_YAML = f"""\
apiVersion: reverseetl.io/v1alpha1
kind: ReverseETLSync
metadata:
  name: crm-accounts-warehouse-to-salesforce
  namespace: growth
spec:
  displayName: {_NAME}
  query:
    sourceRef:
      name: warehouse
    sql: {_SQL}
  destinationRef:
    name: sf-prod
  object: Account
  primaryKey:
  - account_id
  mappings:
  - source: account_id
    destination: External_Id__c
    key: true
"""

RUN_SYNC = {"syncId": SYNC_ID, "fullRefresh": False}
RUN_STARTED = {"data": _run(status="queued", full_refresh=False, created_at="2025-03-27T17:22:00Z")}
_COUNTS = {"rows_read": 12840, "rows_written": 12795, "rows_failed": 45}
_TIMES = {"started_at": "2025-03-27T12:15:01Z", "finished_at": "2025-03-27T12:18:44Z"}
RUNS = _page(_run(status="succeeded", **_COUNTS, **_TIMES))
_WAITING = {
    "rows_read": 12840,
    "rows_written": 0,
    "rows_failed": 0,
    "started_at": "2025-03-27T12:15:01Z",
    "finished_at": None,
    "full_refresh": False,
    "created_at": "2025-03-27T12:15:00Z",
    "plan_hash": "9f2c51d0a7be4e18",
    "triggered_by": "3c8d5a9e-7b1f-5d24-8e06-4f92b1a7c3d5",
}
RUN = {"data": _run(status="awaiting_approval", message="GuardBreached: 900 of 12,840 records are to go", **_WAITING)}
RUN_CANCELLED = {"data": _run(status="cancelled", message="Cancelled", **_WAITING)}
APPROVE_RUN = {"planHash": "9f2c51d0a7be4e18"}

DESTINATIONS = {
    "data": [
        {
            "id": DESTINATION_ID,
            "type": "reverse_etl_destination",
            "attributes": {
                "name": "Salesforce Production",
                "connector": "salesforce",
                "status": "connected",
                "objects_discoverable": True,
            },
        }
    ]
}
SOURCES = {
    "data": [
        {
            "id": "conn_1vd4kq9e1h8xtsgyht6k2dz0c6",
            "type": "reverse_etl_source",
            "attributes": {"name": "Warehouse", "connector": "postgres", "status": "connected", "default": True},
        }
    ]
}
MODELS = {
    "data": [
        {
            "id": "model:active-accounts",
            "type": "reverse_etl_model",
            "attributes": {"name": "Active accounts", "source_name": "warehouse", "status": "ready"},
        }
    ]
}
OBJECTS = {
    "data": [
        {
            "id": name,
            "type": "destination_object",
            "attributes": {"label": name, "api_name": name, "supports_upsert": True, "writable": True},
        }
        for name in ("Account", "Contact")
    ]
}
FIELDS = {
    "data": [
        {
            "id": name,
            "type": "destination_field",
            "attributes": {
                "label": name,
                "data_type": "string",
                "required": required,
                "updateable": True,
                "external_id": False,
            },
        }
        for name, required in (("Name", True), ("External_Id__c", False))
    ]
}

LETTERS = _page(
    {
        "id": LETTER_ID,
        "type": "reverse_etl_dlq_entry",
        "attributes": {
            "sync_id": SYNC_ID,
            "run_id": RUN_ID,
            "error_code": "DESTINATION_VALIDATION",
            "message": "INVALID_EMAIL: bad format for field Email",
            "record_keys": {"External_Id__c": "acc_88291"},
            "attempts": 5,
            "first_seen_at": "2025-03-27T12:16:10Z",
            "resolved": False,
        },
    }
)
LETTER_STATISTICS = {
    "data": {
        "type": "reverse_etl_dlq_stats",
        "attributes": {
            "open_count": 12,
            "resolved_count": 340,
            "by_error_code": {"DESTINATION_VALIDATION": 7, "RATE_LIMIT": 3, "UNKNOWN": 2},
            "computed_at": "2025-03-27T17:30:00Z",
        },
    }
}
RESOLVE_LETTERS = {"entryIds": [LETTER_ID], "resolution": "fixed_upstream", "replay": False}
LETTERS_RESOLVED = {
    "data": {
        "type": "reverse_etl_dlq_resolve",
        "attributes": {
            "resolved_ids": [LETTER_ID],
            "replay_run_id": None,
            "resolved_at": "2025-03-27T17:35:00Z",
        },
    }
}
