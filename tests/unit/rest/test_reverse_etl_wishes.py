"""From bodies of /api/reverse-etl to what becomes of a sync: nothing is lost that the dialect cannot say."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from retl.resources.ids import type_id
from retl.resources.problems import Location
from retl.resources.views import Sync
from retl.rest.problems import Problem
from retl.rest.reverse_etl import ids, translate, wishes
from retl.rest.reverse_etl.bodies import ChangeSync, CreateSync
from retl.rest.service.merge import Found, merged
from retl.rest.service.values import UNSET, MappingWish, ScheduleWish, SyncWish
from tests.unit.rest.specs import SPECS, Spec
from tests.unit.rest.test_reverse_etl_translate import DESTINATION_UID, LETTER_UID, RUN_UID, SPEC, SYNC_UID, record


def changed(sent: dict[str, Any], **spec: Any) -> SyncWish:
    """What a body asks for of a sync that is there."""
    body = ChangeSync.model_validate_json(json.dumps(sent))
    return wishes.changed(body, translate.sync_whole(record(**spec))["attributes"])


def as_sent(shown: Any) -> Any:
    """What a client sends to have a sync as it is shown: the same in camelCase, without what it cannot set."""
    if isinstance(shown, list):
        return [as_sent(each) for each in shown]
    if not isinstance(shown, dict):
        return shown
    return {to_camel(name): as_sent(each) for name, each in shown.items() if not name.endswith("_at")}


def test_a_body_for_a_new_sync_is_a_wish_for_all_of_it() -> None:
    body = CreateSync.model_validate(
        {
            "name": "crm",
            "sourceQuery": "model:active-accounts",
            "destinationId": "conn_sf_prod",
            "objectName": "Account",
            "fieldMappings": [
                {"source": "id", "destination": "Id", "key": True},
                {"value": "eu", "destination": "Region", "cast": None},
            ],
            "syncMode": "upsert",
            "schedule": {"type": "cron", "expression": "@hourly", "timezone": "Europe/Vienna"},
        }
    )
    assert wishes.created(body) == SyncWish(
        name="crm",
        query="model:active-accounts",
        destination="conn_sf_prod",
        object="Account",
        mappings=[
            MappingWish("Id", "id", key=True),
            MappingWish("Region", "", cast=None, further={"value": "eu"}),
        ],
        sql_columns=True,
        mode="upsert",
        schedule=ScheduleWish("@hourly", "Europe/Vienna"),
        enabled=True,
    )


@pytest.mark.parametrize(
    ("sent", "wish"),
    [
        ({}, SyncWish(sql_columns=True)),
        ({"name": "crm"}, SyncWish(sql_columns=True, name="crm")),
        ({"sourceQuery": "SELECT 1"}, SyncWish(sql_columns=True, query="SELECT 1")),
        (
            {"destinationId": type_id("conn", LETTER_UID)},
            SyncWish(sql_columns=True, destination=LETTER_UID),
        ),
        ({"destinationId": type_id("conn", DESTINATION_UID), "enabled": True}, SyncWish(sql_columns=True)),
        ({"destinationId": "conn_sf_prod"}, SyncWish(sql_columns=True, destination="conn_sf_prod")),
        ({"objectName": "Contact"}, SyncWish(sql_columns=True, object="Contact")),
        ({"syncMode": "append"}, SyncWish(sql_columns=True, mode="append")),
        ({"enabled": False}, SyncWish(sql_columns=True, enabled=False)),
        ({"schedule": None}, SyncWish(sql_columns=True, schedule=None)),
        ({"schedule": {"type": "manual"}}, SyncWish(sql_columns=True, schedule=None)),
        (
            {"schedule": {"type": "cron", "expression": "@daily"}},
            SyncWish(sql_columns=True, schedule=ScheduleWish("@daily")),
        ),
        ({"primaryKey": None}, SyncWish(sql_columns=True, primary_key=())),
        ({"primaryKey": ["a", "b"]}, SyncWish(sql_columns=True, primary_key=["a", "b"])),
        ({"fieldMappings": []}, SyncWish(sql_columns=True, mappings=[])),
        (
            {"fieldMappings": [{"source": "a", "destination": "A", "hash": {"algorithm": "SHA256"}, "lookup": None}]},
            SyncWish(
                sql_columns=True,
                mappings=[MappingWish("A", "a", further={"hash": {"algorithm": "SHA256"}, "lookup": None})],
            ),
        ),
        (
            {"fieldMappings": [{"source": "a", "destination": "A", "skipNulls": True, "onlyIfEmpty": False}]},
            SyncWish(
                sql_columns=True,
                mappings=[MappingWish("A", "a", further={"skipNulls": True, "onlyIfEmpty": False})],
            ),
        ),
    ],
)
def test_a_change_wishes_for_what_was_sent_and_nothing_else(sent: dict[str, Any], wish: SyncWish) -> None:
    assert changed(sent) == wish


def test_a_zone_that_is_not_sent_is_not_wished_for() -> None:
    schedule = changed({"schedule": {"type": "cron", "expression": "@daily"}}).schedule
    assert isinstance(schedule, ScheduleWish)
    assert schedule.time_zone is UNSET


def visible(spec: Spec) -> bool:
    """Whether its names are any that people see; others cannot be sent."""
    return all(spec.get(name, "").strip() or not spec.get(name) for name in ("displayName", "object"))


def shown_of(spec: Spec) -> dict[str, Any]:
    """A sync of any spec, as GET shows it."""
    row_set = f"model:{spec['modelRef']['name']}" if "modelRef" in spec else spec["query"]["sql"]
    manifest = {"metadata": record().sync.manifest["metadata"], "spec": spec}
    found = replace(record(), sync=Sync.read(manifest), query=row_set)
    shown: dict[str, Any] = {**translate.sync_whole(found)["attributes"]}
    return shown


def put(spec: Spec, sent: dict[str, Any], found: Found) -> Spec:
    """What becomes of a spec."""
    body = ChangeSync.model_validate_json(json.dumps(sent))
    present: Any = shown_of(spec)
    return merged(spec, wishes.changed(body, present), found)


@settings(max_examples=60)
@given(SPECS.filter(visible))
def test_a_sync_that_is_sent_back_as_it_is_shown_stays_as_it_is(spec: Spec) -> None:
    assert put(spec, as_sent(shown_of(spec)), Found({})) == spec


@settings(max_examples=60)
@given(
    SPECS.filter(visible),
    st.sets(st.sampled_from(["name", "sourceQuery", "objectName", "fieldMappings", "syncMode", "schedule"])),
)
def test_a_field_that_is_not_sent_stays_as_it_is(spec: Spec, names: set[str]) -> None:
    sent = {name: value for name, value in as_sent(shown_of(spec)).items() if name in names}
    assert put(spec, sent, Found({})) == spec


@settings(max_examples=60)
@given(SPECS.filter(visible))
def test_one_more_mapping_changes_nothing_else(spec: Spec) -> None:
    mappings = spec.get("mappings") or []
    assume(all(each["destination"] != "New Field" for each in mappings))
    more = {"source": "new_column", "destination": "New Field"}
    sent = as_sent(shown_of(spec))["fieldMappings"] + [more]
    assert put(spec, {"fieldMappings": sent}, Found({})) == spec | {"mappings": [*mappings, more]}


KEYED: list[dict[str, Any]] = [
    {"source": "account_id", "destination": "Id", "key": True},
    {"source": "region", "destination": "Region"},
]


@pytest.mark.parametrize(
    ("sent", "primary_key"),
    [
        ({"fieldMappings": KEYED}, ["account_id"]),
        ({"fieldMappings": [each | {"key": True} for each in KEYED]}, ["account_id", "region"]),
        ({"fieldMappings": KEYED, "primaryKey": ["region"]}, ["region"]),
        ({"primaryKey": ["region"]}, ["region"]),
        ({"fieldMappings": KEYED, "primaryKey": None}, ["account_id"]),
    ],
)
def test_rows_of_a_query_are_told_apart_by_the_key_or_by_what_is_sent(
    sent: dict[str, Any], primary_key: list[str]
) -> None:
    assert put(SPEC, sent, Found({}))["primaryKey"] == primary_key


def test_rows_of_a_query_stay_the_same_as_long_as_the_key_does() -> None:
    spec = SPEC | {"primaryKey": ["tenant", "account_id"]}
    sent = as_sent(shown_of(spec))["fieldMappings"][:1]
    assert put(spec, {"fieldMappings": sent}, Found({}))["primaryKey"] == ["tenant", "account_id"]


@pytest.mark.parametrize(
    ("place", "pointer"),
    [
        (("spec", "displayName"), "/name"),
        (("spec", "query", "sql"), "/sourceQuery"),
        (("spec", "query", "sourceRef", "name"), "/sourceQuery"),
        (("spec", "modelRef", "name"), "/sourceQuery"),
        (("spec", "destinationRef", "name"), "/destinationId"),
        (("spec", "object"), "/objectName"),
        (("spec", "mode"), "/syncMode"),
        (("spec", "primaryKey", 1), "/primaryKey/1"),
        (("spec", "mappings"), "/fieldMappings"),
        (("spec", "mappings", 3), "/fieldMappings/3"),
        (("spec", "mappings", 3, "source"), "/fieldMappings/3/source"),
        (("spec", "mappings", 3, "expression"), "/fieldMappings/3/source"),
        (("spec", "mappings", 3, "lookup", "matchField"), "/fieldMappings/3/lookup/matchField"),
        (("spec", "schedule"), "/schedule"),
        (("spec", "schedule", "cron"), "/schedule/expression"),
        (("spec", "schedule", "timeZone"), "/schedule/timezone"),
        (("spec", "schedule", "dependsOn", 0), "/schedule"),
        (("spec", "state"), "/enabled"),
        (("spec", "fullRefresh"), "/fullRefresh"),
        (("spec", "approval", "planHash"), "/planHash"),
        (("spec", "replay", "entries", 1), "/entryIds/1"),
        (("spec", "guards", "maxDeletes"), None),
        (("spec",), None),
        (("metadata", "name"), None),
    ],
)
def test_a_place_in_the_manifest_is_a_field_of_the_body(place: Location, pointer: str | None) -> None:
    assert wishes.pointer(place) == pointer


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        (type_id("retl_sync", SYNC_UID), SYNC_UID),
        (str(SYNC_UID), SYNC_UID),
        (str(SYNC_UID).upper(), SYNC_UID),
        (type_id("retl_run", SYNC_UID), None),
        (type_id("retl_sync", SYNC_UID).upper(), None),
        (type_id("retl_sync", SYNC_UID)[:-1], None),
        (SYNC_UID.hex, None),
        ("crm-accounts", None),
        ("", None),
        ("retl_sync_../../secrets", None),
    ],
)
def test_an_id_of_a_sync_is_known_by_its_form(text: str, uid: UUID | None) -> None:
    assert ids.known(text, "retl_sync") == uid


def test_an_id_that_is_none_is_told_where_it_stands() -> None:
    with pytest.raises(Problem) as path:
        ids.in_path("x", "retl_run")
    assert path.value.status == 404
    with pytest.raises(Problem) as query:
        ids.in_query("x", "retl_sync", "sync_id")
    assert query.value.document()["errors"] == [
        {"detail": "must be an id that begins with retl_sync_", "parameter": "sync_id"}
    ]
    with pytest.raises(Problem) as body:
        ids.all_in_body([str(LETTER_UID), "x", "y"], "retl_dlq", "entryIds")
    assert body.value.status == 422
    assert [wrong["pointer"] for wrong in body.value.document()["errors"]] == ["/entryIds/1", "/entryIds/2"]


def test_ids_of_a_body_keep_their_order() -> None:
    texts = [str(RUN_UID), type_id("retl_dlq", LETTER_UID), str(RUN_UID)]
    assert ids.all_in_body(texts, "retl_dlq", "entryIds") == [RUN_UID, LETTER_UID, RUN_UID]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (type_id("conn", DESTINATION_UID), DESTINATION_UID),
        (str(DESTINATION_UID), DESTINATION_UID),
        ("sf-prod", "sf-prod"),
        ("conn_sf_prod", "conn_sf_prod"),
        (type_id("retl_sync", SYNC_UID), type_id("retl_sync", SYNC_UID)),
    ],
)
def test_a_destination_is_named_by_id_or_by_words(text: str, named: UUID | str) -> None:
    assert ids.destination(text) == named
