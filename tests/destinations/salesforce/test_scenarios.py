"""What can go wrong with records, settings and the org, each through the whole engine."""

import time
from typing import Any

import pytest
from aiohttp import web

from retl.destinations.salesforce.objects import SObject
from retl.testing import Row
from retl.testing.conformance import amid
from tests.destinations.salesforce.conftest import ROWS, Made, rows
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.salesforce import SalesforceOrg
from tests.destinations.simulators.salesforce_records import KEY

NAMED: dict[str, Any] = {"value": "Acme", "destination": "Name"}
BOTH_WAYS = pytest.mark.parametrize("way", [{}, {"bulkFrom": 1}], ids=["collections", "jobs"])


def into(field: str) -> dict[str, Any]:
    """A mapping of the rows' value."""
    return {"source": "name", "destination": field}


@BOTH_WAYS
@pytest.mark.parametrize(
    ("field", "good", "bad", "code", "words"),
    [
        ("Industry", "Energy", "Nonsense", "DESTINATION_VALIDATION", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST: "),
        ("Name", "Acme", "Acme" * 11, "DESTINATION_VALIDATION", "STRING_TOO_LONG: "),
        ("Name", "Acme", "", "DESTINATION_VALIDATION", "REQUIRED_FIELD_MISSING: "),
        ("Parent.External_Id__c", "root", "nobody", "NOT_FOUND", "INVALID_FIELD: Foreign key"),
    ],
)
async def test_a_bad_value_is_a_dead_letter_with_the_vendors_code_and_without_the_value(
    org: SalesforceOrg, sync: Made, way: dict[str, Any], field: str, good: str, bad: str, code: str, words: str
) -> None:
    org.accounts.put([{KEY: "root", "Name": "root"}])
    stage = await sync("upsert", into(field), *([] if field == "Name" else [NAMED]), **way)
    stage.rows(rows([good] * 5 + [bad] + [good] * 6))
    result = await stage.run()
    assert (result.status, result.counts.rejected, result.counts.created) == ("Succeeded", 1, ROWS - 1)
    [letter] = await stage.letters()
    assert (letter.code, letter.record_keys) == (code, {KEY: "k00005"})
    assert letter.message.startswith(words)
    assert not bad or bad not in letter.message


@BOTH_WAYS
async def test_external_ids_that_salesforce_takes_for_one_are_a_conflict(
    org: SalesforceOrg, sync: Made, way: dict[str, Any]
) -> None:
    stage = await sync("upsert", **way)
    stage.rows([Row("Same", "first"), Row("SAME", "second"), *rows(["x"] * 10)])
    result = await stage.run()
    assert result.counts.rejected == 1
    [letter] = await stage.letters()
    assert (letter.code, letter.message) == ("CONFLICT", f"DUPLICATE_VALUE: Duplicate external id specified: … ({KEY})")


async def test_a_body_that_cannot_be_read_is_halved_until_the_culprit_stands_alone(
    org: SalesforceOrg, sync: Made
) -> None:
    stage = await sync(
        "upsert", NAMED, {"expression": "if(name = 'bad', '\"x\"', 'true')", "cast": "json", "destination": "Active__c"}
    )
    stage.rows(rows(["good"] * 7 + ["bad"] + ["good"] * 4))
    result = await stage.run()
    assert (result.counts.rejected, result.counts.created) == (1, ROWS - 1), result.message
    [letter] = await stage.letters()
    assert (letter.record_keys, letter.message[:19]) == ({KEY: "k00007"}, "JSON_PARSER_ERROR: ")


@BOTH_WAYS
async def test_null_and_empty_text_clear_a_field_and_a_skipped_null_leaves_it(
    org: SalesforceOrg, sync: Made, way: dict[str, Any]
) -> None:
    held = {"Name": "Old", "Industry": "Energy", "Interests__c": "Golf", "ParentId": "x", "Since__c": "then"}
    org.accounts.put({KEY: row.key, **held} for row in rows(["x"] * ROWS))
    nothing = {"expression": "nullif(name, name)"}
    stage = await sync(
        "update",
        NAMED,
        {**nothing, "destination": "Industry"},
        {"value": "", "destination": "Interests__c"},
        {**nothing, "destination": "ParentId"},
        {**nothing, "destination": "Since__c", "skipNulls": True},
        **way,
    )
    assert (await stage.run()).counts.updated == ROWS
    [record, *_] = org.records.values()
    assert {name: record[name] for name in held} == {
        "Name": "Acme",
        "Industry": None,
        "Interests__c": None,
        "ParentId": None,
        "Since__c": "then",
    }


@pytest.mark.parametrize(
    ("mode", "more", "object_name", "words"),
    [
        ("upsert", [NAMED], "Acount", "the org has no object 'Acount'"),
        ("upsert", [NAMED, into("Industri")], "Account", "no field 'Industri'; did you mean 'Industry'"),
        ("upsert", [NAMED, into("Score__c")], "Account", "Score__c cannot be written in mode upsert"),
        ("upsert", [NAMED, into("Owner.Email")], "Account", "no field 'Owner'"),
        (
            "upsert",
            [{**into("Employees"), "key": True}],
            "Account",
            "found by one field, and 2 mappings have key: true",
        ),
    ],
)
async def test_what_is_not_there_stops_the_run_before_a_record_is_sent(
    org: SalesforceOrg, sync: Made, mode: str, more: list[dict[str, Any]], object_name: str, words: str
) -> None:
    stage = await sync(mode, *more)
    stage.case.more = {**stage.case.more, "object": object_name}
    result = await stage.run()
    assert (result.status, result.reason) == ("Failed", "DestinationFailed")
    assert words in result.message
    assert not org.bodies


@pytest.mark.parametrize(
    ("key", "mode", "words"),
    [
        ("Industry", "upsert", "is no external id"),
        ("Number__c", "insert", "is not unique"),
        ("Id", "upsert", "cannot find records by Id"),
        ("Nummer", "upsert", "no field 'Nummer'"),
    ],
)
async def test_a_key_that_finds_no_record_is_refused(
    org: SalesforceOrg, sync: Made, key: str, mode: str, words: str
) -> None:
    stage = await sync(mode)
    stage.case.key_field = key
    result = await stage.run()
    assert (result.status, result.reason) == ("Failed", "DestinationFailed")
    assert words in result.message


@pytest.mark.parametrize(
    ("right", "mode"), [("createable", "insert"), ("updateable", "update"), ("deletable", "mirror")]
)
async def test_a_user_who_may_not_write_is_told_so(org: SalesforceOrg, sync: Made, right: str, mode: str) -> None:
    org.allowed[right] = False
    result = await (await sync(mode)).run()
    assert result.reason == "DestinationFailed"
    assert "the integration user may not" in result.message


async def test_a_scope_that_is_missing_ends_the_run_as_a_refused_login(org: SalesforceOrg, sync: Made) -> None:
    words = [{"errorCode": "API_DISABLED_FOR_ORG", "message": "The REST API is not enabled for this Organization."}]
    org.faults.next.append(Fault(403, {}, words))
    result = await (await sync("upsert")).run()
    assert (result.reason, "403 API_DISABLED_FOR_ORG" in result.message) == ("DestinationAuth", True)


async def test_records_are_updated_and_deleted_by_their_ids(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.put({KEY: row.key, "Name": row.name} for row in rows(["old"] * 3))
    ids = list(org.records)
    stage = await sync("update")
    stage.case.key_field = "Id"
    stage.rows([Row(each, "new") for each in [*ids, "001999999999999AAA"]])
    counts = (await stage.run()).counts
    assert (counts.updated, counts.skipped) == (3, 1)
    assert {record["Name"] for record in org.records.values()} == {"new"}
    assert not [call for call in org.calls if call.path.endswith("/query")]


@BOTH_WAYS
async def test_records_that_are_missing_are_skipped_by_an_update(
    org: SalesforceOrg, sync: Made, way: dict[str, Any]
) -> None:
    org.accounts.put({KEY: row.key.upper(), "Name": row.name} for row in rows(["old"] * 7))
    counts = (await (await sync("update", **way)).run()).counts
    assert (counts.updated, counts.skipped) == (7, ROWS - 7)


async def test_a_value_that_several_records_have_is_a_conflict(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.put([{KEY: "a", "Name": "one"}, {KEY: "A", "Name": "two"}])
    stage = await sync("delete")
    stage.rows([Row("a", "x")])
    await stage.run()
    [letter] = await stage.letters()
    assert (letter.code, letter.message[:23]) == ("CONFLICT", "DUPLICATE_EXTERNAL_ID: ")
    assert len(org.records) == 2


async def test_a_locked_record_is_tried_again_by_itself(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.locked = {"k00003": 2}
    stage = await sync("append")
    stage.rows(rows(["x"] * 10))
    counts = (await stage.run()).counts
    assert (counts.created, len(org.records)) == (10, 10)
    assert [body.count(b"attributes") for *_, body in org.bodies] == [10, 1, 1]


async def test_a_record_that_stays_locked_is_sent_again_by_the_next_run(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.locked = {"k00003": 3}
    stage = await sync("upsert", lockRetries=2)
    await stage.run()
    [letter] = await stage.letters()
    assert (letter.code, letter.message[:19]) == ("DESTINATION_UNAVAILABLE", "UNABLE_TO_LOCK_ROW:")
    counts = (await stage.run()).counts
    assert (counts.created, counts.unchanged) == (1, ROWS - 1)


class Failing(SalesforceOrg):
    """Is down after each collection that it takes."""

    after = Fault(503)

    async def _collection(self, request: web.Request) -> web.Response:
        self.faults.next.append(self.after)
        return await super()._collection(request)


async def test_what_was_written_is_not_lost_when_the_retry_of_locked_records_fails(sync: Made) -> None:
    async with Failing().serving() as failing:
        failing.accounts.locked = {"k00003": 9}
        stage = await sync("append", instanceUrl=failing.url)
        stage.rows(rows(["x"] * 10))
        counts = (await stage.run()).counts
        assert (counts.created, counts.rejected, len(failing.records)) == (9, 1, 9)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_what_may_have_been_appended_is_not_appended_again(org: SalesforceOrg, sync: Made, status: int) -> None:
    stage = await sync("append")
    stage.rows(rows(["x"] * 5))

    async def fail() -> None:
        org.faults.next.append(Fault(status, effect=True))

    counts = (await amid(stage, fail)).counts
    assert (counts.created, counts.unknown, len(org.records)) == (0, 5, 5)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("said", [None, {}, ["login"]])
async def test_an_object_that_is_not_described_is_told_as_that(
    org: SalesforceOrg, sync: Made, status: int, said: Any
) -> None:
    org.faults.next.append(Fault(status, {}, said))
    result = await (await sync("upsert")).run()
    assert result.reason == "DestinationFailed"
    assert f"Account/describe answered {status} with what describes no object" in result.message


@pytest.mark.parametrize("said", [{}, {"records": None}, {"records": [], "done": False}])
async def test_no_record_is_taken_for_deleted_because_a_query_was_not_answered(
    org: SalesforceOrg, sync: Made, said: Any
) -> None:
    org.accounts.put([{KEY: "k00000", "Name": "x"}])
    stage = await sync("delete")
    stage.rows(rows(["x"]))

    async def misspeak() -> None:
        org.faults.next.append(Fault(200, {}, said))

    counts = (await amid(stage, misspeak)).counts
    assert (counts.deleted, len(org.records)) == (1, 0)  # it was asked again


async def test_locked_records_whose_retry_was_not_answered_may_be_written(sync: Made) -> None:
    async with Failing().serving() as failing:
        failing.after = Fault(502, effect=True)
        failing.accounts.locked = {"k00003": 1}
        stage = await sync("append", instanceUrl=failing.url)
        stage.rows(rows(["x"] * 10))
        counts = (await stage.run()).counts
        assert (counts.created, counts.unknown, len(failing.records)) == (9, 1, 10)


async def test_a_run_pauses_while_what_is_left_of_the_days_calls_belongs_to_others(
    org: SalesforceOrg, sync: Made
) -> None:
    org.usage = (91_000, 100_000)
    stage = await sync("upsert")
    stage.rows(rows(["x"] * 5))
    began = time.monotonic()
    assert (await stage.run()).status == "Succeeded"
    written = next(call for call in org.calls if call.method == "PATCH")
    assert written.at - began > 0.9


@pytest.mark.parametrize(
    ("words", "least"), [("TotalRequests Limit exceeded.", 0.9), ("ConcurrentRequests exceeded", 0)]
)
async def test_a_quota_that_is_used_up_pauses_the_run(org: SalesforceOrg, sync: Made, words: str, least: float) -> None:
    stage = await sync("upsert")
    stage.rows(rows(["x"] * 5))

    async def refuse() -> None:
        org.faults.next.append(Fault(403, {}, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": words}]))

    assert (await amid(stage, refuse)).status == "Succeeded"
    refused, written = (call for call in org.calls if call.method == "PATCH")
    assert written.at - refused.at >= least


async def test_a_jwt_speaks_for_the_user_and_is_made_anew_when_the_token_expires(
    org: SalesforceOrg, sync: Made
) -> None:
    stage = await sync("upsert")
    stage.login = {"client_id": org.client, "username": org.user, "private_key": org.issue_jwt_certificate()}
    assert (await stage.run()).status == "Succeeded"
    org.issue_jwt_certificate()
    result = await stage.run()
    assert (result.reason, "status 400 (invalid_grant)" in result.message) == ("DestinationAuth", True)
    assert "PRIVATE KEY" not in result.message


async def test_the_version_of_the_api_is_the_one_that_is_set(sync: Made) -> None:
    async with SalesforceOrg("62.0").serving() as older:
        stage = await sync("upsert", apiVersion="62.0", instanceUrl=older.url)
        assert (await stage.run()).status == "Succeeded"
        assert len(older.records) == ROWS
        assert {call.path.split("/")[3] for call in older.calls if "/data/" in call.path} == {"v62.0"}


async def test_values_are_looked_up_among_the_orgs_records(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.put([{KEY: f"p{number}'\\\n", "Name": "parent"} for number in range(3)])
    parents = dict(zip((record[KEY] for record in org.records.values()), org.records, strict=True))
    lookup = {"object": "Account", "matchField": KEY, "returnField": "Id", "onMiss": "Fail"}
    stage = await sync("upsert", NAMED, {**into("ParentId"), "lookup": lookup})
    stage.rows(rows([*parents, "missing"]))
    counts = (await stage.run()).counts
    assert (counts.created, counts.rejected) == (3, 1)
    assert {record.get("ParentId") for record in org.records.values()} == {None, *parents.values()}


async def test_a_field_is_described_for_the_mode(org: SalesforceOrg, sync: Made) -> None:
    connector = (await sync("upsert")).connector()
    assert await connector.server() == "Salesforce API 65.0"
    listed = await connector.objects()
    assert listed is not None
    assert [each.name for each in listed] == ["Account"]
    fields = {each.name: each for each in await connector.describe("Account", "upsert") or ()}
    assert [name for name, each in fields.items() if each.read_only] == ["Id", "Score__c"]
    assert [name for name, each in fields.items() if each.required] == ["Name"]
    assert [fields[name].type for name in ("Name", "Industry", "ParentId", "Parent")] == [
        "string(40)",
        "picklist(restricted)",
        "reference(Account)",
        "relationship of ParentId",
    ]
    updated = {each.name: each for each in await connector.describe("Account", "update") or ()}
    assert (updated["Id"].read_only, updated["Name"].required) == (False, False)
    await connector.close()


def test_a_field_without_rights_is_read_only() -> None:
    said = {"name": "A", "fields": [{"name": "X", "type": "string", "createable": True, "updateable": False}]}
    [field] = SObject.of(said).fields.values()
    assert [field.read_only(mode) for mode in ("insert", "append", "update", "upsert", "mirror")] == [
        False,
        False,
        True,
        True,
        True,
    ]
