"""Jobs that fail, are aborted, are lost on their way, or never end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Ended,
    JobResults,
    NotBegun,
    Rejected,
    Skipped,
    Target,
    Unknown,
)
from retl.destinations.salesforce.config import SalesforceConfig, SalesforceCredentials
from retl.destinations.salesforce.connector import Salesforce
from retl.testing import Row
from tests.destinations.salesforce.conftest import ROWS, Made, rows
from tests.destinations.simulators.salesforce import SalesforceOrg, refusal
from tests.destinations.simulators.salesforce_records import KEY

FIELD_NOT_FOUND = "InvalidBatch : Field name not found : Gone__c"


@pytest.mark.parametrize("state", ["Failed", "Aborted"])
async def test_records_that_a_job_did_not_reach_are_sent_by_the_next_run(
    org: SalesforceOrg, sync: Made, state: str
) -> None:
    org.ends = [(state, FIELD_NOT_FOUND, 4)]
    stage = await sync("upsert", bulkFrom=1)
    stage.rows(rows(["x"] * 10))
    counts = (await stage.run()).counts
    assert (counts.created, counts.rejected) == (4, 6)
    letters = await stage.letters()
    said = f"the job ended as {state} before this record: {FIELD_NOT_FOUND}"
    assert {(letter.code, letter.message) for letter in letters} == {("DESTINATION_UNAVAILABLE", said)}
    counts = (await stage.run()).counts
    assert (counts.created, counts.unchanged, len(org.records)) == (6, 4, 10)


async def test_a_job_that_never_ends_leaves_its_records_unknown(sync: Made) -> None:
    class Stuck(SalesforceOrg):
        def _work_off(self, job: Any) -> None:
            """Never."""

    async with Stuck().serving() as stuck:
        stage = await sync("upsert", instanceUrl=stuck.url, bulkFrom=1, jobPatience="1s")
        stage.rows(rows(["x"] * 3))
        assert (await stage.run()).counts.unknown == 3
        assert {letter.code for letter in await stage.letters()} == {"OUTCOME_UNKNOWN"}


@pytest.mark.parametrize("mode", ["upsert", "append"])
async def test_a_job_whose_beginning_was_not_answered_is_not_made_twice(sync: Made, mode: str) -> None:
    class Lossy(SalesforceOrg):
        async def _change_job(self, request: web.Request) -> web.Response:
            answer = await super()._change_job(request)
            if request.transport is not None:
                request.transport.close()
            return answer

    async with Lossy().serving() as lossy:
        stage = await sync(mode, instanceUrl=lossy.url, bulkFrom=1)
        stage.rows(rows(["x"] * 10))
        counts = (await stage.run()).counts
        assert (counts.created, len(lossy.records), len(lossy.jobs)) == (10, 10, 1)


async def test_a_job_that_cannot_be_begun_is_aborted_and_made_anew(sync: Made) -> None:
    class Down(SalesforceOrg):
        async def _upload(self, request: web.Request) -> web.Response:
            return await super()._upload(request) if len(self.jobs) > 1 else refusal(503, "SERVER_UNAVAILABLE", "down")

    async with Down().serving() as down:
        stage = await sync("append", instanceUrl=down.url, bulkFrom=1)
        stage.rows(rows(["x"] * 10))
        counts = (await stage.run()).counts
        assert (counts.created, counts.unknown) == (10, 0)
        assert [job.state for job in down.jobs.values()] == ["Aborted", "JobComplete"]


@pytest.mark.parametrize("call", ["_create_job", "_upload"])
async def test_a_job_that_was_lost_before_it_began_is_made_anew(sync: Made, call: str) -> None:
    class Lossy(SalesforceOrg):
        lost = False

        def routes(self) -> Any:
            return [(m, p, self._once(h) if h.__name__ == call else h) for m, p, h in super().routes()]

        def _once(self, handler: Any) -> Any:
            async def lossy(request: web.Request) -> web.StreamResponse:
                answer: web.StreamResponse = await handler(request)
                if self.lost:
                    return answer
                self.lost = True
                assert request.transport is not None
                request.transport.close()
                return answer

            return lossy

    async with Lossy().serving() as lossy:
        stage = await sync("append", instanceUrl=lossy.url, bulkFrom=1)
        stage.rows(rows(["x"] * 10))
        counts = (await stage.run()).counts
        assert (counts.created, counts.unknown, len(lossy.records)) == (10, 0, 10)


async def test_a_record_that_could_not_be_deleted_is_found_by_its_key(org: SalesforceOrg, sync: Made) -> None:
    org.accounts.put([{KEY: "Kept", "Name": "kept"}, {KEY: "Other", "Name": "other"}])
    stage = await sync("delete", bulkFrom=1)
    stage.rows([*rows(["x"] * 2), stage.case.row(7), *_named("KEPT", "other")])
    counts = (await stage.run()).counts
    assert (counts.deleted, counts.rejected) == (4, 1)
    [letter] = await stage.letters()
    assert (letter.record_keys, letter.message[:14]) == ({KEY: "KEPT"}, "DELETE_FAILED:")
    assert [record["Name"] for record in org.records.values()] == ["kept"]


async def test_a_mirror_deletes_by_job_only_where_there_is_much_to_delete(org: SalesforceOrg, sync: Made) -> None:
    stage = await sync("mirror", bulkFrom=10)
    await stage.run()
    stage.rows([stage.case.row(number) for number in range(ROWS - 1)])
    assert (await stage.run()).counts.deleted == 1
    assert [job.operation for job in org.jobs.values()] == ["upsert", "upsert"]
    assert [call.method for call in org.calls if "/composite/" in call.path] == ["DELETE"]


async def test_fewer_rows_than_it_takes_are_no_job(org: SalesforceOrg, sync: Made) -> None:
    await (await sync("upsert", bulkFrom=ROWS + 1)).run()
    assert not org.jobs
    assert len(org.records) == ROWS


async def test_a_job_that_was_never_filled_is_aborted_by_whoever_finds_it(org: SalesforceOrg) -> None:
    first, second = await _opened(org), await _opened(org)
    kept: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def keep(handle: str) -> None:
        kept.set_result(handle)
        raise asyncio.CancelledError  # the runner dies

    with pytest.raises(asyncio.CancelledError):
        await first.submit(_batch("upsert", "a"), keep)
    assert await second.poll(kept.result()) == NotBegun()
    assert [job.state for job in org.jobs.values()] == ["Aborted"]
    assert await second.poll(kept.result()) == NotBegun()
    await first.close()
    await second.close()


async def test_a_job_that_is_not_there_any_more_leaves_its_records_unknown(org: SalesforceOrg) -> None:
    connector = await _opened(org)
    handle = await connector.submit(_batch("upsert", "a"), _keep)
    org.jobs.clear()
    assert await connector.poll(handle) == Ended()
    results = await connector.collect(handle)
    assert (results.outcomes, isinstance(results.rest, Unknown)) == ({}, True)
    await connector.close()


@pytest.mark.parametrize(
    ("operation", "rest"), [("delete", ACKNOWLEDGED), ("update", Skipped("there is no such record"))]
)
async def test_a_batch_of_records_that_are_not_there_needs_no_job(
    org: SalesforceOrg, operation: str, rest: object
) -> None:
    connector = await _opened(org, operation)
    handle = await connector.submit(_batch(operation, "a", "b"), _keep)
    assert await connector.poll(handle) == Ended()
    assert await connector.collect(handle) == JobResults({}, rest=rest)  # type: ignore[arg-type]
    assert not org.jobs
    await connector.close()


async def test_results_that_do_not_add_up_acknowledge_nothing_that_they_do_not_name(org: SalesforceOrg) -> None:
    connector = await _opened(org)
    batch = _batch("upsert", "a", "refused", "b")
    handle = await connector.submit(batch, _keep)
    while await connector.poll(handle) != Ended():
        pass
    [job] = org.jobs.values()
    job.succeeded = [row for row in job.succeeded if row[KEY] == "a"]
    results = await connector.collect(handle)
    outcomes = [results.outcomes.get(mark, results.rest) for mark in connector.marks(batch)]
    assert outcomes[0] == ACKNOWLEDGED
    assert isinstance(outcomes[1], Rejected)
    assert isinstance(outcomes[2], Unknown)
    await connector.close()


async def test_results_without_the_key_acknowledge_nothing(org: SalesforceOrg) -> None:
    connector = await _opened(org)
    handle = await connector.submit(_batch("upsert", "a", "refused"), _keep)
    while await connector.poll(handle) != Ended():
        pass
    [job] = org.jobs.values()
    for row in [*job.succeeded, *job.failed]:
        del row[KEY]
    batch, results = _batch("upsert", "a", "refused"), await connector.collect(handle)
    assert all(isinstance(results.outcomes.get(mark, results.rest), Unknown) for mark in connector.marks(batch))
    await connector.close()


async def test_a_job_never_deletes_by_a_value_that_several_records_have(org: SalesforceOrg) -> None:
    org.accounts.put([{KEY: "a", "Name": "one"}, {KEY: "A", "Name": "two"}, {KEY: "b", "Name": "three"}])
    connector = await _opened(org, "delete")
    with pytest.raises(BatchRejected, match="DUPLICATE_EXTERNAL_ID: 2 records have this value"):
        await connector.submit(_batch("delete", "a", "b"), _keep)
    assert (len(org.records), len(org.jobs)) == (3, 0)
    await connector.close()


@pytest.mark.parametrize(("key", "by_job"), [(KEY, True), ("Number__c", False), ("Id", True)])
async def test_only_a_unique_key_updates_and_deletes_by_job(org: SalesforceOrg, key: str, by_job: bool) -> None:
    for mode in ("update", "delete"):
        connector = await _opened(org, mode, key)
        assert connector.batching(mode, 5_000).asynchronous is by_job
        await connector.close()


async def test_a_handle_holds_no_key_of_a_record_and_no_secret(org: SalesforceOrg) -> None:
    connector = await _opened(org)
    handle = await connector.submit(_batch("upsert", "a-key-of-a-record"), _keep)
    assert len(handle) < 1_000
    assert not [word for word in ("a-key-of-a-record", org.secret, *org.tokens) if word in handle]
    await connector.close()


async def _keep(handle: str) -> None:
    """As the engine does."""


def _named(*keys: str) -> list[Row]:
    return [Row(key, "x") for key in keys]


def _batch(operation: str, *keys: str) -> Batch:
    records = [{KEY: key, **({} if operation == "delete" else {"Name": key})} for key in keys]
    return Batch(len(keys), [orjson.dumps(record) for record in records], operation=operation)


async def _opened(org: SalesforceOrg, mode: str = "upsert", key: str = KEY) -> Salesforce:
    login = {"client_id": org.client, "client_secret": org.secret}
    connector = Salesforce(
        SalesforceConfig(instance_url=org.url, bulk_from=1), SalesforceCredentials.model_validate(login)
    )
    seconds = timedelta(seconds=5)
    await connector.open(Target("Account", mode, (key,), (key, "Name"), seconds, began=datetime.now(UTC)))
    return connector
