"""A sensitive value is shown neither in a plan nor in a dead letter's message, wherever it stands in the record."""

import json
from pathlib import Path
from typing import Any

import pytest

from retl.engine.records import REDACTED, without_values
from retl.state.sql import SqlStateStore
from tests.destinations.endpoint import Answer, Endpoint
from tests.engine.syncs import Sync, to_endpoint, to_table
from tests.engine.warehouse import Warehouse

SSN, CITY, NAME, PHONE = "078-05-1120", 'Bad "Ischl" ö', "Trillian", 436601234567
EMAIL = "mcmillan@heart.example"


@pytest.fixture
def nested(warehouse: Warehouse, endpoint: Endpoint, sealed: SqlStateStore, tmp_path: Path) -> Sync:
    """One person, whose record is deep, with sensitive fields at every depth; one of them is a key."""
    warehouse.run(
        "CREATE TABLE accounts AS SELECT 7 AS id, '078-05-1120' AS ssn, 'Bad \"Ischl\" ö' AS city, "
        "'Trillian' AS name, 436601234567 AS phone, 'mcmillan@heart.example' AS email"
    )
    made = to_endpoint(warehouse, endpoint, sealed, tmp_path, results={})
    made.mappings = [
        {"source": "id", "destination": "ids.number", "key": True},
        {"source": "email", "destination": "ids.email", "key": True, "sensitive": True},
        {"source": "name", "destination": "name"},
        {"source": "ssn", "destination": r"full\.ssn", "sensitive": True},
        {"source": "city", "destination": "address.city", "sensitive": True},
        {"source": "phone", "destination": "phones[0]", "sensitive": True},
    ]
    endpoint.style, endpoint.key = "index", "name"
    made.more = {"delivery": {"maxAttempts": 1}}
    return made


async def planned(sync: Sync, state: SqlStateStore) -> tuple[list[dict[str, Any]], str]:
    """The samples of a plan, and its text."""
    result = await sync.run(name="plan", mode="Plan")
    assert result.status == "Succeeded", result.message
    document = await state.plan(namespace="tests", run="plan")
    assert document is not None
    return json.loads(document)["samples"], document.decode()


def shows(text: str) -> list[str]:
    """Sensitive values that stand in a text, as they are or escaped."""
    values = [SSN, CITY, str(PHONE), EMAIL, "Ischl"]
    return [value for value in values if value in text or json.dumps(value)[1:-1] in text]


KEY = {"ids.number": 7, "ids.email": REDACTED}


async def test_a_plan_names_values_by_their_path_and_shows_no_sensitive_one(
    nested: Sync, sealed: SqlStateStore, warehouse: Warehouse
) -> None:
    [created], text = await planned(nested, sealed)
    assert (created["before"], created["after"]) == (None, KEY)
    assert created["record"] == {"ids.number": 7, "name": NAME}
    assert shows(text) == []
    await nested.run()
    warehouse.run("UPDATE accounts SET name = 'Tricia'")
    [updated], text = await planned(nested, sealed)
    assert (updated["before"], updated["after"]) == (KEY, KEY)
    assert updated["record"] == {"ids.number": 7, "name": "Tricia"}
    assert shows(text) == []


async def test_a_plan_of_a_mirror_names_the_keys_of_what_it_deletes_in_the_same_way(
    nested: Sync, sealed: SqlStateStore, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    nested.more |= {"mode": "mirror", "guards": {"maxDeletes": "100%", "minRows": 0}}
    nested.destination_config |= {
        "url": endpoint.url + "/{object}/upsert",
        "operations": {"delete": {"url": endpoint.url + "/{object}/delete"}},
    }
    assert (await nested.run()).counts.created == 1
    warehouse.run("DELETE FROM accounts")
    [deleted], text = await planned(nested, sealed)
    assert (deleted["operation"], deleted["before"], deleted["after"]) == ("delete", KEY, None)
    assert shows(text) == []


async def test_a_plan_of_a_sync_with_lookups_shows_what_would_be_looked_up(
    warehouse: Warehouse, state: SqlStateStore, tmp_path: Path
) -> None:
    warehouse.run(
        "CREATE TABLE accounts AS SELECT 1 AS id, 'a' AS name, 'a@x' AS owner UNION ALL SELECT 2, 'b', NULL",
        "CREATE SCHEMA crm",
        'CREATE TABLE crm.accounts (id int PRIMARY KEY, "a.name" text, owner_id int)',
        "CREATE TABLE crm.users (id int, email text)",
    )
    made = to_table(warehouse, state, tmp_path)
    made.mappings[1]["destination"] = "a.name"
    lookup = {"object": "crm.users", "matchField": "email", "returnField": "id"}
    made.mappings.append({"source": "owner", "destination": "owner_id", "lookup": lookup})
    samples, _ = await planned(made, state)
    assert sorted((sample["record"] for sample in samples), key=lambda record: record["id"]) == [
        {"id": 1, "a.name": "a", "owner_id": "a@x"},
        {"id": 2, "a.name": "b", "owner_id": None},
    ]


@pytest.mark.parametrize("form", ["record", "json", "python", "cut"])
async def test_a_dead_letter_does_not_repeat_what_the_destination_echoes(
    nested: Sync, sealed: SqlStateStore, endpoint: Endpoint, form: str
) -> None:
    def echo(record: dict[str, Any]) -> str:
        words = {
            "record": f"{SSN} and {CITY} and {PHONE} and {EMAIL.upper()}",
            "json": json.dumps(record),
            "python": repr(record),
            "cut": "x" * 494 + SSN,
        }
        return words[form]

    endpoint.check = echo
    assert (await nested.run()).counts.rejected == 1
    [letter] = await sealed.dead_letters(namespace="tests", sync="sync")
    assert shows(letter.message.lower()) + shows(letter.message) == []
    assert EMAIL.upper() not in letter.message
    assert SSN[:3] not in letter.message
    assert form == "cut" or REDACTED in letter.message
    assert NAME in letter.message or form in ("record", "cut")
    kept = await sealed.dead_letter(namespace="tests", id=letter.id)
    assert kept is not None
    assert kept.payload is not None
    assert json.loads(kept.payload)["full.ssn"] == SSN, "kept for replay"


async def test_no_dead_letter_of_a_call_repeats_what_is_said_of_any_of_its_records(
    nested: Sync, sealed: SqlStateStore, warehouse: Warehouse, endpoint: Endpoint
) -> None:
    warehouse.run("INSERT INTO accounts SELECT 8, '219-09-9999', city, 'Zaphod', phone, 'z@x.example' FROM accounts")
    endpoint.always = Answer(401, {}, json.dumps({"detail": f"who is {SSN}, who is 219-09-9999?"}))
    assert (await nested.run()).counts.rejected == 2
    letters = await sealed.dead_letters(namespace="tests", sync="sync")
    said = [letter.message for letter in letters]
    assert [message.partition("who")[2] for message in said] == [f" is {REDACTED}, who is {REDACTED}?"] * 2


@pytest.mark.parametrize(
    ("message", "value", "shown"),
    [
        ("5 of HTTP 503 at 5.0: 15, -5", b"5", f"{REDACTED} of HTTP 503 at {REDACTED}: 15, -{REDACTED}"),
        ("1.1 or 1.10", b"1.10", f"{REDACTED} or {REDACTED}"),
        ("is true", b"true", f"is {REDACTED}"),
        ("a null, an empty one", b"null", "a null, an empty one"),
        ("a null, an empty one", b'""', "a null, an empty one"),
        ("line\\nbreak, line\nbreak", b'"line\\nbreak"', f"{REDACTED}, {REDACTED}"),
        ("x and 7.5", b'{"a":["x",7.5],"b":null}', f"{REDACTED} and {REDACTED}"),
        (f"{REDACTED} in red", b'"red"', f"{REDACTED} in {REDACTED}"),
    ],
)
def test_a_value_is_found_in_each_of_its_forms(message: str, value: bytes, shown: str) -> None:
    assert without_values(message, [value], cut=False) == shown


def test_a_message_that_was_cut_within_a_value_loses_the_part_of_it_too() -> None:
    assert without_values("it is 078-05", [b'"078-05-1120"'], cut=True) == "it is "
    assert without_values("it is 4366", [b"436601234567"], cut=True) == "it is "
    assert without_values("it is 4366", [b"436601234567"], cut=False) == "it is 4366"
