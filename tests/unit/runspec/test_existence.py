"""Whether what a manifest names is there: the same words for the command line and for a sync's condition."""

from typing import Any

import pytest

from retl.controller.checks import existence_problem
from retl.destinations.registry import DESTINATIONS
from retl.runspec.catalog import Catalog, CatalogField, CatalogObject
from retl.runspec.check import definition_of
from retl.runspec.existence import missing_columns, missing_fields, wrong_fields
from retl.runspec.spec import RunSpec

FIELDS = [
    CatalogField(name="id", read_only=True),
    CatalogField(name="name", required=True),
    CatalogField(name="plan"),
]


def spec(mode: str = "upsert", **changes: Any) -> RunSpec:
    manifest: dict[str, Any] = {
        "run": {"name": "r", "uid": "r"},
        "sync": {"namespace": "growth", "name": "accounts", "uid": "s"},
        "source": {"name": "w", "uid": "w", "connector": "duckdb", "config": {"files": {"t": "t.csv"}}},
        "query": {"table": "t"},
        "destination": {"name": "crm", "uid": "d", "connector": "postgres", "config": {"host": "h", "database": "d"}},
        "object": "accounts",
        "mode": mode,
        "primaryKey": ["account_id"],
        "mappings": [
            {"source": "account_id", "destination": "id", "key": True},
            {"source": "n", "destination": "name"},
        ],
    }
    return RunSpec.model_validate(manifest | changes)


def wrong(of: RunSpec) -> list[str]:
    return list(wrong_fields(of.mappings, FIELDS, of.mode, DESTINATIONS.capabilities(of.destination)))


def test_each_column_that_is_missing_is_named_with_the_place_that_names_it() -> None:
    found = missing_columns(spec(changeDetection={"strategy": "Cursor", "column": "changed"}), ["n", "acount_id"])
    assert found == [
        "spec.mappings[0].source: the query has no column 'account_id'; did you mean 'acount_id'?",
        "spec.primaryKey: the query has no column 'account_id'; did you mean 'acount_id'?",
        "spec.changeDetection.column: the query has no column 'changed'; it returns: n, acount_id",
    ]
    assert missing_columns(spec(), ["n", "account_id"]) == []


@pytest.mark.parametrize(
    ("mode", "said"),
    [("upsert", ["id"]), ("insert", ["id"]), ("update", []), ("delete", [])],
)
def test_a_key_that_the_database_fills_is_wrong_only_where_a_record_is_made(mode: str, said: list[str]) -> None:
    assert [problem.split("'")[1] for problem in wrong(spec(mode))] == said


def test_a_field_that_is_not_there_is_said_with_a_guess() -> None:
    [problem] = wrong(spec("update", mappings=[{"value": "free", "destination": "plans"}]))
    assert problem == "spec.mappings[0].destination: there is no field 'plans'; did you mean 'plan'?"


def test_of_a_path_its_first_step_is_the_field() -> None:
    http = {"name": "crm", "uid": "d", "connector": "http", "config": {"url": "http://crm/"}}
    of = spec(destination=http, mappings=[{"source": "n", "destination": "name.first"}])
    assert wrong(of) == []


def test_a_required_field_that_is_not_mapped_is_said_where_records_are_made() -> None:
    of = spec(mappings=[{"source": "account_id", "destination": "id", "key": True}])
    capabilities = DESTINATIONS.capabilities(of.destination)
    assert list(missing_fields(of.mappings, FIELDS, "upsert", capabilities)) == [
        "field 'name' is required and not mapped; a new record would be refused"
    ]
    assert list(missing_fields(of.mappings, FIELDS, "update", capabilities)) == []


ROWS = CatalogObject(
    name="SyncModel/t",
    fields=[CatalogField(name="n"), CatalogField(name="account_id")],
    definition=definition_of(spec().query),
)
TARGET = CatalogObject(name="accounts", fields=[CatalogField(name="id"), CatalogField(name="plan")])


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        (None, None, None),
        (ROWS, None, None),
        (ROWS, TARGET, "FieldNotFound"),
        (ROWS.model_copy(update={"fields": []}), TARGET, "ColumnNotFound"),
        (ROWS.model_copy(update={"fields": [], "problem": "no table"}), None, None),
        (ROWS.model_copy(update={"fields": [], "definition": "of another query"}), None, None),
        (None, TARGET.model_copy(update={"fields": [], "problem": "no right"}), None),
        (None, TARGET.model_copy(update={"name": "other"}), None),
    ],
)
def test_what_no_check_has_looked_at_is_not_held_against_a_sync(
    source: CatalogObject | None, destination: CatalogObject | None, reason: str | None
) -> None:
    catalogs = [Catalog(objects=[each]) if each else None for each in (source, destination)]
    problem = existence_problem(spec(), "SyncModel/t", *catalogs)
    assert (problem.reason if problem else None) == reason


def test_many_problems_are_told_as_a_number() -> None:
    many = spec(mappings=[{"value": "x", "destination": f"f{n}", "key": True} for n in range(9)])
    problem = existence_problem(many, "SyncModel/t", None, Catalog(objects=[TARGET]))
    assert problem is not None
    assert problem.message.startswith("SyncDestination crm, object 'accounts': spec.mappings[0].destination")
    assert problem.message.endswith("; and 4 more")
