"""Records in JSON and CSV, queries, and what codes mean: pure."""

from typing import Any

import orjson
import pytest

from retl.destinations.base import ACKNOWLEDGED, Rejected, Skipped
from retl.destinations.salesforce.errors import Fault
from retl.destinations.salesforce.objects import Field, SObject
from retl.destinations.salesforce.records import cells, collection, columns, read, rows, same, table
from retl.destinations.salesforce.soql import LONGEST, queries
from tests.destinations.simulators.salesforce_records import DEFAULTS, FIELDS, KEY

ACCOUNT = SObject.of({"name": "Account", "fields": [{"name": name, **DEFAULTS, **f} for name, f in FIELDS.items()]})


@pytest.mark.parametrize(
    ("given", "json", "cell"),
    [
        ('"text"', '"text"', "text"),
        ("12345678901234567890.10", "12345678901234567890.10", "12345678901234567890.10"),
        ("1e3", "1e3", "1e3"),
        ("-7", "-7", "-7"),
        ("true", "true", "true"),
        ("null", "null", "#N/A"),
        ('""', '""', "#N/A"),
        ('["a","b"]', '"a;b"', "a;b"),
        ("[]", '""', "#N/A"),
        ('"line\\nbreak, \\"quoted\\""', '"line\\nbreak, \\"quoted\\""', 'line\nbreak, "quoted"'),
    ],
)
def test_values_travel_as_they_stand(given: str, json: str, cell: str) -> None:
    record = read(f'{{"Name":{given}}}'.encode(), ACCOUNT)
    expected = f'{{"allOrNone":false,"records":[{{"attributes":{{"type":"Account"}},"Name":{json}}}]}}'
    assert collection([record], "Account") == expected.encode()
    assert cells(record, ["Name"], ACCOUNT) == [cell]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123Z"),
        ("2026-01-02T03:04:05.1+02:00", "2026-01-02T03:04:05.100+02:00"),
        ("2026-01-02", "2026-01-02"),
    ],
)
def test_moments_are_cut_to_milliseconds_and_are_utc_without_a_zone(given: str, sent: str) -> None:
    assert read(orjson.dumps({"Since__c": given, "Name": given}), ACCOUNT) == {"Since__c": sent, "Name": given}


def test_a_relationship_is_an_object_in_json_and_a_path_in_csv() -> None:
    fields = [KEY, "Parent.External_Id__c"]
    set_, cleared, left = (
        read(orjson.dumps(each), ACCOUNT)
        for each in ({KEY: "a", "Parent": {KEY: "p"}}, {KEY: "b", "Parent": {KEY: None}}, {KEY: "c"})
    )
    assert [set_, cleared] == [{KEY: "a", "Parent": {KEY: "p"}}, {KEY: "b", "ParentId": None}]
    assert columns(fields) == fields
    assert [cells(each, fields, ACCOUNT) for each in (set_, cleared, left)] == [["a", "p"], ["b", "#N/A"], ["c", ""]]


def test_a_table_is_read_as_it_was_written() -> None:
    values = ['"', "a,b", "line\nbreak", "ü", "", "x" * 200_000]
    written = table(["A", "B"], [[value, "end"] for value in values])
    assert [row["A"] for row in rows(b"\xef\xbb\xbf" + written)] == values
    assert list(rows(b"")) == []


def test_half_a_surrogate_pair_spoils_its_record_alone() -> None:
    record = read(b'{"Name":"\\ud800","Parent":{"Name":"\\ud800"}}', ACCOUNT)
    assert collection([record], "Account").count(b"?") == 2


@pytest.mark.parametrize(
    ("kind", "cased", "one", "other", "alike"),
    [
        ("string", False, "Ab ", "aB", True),
        ("string", True, "Ab", "aB", False),
        ("double", False, 1, "1.00", True),
        ("double", False, "1e2", 100.0, True),
        ("double", False, "x", "y", False),
        ("id", False, "001000000000001AAA", "001000000000001", True),
        ("id", False, "001000000000001", "001000000000001".replace("1", "A"), False),
    ],
)
def test_values_of_a_key_that_are_one(kind: str, cased: bool, one: Any, other: Any, alike: bool) -> None:
    key = Field("K", kind, case_sensitive=cased)
    assert (same(one, key) == same(other, key)) is alike


def test_queries_escape_values_and_fit_into_an_address() -> None:
    [query] = queries("Account", ["Id", KEY], ACCOUNT.fields[KEY], ["it's", "back\\slash"])
    assert query == (
        "SELECT%20Id%2CExternal_Id__c%20FROM%20Account%20WHERE%20External_Id__c%20IN%20%28"
        "%27it%5C%27s%27,%27back%5C%5Cslash%27)"
    )
    many = list(queries("Account", ["Id"], ACCOUNT.fields[KEY], ["ü" * 30] * 500))
    assert max(map(len, many)) <= LONGEST + 200
    assert sum(query.count("%27") for query in many) == 1_000
    assert list(queries("Account", ["Id"], ACCOUNT.fields["Number__c"], ["1 OR 1=1"])) == []
    assert next(queries("Account", ["Id"], ACCOUNT.fields["Number__c"], [1.5])).endswith("%28" + "1.5)")


EXISTS, MISSING = Skipped("the record exists"), Skipped("there is no such record")
DUPLICATE = "DUPLICATE_VALUE:duplicate value found: {} duplicates value on record with id: {}:--"
TRIGGER = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:T: execution of BeforeInsert: {}:--"


@pytest.mark.parametrize(
    ("operation", "error", "outcome"),
    [
        ("insert", DUPLICATE.format(KEY, "001x"), EXISTS),
        ("insert", DUPLICATE.format("<unknown>", "<unknown>"), EXISTS),
        ("insert", DUPLICATE.format("Tax__c", "001x"), "CONFLICT"),
        ("append", DUPLICATE.format(KEY, "001x"), "CONFLICT"),
        ("upsert", f"DUPLICATE_VALUE:Duplicate external id specified: x:{KEY} --", "CONFLICT"),
        ("upsert", "DUPLICATES_DETECTED:Use one of these records?:--", "CONFLICT"),
        ("update", "ENTITY_IS_DELETED:entity is deleted:--", MISSING),
        ("update", "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:ParentId --", "NOT_FOUND"),
        ("delete", "ENTITY_IS_DELETED:entity is deleted:--", ACKNOWLEDGED),
        ("upsert", "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access: 001x:--", "DESTINATION_UNAVAILABLE"),
        ("upsert", TRIGGER.format("System.LimitException: Too many SOQL queries: 101"), "DESTINATION_UNAVAILABLE"),
        ("upsert", TRIGGER.format("no"), "DESTINATION_VALIDATION"),
        ("upsert", "INSUFFICIENT_ACCESS_OR_READONLY:insufficient access rights on object id:--", "DESTINATION_AUTH"),
        ("upsert", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "DESTINATION_VALIDATION"),
        ("upsert", "no code at all", "DESTINATION_VALIDATION"),
    ],
)
def test_what_a_jobs_error_means(operation: str, error: str, outcome: object) -> None:
    found = Fault.of_job(error).outcome(operation, KEY, str)
    assert (found.code if isinstance(found, Rejected) else found) == outcome


@pytest.mark.parametrize(
    ("code", "message", "fields", "words"),
    [
        ("LONG", "Name: data value too large: s3: t (max length=2)", ["Name"], "Name: data value too large: … (max"),
        ("BAD", "Email: invalid email address: s3cret@x", [], "Email: invalid email address: …"),
        ("BAD", "bad value for restricted picklist field: s3", [], "bad value for restricted picklist field: …"),
        ("BAD", "Foreign key external ID: s3 not found for field X", [], "Foreign key external ID: … not found"),
        ("BAD", "from VALUE_STRING value s3 or request may", [], "from VALUE_STRING value … or request"),
    ],
)
def test_words_begin_with_the_code_and_hold_no_value(code: str, message: str, fields: list[str], words: str) -> None:
    said = Fault.of_result({"statusCode": code, "message": message, "fields": fields}).words
    assert said.startswith(f"{code}: {words}")
    assert said.endswith(" (Name)") is bool(fields)


def test_a_jobs_error_with_a_value_that_looks_like_its_end_is_read_to_its_end() -> None:
    found = Fault.of_job("STRING_TOO_LONG:Name: data value too large: a:b -- c: (max length=2):Name,Other__c --")
    assert found.words == "STRING_TOO_LONG: Name: data value too large: … (max length=2) (Name, Other__c)"


@pytest.mark.parametrize("said", [None, {}, {"statusCode": None, "message": None, "fields": None}, "text"])
def test_an_error_that_says_nothing_is_an_error(said: Any) -> None:
    assert isinstance(Fault.of_result(said).outcome("upsert", KEY, str), Rejected)
