"""Records by the collection: up to 200 in a call, each with a result of its own, in order.

See the REST API Developer Guide, sObject Collections. Upserts name an external id; updates and deletes need Ids, which
are asked for first where the key is another field.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Outcome,
    Rejected,
    Skipped,
    TryLater,
    Unknown,
)
from retl.destinations.salesforce.api import Api
from retl.destinations.salesforce.errors import Fault
from retl.destinations.salesforce.objects import Field, SObject
from retl.destinations.salesforce.records import Record, collection, read, same
from retl.destinations.web.words import parsed
from retl.errors import RetlError

LOCK_PAUSE = 0.5
"""Seconds before locked records are tried again, then twice as many."""
NO_RECORD = Skipped("there is no such record")


class Collections:
    """Writes records of one object.

    Args:
        key: what records are found by.
        lock_retries: how often records that are locked are tried again.
    """

    def __init__(self, api: Api, sobject: SObject, key: Field | None, *, lock_retries: int) -> None:
        self._api = api
        self._sobject = sobject
        self._key = key
        self._lock_retries = lock_retries

    async def write(self, batch: Batch) -> list[Outcome]:
        """One outcome a record, in order (raises as `Destination.write`)."""
        assert batch.payloads is not None
        records = [read(payload, self._sobject) for payload in batch.payloads]
        settled: dict[int, Outcome] = {}
        if batch.operation in ("update", "delete"):
            settled, records = await located(self._api, self._sobject.name, self._key, batch.operation, records)
        waiting = [place for place in range(batch.size) if place not in settled]
        for tries in range(self._lock_retries + 1):
            if not waiting:
                break
            if tries:
                await asyncio.sleep(LOCK_PAUSE * 2 ** (tries - 1))
            try:
                results = await self._results(batch.operation, [records[place] for place in waiting])
            except (TryLater, BatchRejected, RetlError) as error:
                if not tries:
                    raise
                if batch.operation == "append" and isinstance(error, TryLater) and error.code == "OUTCOME_UNKNOWN":
                    settled |= dict.fromkeys(waiting, Unknown(str(error)))  # they may be written, and only once
                break  # what was said of the others must not be lost; these stay locked
            settled |= {
                place: self._outcome(result, batch.operation) for place, result in zip(waiting, results, strict=True)
            }
            waiting = [place for place, result in zip(waiting, results, strict=True) if _locked(result)]
        return [settled[place] for place in range(batch.size)]

    async def _results(self, operation: str, records: Sequence[Record]) -> Sequence[Any]:
        """A result for each record; None for all if the reply does not speak of just these."""
        name, path = self._sobject.name, "/composite/sobjects"
        if operation == "delete":
            ids = ",".join(record["id"] for record in records)
            reply = await self._api.call("DELETE", f"{path}?allOrNone=false&ids={ids}")
        elif operation == "upsert":
            assert self._key is not None, "an upsert has a key"
            reply = await self._api.call("PATCH", f"{path}/{name}/{self._key.name}", content=collection(records, name))
        else:
            method = "PATCH" if operation == "update" else "POST"
            reply = await self._api.call(method, path, content=collection(records, name))
        found = parsed(reply.body)
        if not isinstance(found, list):
            raise TryLater("OUTCOME_UNKNOWN", f"Salesforce answered {reply.status} without a list of results")
        return found if len(found) == len(records) else [None] * len(records)

    def _outcome(self, result: Any, operation: str) -> Outcome:
        if not isinstance(result, dict) or not isinstance(result.get("success"), bool):
            return Unknown("the reply has no result for this record")
        if result["success"]:
            return ACKNOWLEDGED
        return _fault(result).outcome(operation, self._key.name if self._key else "", self._api.redact)


async def located(
    api: Api, sobject: str, key: Field | None, operation: str, records: Sequence[Record]
) -> tuple[dict[int, Outcome], list[Record]]:
    """Find the records to update or delete: outcomes of those that cannot be, and all as calls by Id want them."""
    assert key is not None, "updates and deletes have a key"
    values = [record.get(key.name) for record in records]
    rest = [{name: value for name, value in record.items() if name != key.name} for record in records]
    if key.type == "id":
        return {}, [{"id": str(value), **record} for value, record in zip(values, rest, strict=True)]
    found = await api.found(sobject, key, [value for value in values if value is not None], ["Id"])
    settled: dict[int, Outcome] = {}
    ready: list[Record] = []
    for place, (value, record) in enumerate(zip(values, rest, strict=True)):
        ids = [each["Id"] for each in found.get(same(value, key), ())]
        if not ids:
            settled[place] = ACKNOWLEDGED if operation == "delete" else NO_RECORD
        elif len(ids) > 1:
            settled[place] = Rejected(
                "CONFLICT", f"DUPLICATE_EXTERNAL_ID: {len(ids)} records have this value ({key.name})"
            )
        ready.append({"id": ids[0] if ids else "", **record})
    return settled, ready


def _fault(result: dict[str, Any]) -> Fault:
    errors = result.get("errors")
    return Fault.of_result(errors[0] if isinstance(errors, list) and errors else None)


def _locked(result: Any) -> bool:
    return isinstance(result, dict) and result.get("success") is False and _fault(result).locked
