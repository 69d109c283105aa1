"""What /api/reverse-etl takes, field by field."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from retl.rest.requests.bodies import field_errors
from retl.rest.reverse_etl import bodies

MAPPING = {"source": "account_id", "destination": "External_Id__c", "key": True}
SYNC: dict[str, Any] = {
    "name": "crm_accounts",
    "sourceQuery": "SELECT account_id FROM accounts",
    "destinationId": "conn_sf_prod",
    "objectName": "Account",
    "fieldMappings": [MAPPING],
    "syncMode": "upsert",
}
LETTERS: dict[str, Any] = {"entryIds": ["retl_dlq_x"], "resolution": "skipped"}
LOOKUP = {"object": "Owner", "matchField": "Email", "returnField": "Id"}


def refused(model: type[BaseModel], sent: Any) -> dict[str, str]:
    """What is wrong with a body, by pointer; nothing if it is taken."""
    try:
        model.model_validate_json(json.dumps(sent))
    except ValidationError as error:
        return {wrong.pointer: wrong.detail for wrong in field_errors(error, sent, model)}
    return {}


@pytest.mark.parametrize("name", SYNC)
def test_a_new_sync_needs_each_required_field(name: str) -> None:
    assert refused(bodies.CreateSync, {k: v for k, v in SYNC.items() if k != name}) == {f"/{name}": "is required"}


@pytest.mark.parametrize("model", [bodies.CreateSync, bodies.ChangeSync])
@pytest.mark.parametrize("name", SYNC)
def test_no_required_field_can_be_null(model: type[BaseModel], name: str) -> None:
    assert refused(model, SYNC | {name: None}) == {f"/{name}": "must not be null"}


@pytest.mark.parametrize("name", ["schedule", "primaryKey", "enabled"])
def test_a_field_that_may_be_left_out_of_a_new_sync_may_be_null(name: str) -> None:
    assert refused(bodies.CreateSync, SYNC | {name: None}) == {}


def test_a_change_needs_no_field_at_all() -> None:
    assert refused(bodies.ChangeSync, {}) == {}


@pytest.mark.parametrize("model", [bodies.CreateSync, bodies.ChangeSync])
@pytest.mark.parametrize(
    ("wrong", "pointer", "words"),
    [
        ({"name": 5}, "/name", "must be a string"),
        ({"name": " \t"}, "/name", "must not be empty"),
        ({"name": "x" * 256}, "/name", "at most 255 characters"),
        ({"sourceQuery": "\n"}, "/sourceQuery", "must not be empty"),
        ({"sourceQuery": "x" * 65_537}, "/sourceQuery", "at most 65536 characters"),
        ({"destinationId": ""}, "/destinationId", "must not be empty"),
        ({"objectName": ["Account"]}, "/objectName", "must be a string"),
        ({"syncMode": "Up sert"}, "/syncMode", "a mode is upsert, insert"),
        ({"fieldMappings": MAPPING}, "/fieldMappings", "must be a list"),
        ({"fieldMappings": [MAPPING] * 501}, "/fieldMappings", "at most 500 items"),
        ({"fieldMappings": ["name"]}, "/fieldMappings/0", "must be an object"),
        ({"fieldMappings": [{"destination": "Name"}]}, "/fieldMappings/0", "exactly one of source, value and metadata"),
        ({"fieldMappings": [MAPPING | {"value": "x"}]}, "/fieldMappings/0", "exactly one of"),
        ({"fieldMappings": [MAPPING | {"source": None}]}, "/fieldMappings/0", "exactly one of"),
        ({"fieldMappings": [MAPPING, {"source": "name"}]}, "/fieldMappings/1/destination", "is required"),
        ({"fieldMappings": [MAPPING | {"key": "true"}]}, "/fieldMappings/0/key", "must be true or false"),
        ({"fieldMappings": [MAPPING | {"key": 1}]}, "/fieldMappings/0/key", "must be true or false"),
        ({"fieldMappings": [MAPPING | {"cast": "money"}]}, "/fieldMappings/0/cast", "must be 'string', 'number'"),
        ({"fieldMappings": [MAPPING | {"skip_nulls": True}]}, "/fieldMappings/0/skip_nulls", "unknown field"),
        ({"fieldMappings": [MAPPING | {"hash": {"algorithm": "MD5"}}]}, "/fieldMappings/0/hash/algorithm", "SHA256"),
        ({"fieldMappings": [MAPPING | {"lookup": LOOKUP | {"onMiss": 1}}]}, "/fieldMappings/0/lookup/onMiss", "'Skip'"),
        ({"schedule": "0 * * * *"}, "/schedule", "must be an object"),
        ({"schedule": {}}, "/schedule/type", "is required"),
        ({"schedule": {"type": "interval"}}, "/schedule/type", "must be 'cron' or 'manual'"),
        ({"schedule": {"type": "cron"}}, "/schedule", "type cron needs expression"),
        ({"schedule": {"type": "cron", "expression": "hourly"}}, "/schedule/expression", "write five fields"),
        ({"schedule": {"type": "manual", "expression": "@daily"}}, "/schedule", "takes neither"),
        ({"schedule": {"type": "manual", "days": 1}}, "/schedule/days", "unknown field"),
        (
            {"schedule": {"type": "cron", "expression": "@daily", "timzone": "UTC"}},
            "/schedule/timzone",
            "did you mean timezone?",
        ),
        (
            {"fieldMappings": [MAPPING | {"lookup": LOOKUP | {"onMis": "Null"}}]},
            "/fieldMappings/0/lookup/onMis",
            "did you mean onMiss?",
        ),
        ({"primaryKey": ["id"] * 17}, "/primaryKey", "at most 16 items"),
        ({"primaryKey": "id"}, "/primaryKey", "must be a list"),
        ({"enabled": "true"}, "/enabled", "must be true or false"),
        ({"source_query": "SELECT 1"}, "/source_query", "unknown field; did you mean sourceQuery?"),
        ({"id": "retl_sync_x"}, "/id", "unknown field"),
    ],
)
def test_a_wrong_field_of_a_sync_is_named(
    model: type[BaseModel], wrong: dict[str, Any], pointer: str, words: str
) -> None:
    found = refused(model, SYNC | wrong)
    assert list(found) == [pointer]
    assert words in found[pointer]


def test_all_wrong_fields_are_named_at_once() -> None:
    sent = SYNC | {"name": 1, "fieldMappings": [{"destination": ""}], "schedule": {"type": "x"}, "more": 1}
    assert set(refused(bodies.CreateSync, sent)) == {"/name", "/fieldMappings/0/destination", "/schedule/type", "/more"}


def test_a_new_sync_maps_something_but_a_sync_that_maps_all_columns_can_be_sent_back() -> None:
    assert refused(bodies.CreateSync, SYNC | {"fieldMappings": []}) == {"/fieldMappings": "must not be empty"}
    assert refused(bodies.ChangeSync, {"fieldMappings": []}) == {}


def test_a_sync_that_is_there_is_on_or_off() -> None:
    assert refused(bodies.ChangeSync, {"enabled": None}) == {"/enabled": "must not be null"}


@pytest.mark.parametrize(
    ("model", "sent", "pointer", "words"),
    [
        (bodies.RunSync, {}, "", "exactly one of syncId and syncIds"),
        (bodies.RunSync, {"syncId": "a", "syncIds": ["b"]}, "", "exactly one of syncId and syncIds"),
        (bodies.RunSync, {"syncId": None}, "", "exactly one of syncId and syncIds"),
        (bodies.RunSync, {"syncId": 5}, "/syncId", "must be a string"),
        (bodies.RunSync, {"syncIds": []}, "/syncIds", "must not be empty"),
        (bodies.RunSync, {"syncIds": ["a"] * 101}, "/syncIds", "at most 100 items"),
        (bodies.RunSync, {"syncIds": ["a", None]}, "/syncIds/1", "must not be null"),
        (bodies.RunSync, {"syncId": "a", "fullRefresh": 1}, "/fullRefresh", "must be true or false"),
        (bodies.RunSync, {"syncId": "a", "full_refresh": True}, "/full_refresh", "did you mean fullRefresh?"),
        (bodies.ToggleSync, {"syncId": "a"}, "/enabled", "is required"),
        (bodies.ToggleSync, {"enabled": True}, "/syncId", "is required"),
        (bodies.ToggleSync, {"syncId": "a", "enabled": None}, "/enabled", "must not be null"),
        (bodies.PlanSync, {}, "/syncId", "is required"),
        (bodies.ApproveRun, {"planHash": ""}, "/planHash", "must not be empty"),
        (bodies.ApproveRun, {"plan_hash": "x", "planHash": "x"}, "/plan_hash", "unknown field"),
        (bodies.ResolveLetters, LETTERS | {"entryIds": []}, "/entryIds", "must not be empty"),
        (bodies.ResolveLetters, LETTERS | {"entryIds": ["a"] * 1001}, "/entryIds", "at most 1000 items"),
        (bodies.ResolveLetters, LETTERS | {"entryIds": [7]}, "/entryIds/0", "must be a string"),
        (bodies.ResolveLetters, {"entryIds": ["a"]}, "/resolution", "is required"),
        (bodies.ResolveLetters, LETTERS | {"resolution": "not now"}, "/resolution", "write letters, digits"),
        (bodies.ResolveLetters, LETTERS | {"resolution": "x" * 64}, "/resolution", "at most 63 characters"),
        (bodies.ResolveLetters, LETTERS | {"replay": "yes"}, "/replay", "must be true or false"),
    ],
)
def test_a_wrong_field_of_a_request_is_named(model: type[BaseModel], sent: Any, pointer: str, words: str) -> None:
    found = refused(model, sent)
    assert list(found) == [pointer]
    assert words in found[pointer]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (bodies.RunSync, {"syncIds": ["a", "a"], "fullRefresh": None, "syncId": None}),
        (bodies.ResolveLetters, LETTERS | {"replay": None}),
        (bodies.CreateSync, SYNC | {"schedule": {"type": "manual", "expression": None}}),
        (bodies.CreateSync, SYNC | {"schedule": {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"}}),
        (bodies.CreateSync, SYNC | {"fieldMappings": [MAPPING | {"lookup": LOOKUP, "hash": None}]}),
        (bodies.CreateSync, SYNC | {"fieldMappings": [{"metadata": "RunId", "destination": "run", "cast": None}]}),
        (bodies.CreateSync, SYNC | {"fieldMappings": [{"value": "", "destination": "note", "onlyIfEmpty": True}]}),
    ],
)
def test_what_is_meant_is_taken(model: type[BaseModel], sent: Any) -> None:
    assert refused(model, sent) == {}
