"""From bodies of /api/v1/workspaces to what becomes of a sync: nothing is lost that the dialect cannot say."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retl.rest.problems import Problem
from retl.rest.service.merge import Found, merged
from retl.rest.service.values import MappingWish, ScheduleWish, SyncWish
from retl.rest.workspaces import translate, wishes
from retl.rest.workspaces.bodies import ChangeSync, CreateSync
from tests.unit.rest.specs import SPECS, Spec, read
from tests.unit.rest.test_workspaces_translate import DESTINATION, ID, MODEL, SPEC, record

NEW: dict[str, Any] = {
    "name": "Customers to Salesforce",
    "model_id": str(MODEL),
    "destination_id": str(DESTINATION),
    "field_mapping": [
        {"source_column": "email", "destination_field": "Email"},
        {"source_column": "first_name", "destination_field": "FirstName"},
    ],
    "sync_mode": "upsert",
    "primary_key": "customer_id",
    "schedule": "0 */6 * * *",
}
EXAMPLE = SyncWish(
    name="Customers to Salesforce",
    model=MODEL,
    destination=DESTINATION,
    mappings=[MappingWish("Email", "email", cast=None), MappingWish("FirstName", "first_name", cast=None)],
    mode="upsert",
    primary_key=["customer_id"],
    schedule=ScheduleWish("0 */6 * * *"),
)


def created(body: dict[str, Any]) -> SyncWish:
    return wishes.creation(CreateSync.model_validate_json(json.dumps(body)))


def changed(spec: Spec, body: dict[str, Any]) -> SyncWish:
    return wishes.change(ChangeSync.model_validate_json(json.dumps(body)), translate.sync(record(spec)))


def shown(spec: Spec) -> dict[str, Any]:
    return dict(translate.sync(record(spec)))


def after(spec: Spec, body: dict[str, Any]) -> Spec:
    return merged(spec, changed(spec, body), Found({}))


def test_the_published_example_of_a_new_sync_says_what_it_is_to_be() -> None:
    assert created(NEW) == EXAMPLE


@pytest.mark.parametrize(
    "optional",
    [dict.fromkeys(("description", "schedule", "config", "status"), None), {"config": {"guards": None}}],
)
def test_null_in_an_optional_field_of_a_new_sync_is_as_if_it_were_not_sent(optional: dict[str, Any]) -> None:
    body = {name: value for name, value in NEW.items() if name != "schedule"}
    assert created(body | optional) == created(body)


@pytest.mark.parametrize("name", [*wishes.READ_ONLY, *wishes.MOVES])
def test_a_new_sync_has_no_read_only_field_null_neither(name: str) -> None:
    with pytest.raises(Problem, match=f"/{name}: is read-only"):
        created(NEW | {name: None})


@pytest.mark.parametrize(
    ("sent", "wish"),
    [
        ({"status": "draft"}, {"state": "Draft"}),
        ({"status": "paused"}, {"state": "Paused"}),
        ({"schedule": ""}, {"schedule": None}),
        ({"primary_key": " id , country"}, {"primary_key": ["id", "country"]}),
        ({"model_id": str(MODEL).upper()}, {"model": MODEL}),
        ({"config": {"object": "Contact"}}, {"object": "Contact"}),
        (
            {"config": {"key": ["Email"], "guards": {"minRows": 1}}},
            {"settings": {"key": ["Email"], "guards": {"minRows": 1}}},
        ),
        (
            {"config": {"schedule": {"timeZone": "Europe/Vienna"}}},
            {"settings": {"schedule": {"timeZone": "Europe/Vienna"}}},
        ),
    ],
)
def test_a_field_of_a_new_sync_says(sent: dict[str, Any], wish: dict[str, Any]) -> None:
    found = created(NEW | sent)
    assert {name: getattr(found, name) for name in wish} == wish


FULL: Spec = SPEC | {
    "displayName": "Customers",
    "description": "all of them",
    "schedule": {"cron": "@daily", "timeZone": "Europe/Vienna"},
    "guards": {"maxDeletes": "5%"},
    "primaryKey": ["customer_id"],
}


@pytest.mark.parametrize(
    ("sent", "wish"),
    [
        ({}, SyncWish()),
        (
            {"schedule": "0 */12 * * *", "status": "paused"},
            SyncWish(schedule=ScheduleWish("0 */12 * * *"), state="Paused"),
        ),
        ({"schedule": None}, SyncWish(schedule=None)),
        ({"description": None}, SyncWish(description="")),
        ({"config": None}, SyncWish(settings={"key": None, "guards": None, "schedule": None})),
        ({"config": {"guards": None}}, SyncWish(settings={"guards": None})),
        ({"config": {"guards": {"maxDeletes": "5%"}, "history": None}}, SyncWish()),
        ({"model_id": str(MODEL).upper(), "status": "active"}, SyncWish()),
        ({"model_id": str(ID)}, SyncWish(model=ID)),
        ({"id": str(ID), "last_run_id": None, "status_error": ""}, SyncWish()),
        ({"last_run_id": str(ID), "status_error": "old", "updated_at": "2024-01-15T09:30:01Z"}, SyncWish()),
    ],
)
def test_a_change_wishes_what_differs_from_what_is_shown(sent: dict[str, Any], wish: SyncWish) -> None:
    assert changed(FULL, sent) == wish


BAD_FORM: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    ({"name": ""}, ("name",)),
    ({"name": " \t"}, ("name",)),
    ({"name": "x" * 256}, ("name",)),
    ({"name": 5}, ("name",)),
    ({"name": None}, ("name",)),
    ({"description": "x" * 4097}, ("description",)),
    ({"model_id": "customers"}, ("model_id",)),
    ({"model_id": "{550e8400-e29b-41d4-a716-446655440000}"}, ("model_id",)),
    ({"destination_id": None}, ("destination_id",)),
    ({"field_mapping": {}}, ("field_mapping",)),
    ({"field_mapping": [{"source_column": "a", "destination_field": "A"}] * 501}, ("field_mapping",)),
    ({"field_mapping": [{"source_column": "a"}]}, ("field_mapping", 0, "destination_field")),
    ({"field_mapping": [{"source_column": "", "destination_field": "A"}]}, ("field_mapping", 0, "source_column")),
    (
        {"field_mapping": [{"source_column": "a", "destination_field": "A", "type_cast": "text"}]},
        ("field_mapping", 0, "type_cast"),
    ),
    ({"field_mapping": [{"source_column": "a", "destination_field": "A", "key": True}]}, ("field_mapping", 0, "key")),
    ({"sync_mode": ""}, ("sync_mode",)),
    ({"schedule": 6}, ("schedule",)),
    ({"primary_key": ["id"]}, ("primary_key",)),
    ({"config": []}, ("config",)),
    ({"config": {"object": ""}}, ("config", "object")),
    ({"config": {"dead_letters": {}}}, ("config", "dead_letters")),
    ({"config": {"guards": "10%"}}, ("config", "guards")),
    ({"config": {"key": "Email"}}, ("config", "key")),
    ({"fieldMapping": []}, ("fieldMapping",)),
]


@pytest.mark.parametrize(("sent", "place"), BAD_FORM)
def test_a_body_of_another_form_is_refused_where_it_is_wrong(
    sent: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    for model, body in ((ChangeSync, sent), (CreateSync, NEW | sent)):
        with pytest.raises(ValidationError) as refused:
            model.model_validate_json(json.dumps(body))
        assert {error["loc"] for error in refused.value.errors()} == {place}


@pytest.mark.parametrize("missing", ["name", "model_id", "destination_id", "field_mapping", "sync_mode", "primary_key"])
def test_a_new_sync_needs(missing: str) -> None:
    with pytest.raises(ValidationError) as refused:
        created({name: value for name, value in NEW.items() if name != missing})
    assert [(error["type"], error["loc"]) for error in refused.value.errors()] == [("missing", (missing,))]


ONE = [{"source_column": "a", "destination_field": " "}]
BAD_SENSE: list[tuple[dict[str, Any], list[str]]] = [
    ({"id": "5"}, ["/id"]),
    (
        {"created_at": "2024-01-15T09:30:01Z", "workspace_id": "00000000-0000-0000-0000-000000000007"},
        ["/workspace_id", "/created_at"],
    ),
    ({"sync_mode": "append"}, ["/sync_mode"]),
    ({"status": "error"}, ["/status"]),
    ({"status": "enabled"}, ["/status"]),
    ({"primary_key": ""}, ["/primary_key"]),
    ({"primary_key": "id,,country"}, ["/primary_key"]),
    ({"field_mapping": []}, ["/field_mapping"]),
    ({"field_mapping": ONE}, ["/field_mapping/0/destination_field"]),
    ({"config": {"object": " "}}, ["/config/object"]),
    ({"config": {"schedule": {"cron": "@daily"}}}, ["/config/schedule/cron"]),
    ({"name": "x", "status": "off", "sync_mode": "all"}, ["/sync_mode", "/status"]),
]


@pytest.mark.parametrize(("sent", "pointers"), BAD_SENSE)
def test_what_makes_no_sense_is_refused_with_all_that_is_wrong(sent: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        created(NEW | sent)
    assert [error.pointer for error in refused.value.errors] == pointers
    with pytest.raises(Problem) as refused:
        changed(FULL, sent)
    assert [error.pointer for error in refused.value.errors] == pointers


@pytest.mark.parametrize("sent", [{"status": None}, {"config": {"object": None}}])
def test_what_has_no_default_cannot_be_taken_away(sent: dict[str, Any]) -> None:
    with pytest.raises(Problem, match="must not be null"):
        changed(FULL, sent)


def test_a_sync_of_another_mode_keeps_it_when_it_is_sent_back() -> None:
    spec = FULL | {"mode": "append"}
    assert changed(spec, {"sync_mode": "append"}) == SyncWish()
    with pytest.raises(Problem, match="sync_mode"):
        changed(spec, {"sync_mode": "delete"})


def test_the_status_error_can_be_sent_back_where_it_is_shown() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "SourceNotFound", "message": "there is none"}
    status = {"conditions": [stalled | {"lastTransitionTime": "2026-03-02T12:00:00Z"}]}
    present = translate.sync(record(FULL, status))
    assert (
        wishes.change(ChangeSync(status="error", status_error="SourceNotFound: there is none"), present) == SyncWish()
    )
    assert wishes.change(ChangeSync(status="active"), present) == SyncWish(state="Active")


def test_no_cast_is_as_good_as_one_that_is_null() -> None:
    entries = [entry | {"type_cast": None} for entry in shown(FULL)["field_mapping"]]
    assert after(FULL, {"field_mapping": entries}) == FULL


@settings(max_examples=50)
@given(SPECS)
def test_sending_back_what_is_shown_changes_nothing(spec: Spec) -> None:
    assert changed(spec, shown(spec)) == SyncWish()
    assert read(after(spec, shown(spec))) == read(spec)


@settings(max_examples=50)
@given(SPECS)
def test_changing_one_field_of_what_is_shown_changes_nothing_else(spec: Spec) -> None:
    result = after(spec, shown(spec) | {"name": "Another", "schedule": "0 3 * * *"})
    assert result["displayName"] == "Another"
    assert result["schedule"] == spec.get("schedule", {}) | {"cron": "0 3 * * *"}
    assert _but(result, "displayName", "schedule") == _but(spec, "displayName", "schedule")


@settings(max_examples=50)
@given(SPECS, st.data())
def test_changing_one_entry_of_the_mapping_changes_nothing_else(spec: Spec, data: st.DataObject) -> None:
    entries = shown(spec)["field_mapping"]
    if not entries:
        return
    index = data.draw(st.integers(0, len(entries) - 1))
    entries[index] = {**entries[index], "type_cast": "json"}
    after_cast = after(spec, {"field_mapping": entries})
    assert after_cast["mappings"][index] == spec["mappings"][index] | {"cast": "json"}
    del after_cast["mappings"][index]
    assert after_cast["mappings"] == [each for at, each in enumerate(spec["mappings"]) if at != index]


@settings(max_examples=50)
@given(SPECS, st.randoms(use_true_random=False))
def test_the_same_entries_in_another_order_are_the_same_mappings(spec: Spec, random: Any) -> None:
    entries = shown(spec)["field_mapping"]
    random.shuffle(entries)
    result = after(spec, {"field_mapping": entries})
    known = {each["destination"]: each for each in spec.get("mappings", [])}
    assert result.get("mappings", []) == [known[entry["destination_field"]] for entry in entries]


@settings(max_examples=50)
@given(SPECS)
def test_another_column_takes_the_place_of_any_origin_and_the_rest_stays(spec: Spec) -> None:
    for entry in (entries := shown(spec)["field_mapping"]):
        entry["source_column"] = "another"
    result = after(spec, {"field_mapping": entries})
    origins = ("source", "expression", "value", "metadata")
    for new, old in zip(result.get("mappings", []), spec.get("mappings", []), strict=True):
        assert new == {"source": "another"} | {name: value for name, value in old.items() if name not in origins}


def _but(spec: Spec, *names: str) -> Any:
    rest = {name: value for name, value in spec.items() if name not in names}
    return read(rest)
