"""What a wish makes of a sync: only what it names changes, and it changes by the smallest patch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from retl.rest.problems import Problem
from retl.rest.service import mappings, merge
from retl.rest.service.merge import Found
from retl.rest.service.values import MappingWish, ScheduleWish, SyncWish

NOTHING = Found({})
MODEL = Found({"modelRef": {"name": "accounts"}}, ["account_id"], "crm", "Account")
QUERY = {"query": {"sourceRef": {"name": "warehouse"}, "sql": "SELECT 1 AS id"}}
SPEC: dict[str, Any] = {
    "displayName": "Accounts",
    "modelRef": {"name": "accounts"},
    "destinationRef": {"name": "crm"},
    "object": "Account",
    "mode": "upsert",
    "mappings": [
        {"source": "account_id", "destination": "Id", "key": True},
        {"expression": "upper(country)", "destination": "Country", "skipNulls": True},
        {"value": "it's", "destination": "LeadSource"},
        {"metadata": "RunId", "destination": "Run"},
    ],
    "schedule": {"cron": "0 * * * *", "timeZone": "Europe/Vienna", "catchUp": "None"},
    "state": "Active",
    "delivery": {"maxInFlight": 2, "maxAttempts": 7},
}


def changed(wish: SyncWish, found: Found = NOTHING, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The patch that a wish comes to."""
    known = SPEC if before is None else before
    return merge.difference(known, merge.merged(known, wish, found))


@pytest.mark.parametrize(
    ("wish", "found", "patch"),
    [
        (SyncWish(), NOTHING, {}),
        (SyncWish(name="Others"), NOTHING, {"displayName": "Others"}),
        (SyncWish(description="", name="Accounts"), NOTHING, {}),
        (SyncWish(mode="insert", object="Lead"), NOTHING, {"mode": "insert", "object": "Lead"}),
        (SyncWish(schedule=None), NOTHING, {"schedule": None}),
        (SyncWish(schedule=ScheduleWish("5 * * * *")), NOTHING, {"schedule": {"cron": "5 * * * *"}}),
        (SyncWish(schedule=ScheduleWish("0 * * * *", "UTC")), NOTHING, {"schedule": {"timeZone": "UTC"}}),
        (SyncWish(settings={"schedule": {"jitter": "5m"}}), NOTHING,
         {"schedule": {"timeZone": None, "catchUp": None, "jitter": "5m"}}),
        (SyncWish(settings={"schedule": None}), NOTHING, {"schedule": {"timeZone": None, "catchUp": None}}),
        (SyncWish(settings={"delivery": {"maxInFlight": 3}}), NOTHING,
         {"delivery": {"maxInFlight": 3, "maxAttempts": None}}),
        (SyncWish(settings={"delivery": None}), NOTHING, {"delivery": None}),
        (SyncWish(settings={"object": None}), Found({}, object="Default"), {"object": "Default"}),
        (SyncWish(state="Paused"), NOTHING, {"state": "Paused"}),
        (SyncWish(enabled=False), NOTHING, {"state": "Paused"}),
        (SyncWish(enabled=True), NOTHING, {}),
        (SyncWish(primary_key=["account_id"]), Found({}, ["account_id"]), {}),
        (SyncWish(primary_key=["other"]), Found({}, ["account_id"]), {"primaryKey": ["other"]}),
        (SyncWish(destination="x"), Found({}, destination="other"), {"destinationRef": {"name": "other"}}),
        (SyncWish(query="x", sql_columns=True), Found(QUERY),
         {"modelRef": None, **QUERY, "primaryKey": ["account_id"]}),
    ],
)  # fmt: skip
def test_only_what_a_wish_names_changes(wish: SyncWish, found: Found, patch: dict[str, Any]) -> None:
    assert changed(wish, found) == patch


def test_a_draft_that_is_switched_off_stays_one() -> None:
    draft = SPEC | {"state": "Draft"}
    assert changed(SyncWish(enabled=False), before=draft) == {}
    assert changed(SyncWish(enabled=True), before=draft) == {"state": "Active"}


def _sent_back(sql_columns: bool) -> list[MappingWish]:
    texts = {
        "Id": "account_id", "Country": "upper(country)", "LeadSource": "'it''s'", "Run": "{{RunId}}",
    }  # fmt: skip
    further: dict[str, dict[str, str]] = {"LeadSource": {"value": "it's"}, "Run": {"metadata": "RunId"}}
    return [
        MappingWish(name, "" if sql_columns and name in further else text, further=further.get(name, {}))
        if sql_columns
        else MappingWish(name, text)
        for name, text in texts.items()
    ]


@pytest.mark.parametrize("sql_columns", [True, False])
def test_mappings_that_are_sent_as_they_are_shown_stay_whole(sql_columns: bool) -> None:
    assert changed(SyncWish(mappings=_sent_back(sql_columns), sql_columns=sql_columns)) == {}


@pytest.mark.parametrize(
    ("sql_columns", "wish", "mapping"),
    [
        (False, MappingWish("Country", "land"), {"destination": "Country", "skipNulls": True, "source": "land"}),
        (False, MappingWish("Country", "upper(country)", cast="string"),
         {"destination": "Country", "skipNulls": True, "expression": "upper(country)", "cast": "string"}),
        (False, MappingWish("New", "Odd Column"), {"destination": "New", "source": "Odd Column"}),
        (True, MappingWish("New", '"Odd "" Column"'), {"destination": "New", "source": 'Odd " Column'}),
        (True, MappingWish("New", "_a$1"), {"destination": "New", "source": "_a$1"}),
        (True, MappingWish("New", "1"), {"destination": "New", "expression": "1"}),
        (True, MappingWish("Country", "", further={"value": ""}),
         {"destination": "Country", "skipNulls": True, "value": ""}),
        (True, MappingWish("Country", "upper(country)", further={"skipNulls": None, "sensitive": True}),
         {"destination": "Country", "expression": "upper(country)", "sensitive": True}),
        (True, MappingWish("Country", "upper(country)", further={"onlyIfEmpty": False}, cast=None),
         {"destination": "Country", "skipNulls": True, "expression": "upper(country)"}),
    ],
)  # fmt: skip
def test_a_mapping_meets_the_one_of_the_same_destination(
    sql_columns: bool, wish: MappingWish, mapping: dict[str, Any]
) -> None:
    assert mappings.merged(SPEC["mappings"], [wish], sql_columns=sql_columns) == [mapping]


@pytest.mark.parametrize(
    ("wish", "keys"),
    [
        ([MappingWish("Id", "account_id"), MappingWish("Name", "name")], ["Id"]),
        ([MappingWish("Name", "name"), MappingWish("Mail", "email")], ["Name"]),
        ([MappingWish("Name", "name"), MappingWish("Mail", "email", key=True)], ["Mail"]),
    ],
)
def test_a_new_sync_of_the_first_dialect_always_has_a_key(wish: list[MappingWish], keys: list[str]) -> None:
    spec = merge.merged(None, SyncWish(name="x", mappings=wish), MODEL)
    assert [each["destination"] for each in spec["mappings"] if each.get("key")] == keys
    assert (spec["object"], spec["destinationRef"]) == ("Account", {"name": "crm"})


def test_the_key_can_be_said_by_itself() -> None:
    assert [each.get("key") for each in changed(SyncWish(settings={"key": ["Country"]}))["mappings"]] == [
        None, True, None, None,
    ]  # fmt: skip
    assert changed(SyncWish(settings={"key": None}), Found({}, ["account_id"])) == {}


def test_rows_of_a_query_are_told_apart_by_the_key_where_nobody_says_by_what() -> None:
    wish = SyncWish(
        query="x", object="o", destination="d", sql_columns=True,
        mappings=[MappingWish("Id", "id", key=True), MappingWish("Tenant", "tenant", key=True)],
    )  # fmt: skip
    new = Found(QUERY, destination="crm")
    assert merge.merged(None, wish, new)["primaryKey"] == ["id", "tenant"]
    assert merge.merged(None, replace(wish, primary_key=["row"]), new)["primaryKey"] == ["row"]
    before = merge.merged(None, replace(wish, primary_key=["row"]), new)
    assert merge.merged(before, SyncWish(name="x", sql_columns=True), NOTHING)["primaryKey"] == ["row"]


@pytest.mark.parametrize(
    ("wish", "found", "places"),
    [
        (SyncWish(mode="Upsert!"), NOTHING, [("spec", "mode")]),
        (SyncWish(schedule=ScheduleWish("often")), NOTHING, [("spec", "schedule", "cron")]),
        (SyncWish(schedule=ScheduleWish("61 * * * *")), NOTHING, [("spec", "schedule", "cron")]),
        (SyncWish(schedule=ScheduleWish("0 0 30 2 *")), NOTHING, [("spec", "schedule", "cron")]),
        (SyncWish(schedule=ScheduleWish("@daily", "Europe/Vienne")), NOTHING, [("spec", "schedule", "timeZone")]),
        (SyncWish(settings={"key": ["Id", "Nothing"]}), NOTHING, [("spec", "key", 1)]),
        (SyncWish(settings={"guards": {"maxDeletes": "lots"}}), NOTHING, [("spec", "guards", "maxDeletes")]),
        (SyncWish(schedule=None, settings={"schedule": {"jitter": "5m"}}), NOTHING, [("spec", "schedule", "cron")]),
        (SyncWish(mappings=[MappingWish("A", "a"), MappingWish("A", "b")]), NOTHING,
         [("spec", "mappings", 1, "destination")]),
        (SyncWish(mappings=[MappingWish("A", "a")], sql_columns=True), NOTHING, [("spec", "mappings")]),
        (SyncWish(mappings=[], sql_columns=True), NOTHING, [("spec", "mappings")]),
        (SyncWish(mode="mirror", settings={"changeDetection": {"strategy": "Cursor", "column": "at"}}), NOTHING,
         [("spec", "mode")]),
        (SyncWish(query="x", sql_columns=True, mappings=[MappingWish("A", "a || b", key=True)]), Found(QUERY),
         [("spec", "mappings")]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_place_in_the_manifest(wish: SyncWish, found: Found, places: list[Any]) -> None:
    with pytest.raises(Problem) as caught:
        merge.merged(SPEC, wish, found)
    assert caught.value.status == 422
    assert [error.location for error in caught.value.errors] == places


def test_what_was_wrong_before_keeps_nobody_from_changing_something_else() -> None:
    newer = SPEC | {"tomorrow": {"x": 1}}
    assert changed(SyncWish(name="y"), before=newer) == {"displayName": "y"}


def test_two_specs_are_the_same_if_only_defaults_tell_them_apart() -> None:
    assert merge.same(SPEC, {**SPEC, "delivery": {**SPEC["delivery"], "timeout": "30s"}, "guards": {}})
    assert not merge.same(SPEC, {**SPEC, "delivery": {}})
    assert not merge.same({**SPEC, "tomorrow": 1}, SPEC)
