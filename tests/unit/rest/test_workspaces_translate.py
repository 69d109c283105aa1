"""What /api/v1/workspaces shows of syncs, runs and connections, and which of its fields a place in a manifest is."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_type_hints
from uuid import UUID

import pytest

from retl.resources.problems import Location
from retl.resources.run import RunCounts
from retl.resources.views import Sync
from retl.rest.callers.caller import NOBODY, SCHEDULE
from retl.rest.service.values import ConnectionRecord, Named, Place, RunRecord, SyncRecord
from retl.rest.vocabulary import RunState
from retl.rest.workspaces import answers, translate

ID, MODEL, DESTINATION, RUN, CREATOR = (UUID(int=number) for number in range(1, 6))
PLACE = Place("growth", UUID(int=9), datetime(2026, 1, 1, tzinfo=UTC))
AT = datetime(2024, 1, 15, 9, 30, 0, 999_999, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "modelRef": {"name": "customers"},
    "destinationRef": {"name": "salesforce"},
    "object": "Contact",
    "mappings": [{"destination": "Email", "source": "email", "key": True}],
}


def record(spec: dict[str, Any], status: dict[str, Any] | None = None) -> SyncRecord:
    metadata = {
        "name": "customers-to-salesforce",
        "namespace": "growth",
        "uid": str(ID),
        "creationTimestamp": "2024-01-15T09:30:00Z",
    }
    sync = Sync.read({"metadata": metadata, "spec": spec, "status": status or {}})
    key = spec.get("primaryKey") or ["customer_id"]
    inline = "query" in spec
    return SyncRecord(
        PLACE,
        sync,
        None if inline else Named(MODEL, "customers"),
        Named(DESTINATION, "salesforce"),
        key,
        None,
        CREATOR,
        AT,
    )


def test_a_sync_has_exactly_the_published_fields_in_the_published_order() -> None:
    assert list(translate.sync(record(SPEC))) == list(get_type_hints(answers.Sync))


def test_a_sync_is_shown_in_the_words_of_the_dialect() -> None:
    spec = SPEC | {
        "displayName": "Customers to Salesforce",
        "description": "Sync active customers",
        "schedule": {"cron": "0 */6 * * *", "timeZone": "Europe/Vienna", "catchUp": "Latest"},
        "guards": {"maxDeletes": "10%", "onBreach": "AwaitApproval"},
    }
    found = record(spec, {"lastSuccessTime": "2024-01-15T15:00:00+01:00"})
    assert translate.sync(replace(found, last_run=RUN)) == {
        "id": str(ID),
        "workspace_id": str(PLACE.uid),
        "model_id": str(MODEL),
        "destination_id": str(DESTINATION),
        "name": "Customers to Salesforce",
        "description": "Sync active customers",
        "field_mapping": [{"source_column": "email", "destination_field": "Email"}],
        "sync_mode": "upsert",
        "schedule": "0 */6 * * *",
        "config": {
            "object": "Contact",
            "key": ["Email"],
            "guards": {"maxDeletes": "10%"},
            "schedule": {"timeZone": "Europe/Vienna"},
        },
        "primary_key": "customer_id",
        "status": "active",
        "status_error": "",
        "created_by": str(CREATOR),
        "created_at": "2024-01-15T09:30:00Z",
        "updated_at": "2024-01-15T09:30:00Z",
        "last_synced_at": "2024-01-15T14:00:00Z",
        "last_run_id": str(RUN),
    }


QUERY = {"query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1"}, "primaryKey": ["id", "country"]}


@pytest.mark.parametrize(
    ("spec", "field", "shown"),
    [
        (SPEC, "name", "customers-to-salesforce"),
        (SPEC | {"displayName": "  "}, "name", "customers-to-salesforce"),
        (SPEC, "description", ""),
        (SPEC, "schedule", ""),
        (SPEC, "last_synced_at", None),
        (SPEC, "last_run_id", None),
        (SPEC | {"schedule": {"cron": "@after", "dependsOn": []}}, "schedule", "@after"),
        (SPEC | {"mode": "mirror"}, "sync_mode", "mirror"),
        (SPEC | QUERY, "model_id", str(ID)),
        (SPEC | QUERY, "primary_key", "id,country"),
        (SPEC | {"mappings": []}, "field_mapping", []),
        (SPEC | {"allColumns": {}}, "config", {"object": "Contact", "key": ["Email"], "allColumns": {}}),
        (SPEC | {"runner": {}, "delivery": {"maxAttempts": 5}}, "config", {"object": "Contact", "key": ["Email"]}),
        (SPEC | {"state": "Draft"}, "status", "draft"),
    ],
)
def test_a_field_of_a_sync_is_shown_as(spec: dict[str, Any], field: str, shown: object) -> None:
    assert dict(translate.sync(record(spec)))[field] == shown


@pytest.mark.parametrize(
    ("mapping", "entry"),
    [
        ({"source": "email"}, {"source_column": "email"}),
        ({"source": "revenue", "cast": "number"}, {"source_column": "revenue", "type_cast": "number"}),
        ({"expression": "upper(country)"}, {"source_column": "upper(country)"}),
        ({"value": "it's"}, {"source_column": "'it''s'"}),
        ({"value": ""}, {"source_column": "''"}),
        ({"metadata": "RunId"}, {"source_column": "{{RunId}}"}),
    ],
)
def test_every_origin_of_a_mapping_is_shown_as_a_column(mapping: dict[str, Any], entry: dict[str, str]) -> None:
    spec = SPEC | {"mappings": [{"destination": "Field"} | mapping]}
    assert translate.sync(record(spec))["field_mapping"] == [entry | {"destination_field": "Field"}]


def test_what_is_gone_has_the_id_of_nothing() -> None:
    found = translate.sync(replace(record(SPEC), model=None, destination=None))
    assert (found["model_id"], found["destination_id"]) == (str(NOBODY), str(NOBODY))


def test_a_sync_in_error_says_why() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "SourceNotFound", "message": "there is none"}
    status = {"conditions": [stalled | {"lastTransitionTime": "2026-03-02T12:00:00Z"}]}
    found = translate.sync(record(SPEC, status))
    assert (found["status"], found["status_error"]) == ("error", "SourceNotFound: there is none")


COUNTS = RunCounts(read=20, unchanged=1, created=2, updated=3, deleted=4, invalid=1, rejected=4, unknown=5)
ENDED = RunRecord(
    PLACE, RUN, "customers-x1", ID, "Succeeded", "Sync", False, AT, AT, AT, COUNTS, SCHEDULE, "Completed", "all done"
)


def test_a_run_has_exactly_the_published_fields() -> None:
    assert translate.run(ENDED) == {
        "id": str(RUN),
        "sync_id": str(ID),
        "workspace_id": str(PLACE.uid),
        "status": "completed",
        "started_at": "2024-01-15T09:30:00Z",
        "completed_at": "2024-01-15T09:30:00Z",
        "rows_synced": 9,
        "rows_failed": 10,
        "error_message": "",
        "triggered_by": str(SCHEDULE),
        "created_at": "2024-01-15T09:30:00Z",
    }


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [
        ("Pending", "pending", ""),
        ("Running", "running", ""),
        ("AwaitingApproval", "pending", "AwaitingApproval: too many deletes"),
        ("Succeeded", "completed", ""),
        ("Failed", "failed", "Held: too many deletes"),
        ("Cancelled", "cancelled", ""),
    ],
)
def test_a_run_says_why_only_if_it_failed_or_is_held(state: RunState, status: str, error: str) -> None:
    found = translate.run(replace(ENDED, state=state, reason="Held", message="too many deletes"))
    assert (found["status"], found["error_message"]) == (status, error)


def test_a_run_that_has_not_started_shows_when_it_was_asked_for_and_no_end() -> None:
    found = translate.run(replace(ENDED, state="Pending", started_at=None, finished_at=None))
    assert (found["started_at"], found["completed_at"]) == ("2024-01-15T09:30:00Z", None)


def test_a_run_just_asked_for_has_exactly_the_published_fields() -> None:
    assert list(translate.started(ENDED)) == list(get_type_hints(answers.StartedRun))


CRM = ConnectionRecord(UUID(int=7), "crm", "Our CRM", AT, "http")


@pytest.mark.parametrize(
    ("ready", "status", "error"),
    [(None, "pending", ""), (True, "ready", ""), (False, "error", "CheckFailed: it does not answer")],
)
def test_a_connection_says_whether_it_is_ready(ready: bool | None, status: str, error: str) -> None:
    told = replace(CRM, ready=ready, reason="CheckFailed", message="it does not answer")
    assert translate.connector(told, PLACE.uid) == {
        "id": str(CRM.uid),
        "workspace_id": str(PLACE.uid),
        "name": "Our CRM",
        "status": status,
        "status_error": error,
        "created_at": "2024-01-15T09:30:00Z",
        "connector": "http",
    }


@pytest.mark.parametrize(("source", "id"), [("crm", str(CRM.uid)), ("gone", str(NOBODY))])
def test_a_model_says_where_its_rows_are(source: str, id: str) -> None:
    found = replace(CRM, uid=MODEL, name="customers", connector="", source=source)
    assert translate.model(found, PLACE.uid, [CRM])["source_id"] == id


@pytest.mark.parametrize(
    ("location", "pointer"),
    [
        (("spec", "displayName"), "/name"),
        (("spec", "modelRef", "name"), "/model_id"),
        (("spec", "query", "sql"), "/model_id"),
        (("spec", "destinationRef"), "/destination_id"),
        (("spec", "object"), "/config/object"),
        (("spec", "mode"), "/sync_mode"),
        (("spec", "primaryKey", 1), "/primary_key"),
        (("spec", "mappings"), "/field_mapping"),
        (("spec", "mappings", 2), "/field_mapping/2"),
        (("spec", "mappings", 2, "source"), "/field_mapping/2/source_column"),
        (("spec", "mappings", 2, "destination"), "/field_mapping/2/destination_field"),
        (("spec", "mappings", 2, "cast"), "/field_mapping/2/type_cast"),
        (("spec", "mappings", 2, "hash", "algorithm"), "/field_mapping/2"),
        (("spec", "key", 0), "/config/key/0"),
        (("spec", "schedule"), "/schedule"),
        (("spec", "schedule", "cron"), "/schedule"),
        (("spec", "schedule", "blackouts", 1, "duration"), "/config/schedule/blackouts/1/duration"),
        (("spec", "guards", "maxDeletes"), "/config/guards/maxDeletes"),
        (("spec", "guards", "a/b~c"), "/config/guards/a~1b~0c"),
        (("spec", "state"), "/status"),
        (("spec", "approval", "planHash"), "/plan_hash"),
        (("spec", "fullRefresh"), "/full_refresh"),
        (("spec",), None),
        (("spec", "suspend"), None),
        (("metadata", "name"), None),
    ],
)
def test_a_place_in_the_manifest_is_a_field_of_the_body(location: Location, pointer: str | None) -> None:
    assert translate.to_pointer(location) == pointer
