"""What /api/reverse-etl shows; the examples are those of the published API."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from retl.resources.ids import type_id
from retl.resources.run import RunCounts
from retl.resources.views import Sync
from retl.rest.callers.caller import NOBODY
from retl.rest.problems import Problem
from retl.rest.reverse_etl import answers, translate
from retl.rest.service.values import (
    ConnectionRecord,
    LetterRecord,
    Named,
    Place,
    Resolved,
    RunRecord,
    SyncRecord,
)
from retl.rest.vocabulary import RUN_WORDS

SYNC_UID, RUN_UID, DESTINATION_UID, LETTER_UID = (UUID(int=n << 64 | 7 << 76) for n in range(1, 5))
PLACE = Place("growth", UUID(int=99), datetime(2026, 1, 1, tzinfo=UTC))
AT = datetime(2025, 3, 27, 17, 15, 0, 123456, UTC)
SPEC: dict[str, Any] = {
    "displayName": "crm_accounts_warehouse_to_salesforce",
    "query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT account_id, name FROM analytics.dim_crm_account"},
    "primaryKey": ["account_id"],
    "destinationRef": {"name": "sf-prod"},
    "object": "Account",
    "mappings": [
        {"source": "account_id", "destination": "External_Id__c", "key": True},
        {"source": "name", "destination": "Name"},
    ],
    "schedule": {"cron": "15 */4 * * *", "jitter": "30s"},
}


def record(**spec: Any) -> SyncRecord:
    metadata = {"name": "crm-accounts", "namespace": "growth", "uid": str(SYNC_UID), "resourceVersion": "7"}
    manifest = {"metadata": metadata | {"creationTimestamp": "2025-03-27T17:00:00Z"}, "spec": SPEC | spec}
    destination = Named(DESTINATION_UID, "sf-prod")
    sql = "SELECT account_id, name FROM analytics.dim_crm_account"
    return SyncRecord(PLACE, Sync.read(manifest), None, destination, ["account_id"], None, NOBODY, AT, sql)


def run(**said: Any) -> RunRecord:
    asked = RunRecord(PLACE, RUN_UID, "a-1", SYNC_UID, "Pending", "Sync", False, AT, None, None, RunCounts(), NOBODY)
    return replace(asked, **said)


def test_a_sync_is_shown_as_published() -> None:
    assert translate.sync_whole(record()) == {
        "id": type_id("retl_sync", SYNC_UID),
        "type": "reverse_etl_sync",
        "attributes": {
            "name": "crm_accounts_warehouse_to_salesforce",
            "source_query": "SELECT account_id, name FROM analytics.dim_crm_account",
            "destination_id": type_id("conn", DESTINATION_UID),
            "object_name": "Account",
            "field_mappings": [
                {"source": "account_id", "destination": "External_Id__c", "key": True},
                {"source": "name", "destination": "Name"},
            ],
            "sync_mode": "upsert",
            "enabled": True,
            "schedule": {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"},
            "created_at": "2025-03-27T17:00:00Z",
            "updated_at": "2025-03-27T17:15:00Z",
        },
    }


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"displayName": ""}, {"name": "crm-accounts"}),
        ({"state": "Paused"}, {"enabled": False}),
        ({"state": "Draft"}, {"enabled": False}),
        ({"mode": "mirror"}, {"sync_mode": "mirror"}),
        ({"schedule": None}, {"schedule": {"type": "manual"}}),
        (
            {"schedule": {"cron": "@after", "timeZone": "Europe/Vienna"}},
            {"schedule": {"type": "cron", "expression": "@after", "timezone": "Europe/Vienna"}},
        ),
        ({"mappings": None, "allColumns": {}}, {"field_mappings": []}),
    ],
)
def test_a_sync_that_says_less_or_more_is_shown_all_the_same(spec: dict[str, Any], shown: dict[str, Any]) -> None:
    whole = translate.sync_whole(record(**spec))["attributes"]
    assert {name: value for name, value in whole.items() if name in shown} == shown


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (answers.SyncChanged, ["name", "sync_mode", "enabled", "schedule", "updated_at"]),
        (
            answers.SyncListed,
            ["name", "destination_id", "object_name", "sync_mode", "enabled", "schedule", "updated_at"],
        ),
        (answers.SyncToggled, ["enabled", "updated_at"]),
    ],
)
def test_a_part_of_a_sync_is_shown_in_the_published_order(shape: type[Any], names: list[str]) -> None:
    assert list(translate.sync_part(record(), shape)["attributes"]) == names


def test_a_sync_whose_destination_is_gone_names_none() -> None:
    assert translate.sync_whole(replace(record(), destination=None))["attributes"]["destination_id"] is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"source": "Account Name"}, {"source": '"Account Name"'}),
        ({"source": 'the "real" name'}, {"source": '"the ""real"" name"'}),
        ({"source": "名前"}, {"source": '"名前"'}),
        ({"expression": "upper(country)"}, {"source": "upper(country)"}),
        ({"value": ""}, {"value": ""}),
        ({"metadata": "RunId"}, {"metadata": "RunId"}),
        ({"source": "a", "key": False, "skipNulls": False}, {"source": "a"}),
        (
            {"source": "a", "skipNulls": True, "onlyIfEmpty": True, "sensitive": True, "cast": "date"},
            {"source": "a", "skip_nulls": True, "only_if_empty": True, "sensitive": True, "cast": "date"},
        ),
        (
            {"source": "a", "hash": {"algorithm": "SHA256", "normalize": "Email"}},
            {"source": "a", "hash": {"algorithm": "SHA256", "normalize": "Email"}},
        ),
        (
            {"source": "a", "lookup": {"object": "O", "matchField": "m", "returnField": "r", "onMiss": "Null"}},
            {"source": "a", "lookup": {"object": "O", "match_field": "m", "return_field": "r", "on_miss": "Null"}},
        ),
    ],
)
def test_each_kind_of_mapping_is_shown(written: dict[str, Any], shown: dict[str, Any]) -> None:
    mappings = [written | {"destination": "Field"}]
    assert translate.sync_whole(record(mappings=mappings))["attributes"]["field_mappings"] == [
        shown | {"destination": "Field"}
    ]


@pytest.mark.parametrize("state", RUN_WORDS)
def test_a_run_is_shown_in_each_state(state: Any) -> None:
    counts = RunCounts(read=12, unchanged=2, created=3, updated=2, deleted=1, invalid=1, rejected=2, unknown=1)
    vienna = timezone(timedelta(hours=1))
    shown = translate.run_listed(run(state=state, counts=counts, started_at=AT.astimezone(vienna), finished_at=AT))
    assert shown == {
        "id": type_id("retl_run", RUN_UID),
        "type": "reverse_etl_run",
        "attributes": {
            "sync_id": type_id("retl_sync", SYNC_UID),
            "status": RUN_WORDS[state].reverse_etl,
            "rows_read": 12,
            "rows_written": 6,
            "rows_failed": 4,
            "started_at": "2025-03-27T17:15:00Z",
            "finished_at": "2025-03-27T17:15:00Z",
        },
    }


def test_a_run_that_was_asked_for_has_not_begun() -> None:
    assert translate.run_started(run(full_refresh=True))["attributes"] == {
        "sync_id": type_id("retl_sync", SYNC_UID),
        "status": "queued",
        "full_refresh": True,
        "created_at": "2025-03-27T17:15:00Z",
    }
    listed = translate.run_listed(run())["attributes"]
    assert (listed["started_at"], listed["finished_at"]) == (None, None)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"reason": "Rejected", "message": "the destination refused 3"}, "Rejected: the destination refused 3"),
        ({"reason": "DeadlineExceeded"}, "DeadlineExceeded"),
        ({}, ""),
    ],
)
def test_a_whole_run_says_why_it_is_as_it_is(said: dict[str, str], message: str) -> None:
    whole = translate.run_whole(run(state="Failed", sync=None, plan_hash="", **said))["attributes"]
    assert (whole["message"], whole["plan_hash"], whole["sync_id"]) == (message, None, None)


def test_a_sync_of_several_that_was_not_run_says_the_problem() -> None:
    assert translate.not_started(SYNC_UID, Problem(409, "sync-is-draft", "it is a draft")) == {
        "sync_id": type_id("retl_sync", SYNC_UID),
        "type": "https://reverseetl.io/problems/sync-is-draft",
        "title": "Sync is draft",
        "status": 409,
        "detail": "it is a draft",
    }


@pytest.mark.parametrize(
    ("ready", "destination", "model"),
    [(True, "connected", "ready"), (False, "error", "error"), (None, "pending", "pending")],
)
def test_a_connection_tells_whether_it_works(ready: bool | None, destination: str, model: str) -> None:
    found = ConnectionRecord(DESTINATION_UID, "sf-prod", "Salesforce Production", AT, "salesforce", ready=ready)
    shown = translate.destination(found)
    assert shown == {
        "id": type_id("conn", DESTINATION_UID),
        "type": "reverse_etl_destination",
        "attributes": {
            "name": "Salesforce Production",
            "connector": "salesforce",
            "status": destination,
            "objects_discoverable": False,
        },
    }
    assert translate.source(found)["attributes"]["status"] == destination
    assert translate.model(found)["attributes"]["status"] == model
    assert translate.model(found)["id"] == "model:sf-prod"


@pytest.mark.parametrize("resolved_at", [None, AT])
def test_an_entry_is_shown_as_published(resolved_at: datetime | None) -> None:
    keys = {"External_Id__c": "acc_88291"}
    found = LetterRecord(
        LETTER_UID, SYNC_UID, RUN_UID, "DESTINATION_VALIDATION", "INVALID_EMAIL", keys, 5, AT, AT, resolved_at, ""
    )
    assert translate.letter(found) == {
        "id": type_id("retl_dlq", LETTER_UID),
        "type": "reverse_etl_dlq_entry",
        "attributes": {
            "sync_id": type_id("retl_sync", SYNC_UID),
            "run_id": type_id("retl_run", RUN_UID),
            "error_code": "DESTINATION_VALIDATION",
            "message": "INVALID_EMAIL",
            "record_keys": keys,
            "attempts": 5,
            "first_seen_at": "2025-03-27T17:15:00Z",
            "resolved": resolved_at is not None,
        },
    }
    assert translate.letter(replace(found, run=None))["attributes"]["run_id"] is None


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_resolving_names_the_runs_that_send_again(runs: int) -> None:
    id = type_id("retl_run", RUN_UID)
    done = translate.resolved(Resolved([LETTER_UID], [run()] * runs, AT))
    assert done == {
        "type": "reverse_etl_dlq_resolve",
        "attributes": {
            "resolved_ids": [type_id("retl_dlq", LETTER_UID)],
            "replay_run_id": id if runs else None,
            "resolved_at": "2025-03-27T17:15:00Z",
        }
        | ({"replay_run_ids": [id, id]} if runs == 2 else {}),
    }
