"""The simulator against the vendor's published examples and against simple-salesforce, which knows real orgs.

simple-salesforce is the client that most of Python uses; it blocks, so it runs in a thread.
"""

import asyncio
import csv
import io
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceResourceNotFound

from retl.testing import Row
from tests.destinations.salesforce.conftest import Made
from tests.destinations.simulators.salesforce import SalesforceOrg
from tests.destinations.simulators.salesforce_records import KEY

RECORDS: list[dict[str, Any]] = [{KEY: f"k{number:05}", "Name": f'name {number}, "quoted"\nü'} for number in range(12)]


@pytest.fixture
def client(org: SalesforceOrg) -> Any:
    made = Salesforce(session_id=org.issue_token(), instance_url=org.url, version=org.version)
    for name in ("base_url", "bulk2_url"):
        setattr(made, name, getattr(made, name).replace("https://", "http://"))
    return made


async def test_the_client_describes_queries_and_pages(client: Any) -> None:
    async with SalesforceOrg(page=5).serving() as org:
        org.accounts.put(RECORDS)
        client.session_id = org.issue_token()
        client.headers["Authorization"] = f"Bearer {client.session_id}"
        client.base_url = f"{org.url}/services/data/v{org.version}/"
        client.sf_instance = org.url.removeprefix("http://")
        query = f"SELECT Id,{KEY} FROM Account WHERE {KEY} IN ({','.join(repr(each[KEY]) for each in RECORDS)})"
        page = await asyncio.to_thread(client.query, query)
        found = list(page["records"])
        while not page["done"]:
            page = await asyncio.to_thread(_next, client, org, page)
            found += page["records"]
        assert [each[KEY] for each in found] == [each[KEY] for each in RECORDS]
        listed = await asyncio.to_thread(client.describe)
        assert "Account" in {each["name"] for each in listed["sobjects"]}


def _next(client: Any, org: SalesforceOrg, page: Mapping[str, Any]) -> Any:
    return client._call_salesforce("GET", f"{org.url}{page['nextRecordsUrl']}", name="query_more").json()


async def test_the_client_reads_limits_and_errors_as_those_of_an_org(org: SalesforceOrg, client: Any) -> None:
    await asyncio.to_thread(client.restful, "sobjects")
    assert client.api_usage["api-usage"].total == 100_000
    with pytest.raises(SalesforceResourceNotFound):
        await asyncio.to_thread(client.restful, "sobjects/Nothing/describe")
    org.expire_tokens()
    with pytest.raises(SalesforceExpiredSession):
        await asyncio.to_thread(client.restful, "sobjects")


async def test_the_clients_jobs_are_worked_off(org: SalesforceOrg, client: Any) -> None:
    records = [dict(each) for each in RECORDS] + [{KEY: "bad", "Name": "refused"}]
    [result] = await asyncio.to_thread(client.bulk2.Account.upsert, records=records, external_id_field=KEY, wait=0.01)
    assert (result["numberRecordsProcessed"], result["numberRecordsFailed"]) == (13, 1)
    failed = await asyncio.to_thread(client.bulk2.Account.get_failed_records, result["job_id"])
    [row] = csv.DictReader(io.StringIO(failed))
    assert (row[KEY], row["sf__Error"][:33]) == ("bad", "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    left = await asyncio.to_thread(client.bulk2.Account.get_unprocessed_records, result["job_id"])
    assert not left
    assert len(org.records) == len(RECORDS)


async def test_the_same_rows_are_the_same_job(org: SalesforceOrg, client: Any, sync: Made) -> None:
    records = [dict(each) for each in RECORDS]
    await asyncio.to_thread(client.bulk2.Account.upsert, records=records, external_id_field=KEY, wait=0.01)
    theirs, org.bodies = org.bodies, []
    stage = await sync("upsert", bulkFrom=1)
    stage.case.batch_size = len(RECORDS)
    stage.case.more = {"delivery": {"batchSize": len(RECORDS), "maxInFlight": 1}}
    stage.rows([_row(each) for each in RECORDS])
    assert (await stage.run()).counts.created == len(RECORDS)
    assert [_job(org, each) for each in org.bodies] == [_job(org, each) for each in theirs]


def _row(record: Mapping[str, str]) -> Row:
    return Row(record[KEY], record["Name"])


def _job(org: SalesforceOrg, call: tuple[str, str, bytes]) -> tuple[str, str, Any]:
    """A call without what two jobs never share: their ids, and the order of rows and columns."""
    method, path, body = call
    for job in org.jobs:
        path = path.replace(job, "JOB")
    if path.endswith("/batches"):
        return (
            method,
            path,
            sorted(sorted(row.items()) for row in csv.DictReader(io.StringIO(body.decode(), newline=""))),
        )
    return method, path, orjson.loads(body)


async def test_a_collection_is_sent_as_the_guide_shows_it(org: SalesforceOrg, sync: Made) -> None:
    """REST API Developer Guide, Upsert Records Using sObject Collections: the example's request, with our field."""
    stage = await sync("upsert")
    stage.rows([_row({KEY: "AAA", "Name": "Company One"}), _row({KEY: "BBB", "Name": "Company Two"})])
    await stage.run()
    [(method, path, body)] = org.bodies
    assert (method, path) == ("PATCH", f"/services/data/v65.0/composite/sobjects/Account/{KEY}")
    assert orjson.loads(body) == {
        "allOrNone": False,
        "records": [
            {"attributes": {"type": "Account"}, "Name": "Company One", KEY: "AAA"},
            {"attributes": {"type": "Account"}, "Name": "Company Two", KEY: "BBB"},
        ],
    }


async def test_a_collection_is_answered_as_the_guide_shows_it(org: SalesforceOrg, client: Any) -> None:
    """REST API Developer Guide, Update and Delete Records Using sObject Collections: one item failed."""
    org.accounts.put([{KEY: "AAA", "Name": "Company One"}])
    [known] = org.records
    records = [{"attributes": {"type": "Account"}, "id": each, "Name": "New"} for each in (known, "001nothere")]
    body = {"allOrNone": False, "records": records}
    found = await asyncio.to_thread(client.restful, "composite/sobjects", method="PATCH", json=body)
    assert found[0] == {"id": known, "success": True, "errors": []}
    assert (found[1]["success"], set(found[1]["errors"][0])) == (False, {"statusCode", "message", "fields"})
    ids = {"allOrNone": "false", "ids": f"{known},001nothere"}
    found = await asyncio.to_thread(client.restful, "composite/sobjects", method="DELETE", params=ids)
    assert [each["success"] for each in found] == [True, False]
    assert found[1]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"
