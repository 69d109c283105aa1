"""Records by the job: one CSV, worked off when Salesforce has time for it, with lists of what failed and what was not
reached.

See the Bulk API 2.0 Developer Guide, Bulk API 2.0 Ingest. A job has no effect before it is told that its upload is
complete, so its handle is kept before: what is found open later was never begun, and is aborted so that it never will.
Results repeat the columns that were sent, in any order; records are told apart by their key, and nothing is taken for
written that is not named. Deletes send Ids alone, and a record that could not be deleted is still there: its key is
asked for.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Ended,
    JobResults,
    JobStatus,
    NotBegun,
    Outcome,
    Rejected,
    Running,
    TryLater,
    Unknown,
)
from retl.destinations.salesforce.api import Api
from retl.destinations.salesforce.collections import NO_RECORD, located
from retl.destinations.salesforce.errors import Fault
from retl.destinations.salesforce.objects import Field, SObject
from retl.destinations.salesforce.records import cells, columns, read, rows, same, table, text
from retl.destinations.web.words import parsed
from retl.errors import RetlError

OVER = frozenset({"JobComplete", "Failed", "Aborted"})
TOO_LATE = frozenset({400, 409})
"""Statuses with which a change of a job's state is refused."""
UNSAID = Unknown("the job's results do not speak of this record")
GONE = Unknown(
    "the job is not there any more, and with it what became of this record; Salesforce keeps jobs for 7 days"
)


@dataclass(frozen=True, slots=True)
class Handle:
    """What another process needs to ask for a job.

    Attributes:
        job: its id; empty if there was nothing to send.
        key, key_type, cased: the field that records are found by, as Field has it.
        sent: records in the job.
        missing: records of the batch that are not in it, because there are none to update.
    """

    job: str
    object: str
    operation: str
    key: str
    key_type: str
    cased: bool
    sent: int
    missing: int

    @classmethod
    def of(cls, handle: str) -> "Handle":
        """As `text` wrote it."""
        return cls(**orjson.loads(handle))

    @property
    def text(self) -> str:
        """As JSON."""
        return orjson.dumps(asdict(self)).decode()

    @property
    def field(self) -> Field:
        """The key."""
        return Field(self.key, self.key_type, case_sensitive=self.cased)


class Jobs:
    """Ingest jobs of one object.

    Args:
        fields: destination fields of the sync, in mapping order.
    """

    def __init__(self, api: Api, sobject: SObject, key: Field, fields: Sequence[str]) -> None:
        self._api = api
        self._sobject = sobject
        self._key = key
        self._fields = fields

    def can(self, operation: str) -> bool:
        """Whether the operation can be told of each record in results that repeat what was sent."""
        key = self._key
        if key.type == "id" or operation not in ("update", "delete"):
            return True
        return key.unique and (key.updateable or operation == "delete")

    def marks(self, batch: Batch) -> list[str]:
        """The key of each record as the job's results will tell it."""
        assert batch.payloads is not None
        values = [read(payload, self._sobject).get(self._key.name) for payload in batch.payloads]
        return [same(value, self._key) if batch.operation == "delete" else text(value) for value in values]

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        """As `Destination.submit`."""
        content, sent = await self._content(batch)
        missing = batch.size - sent if batch.operation == "update" else 0
        job = await self._create(batch.operation) if sent else ""
        key = self._key
        handle = Handle(
            job, self._sobject.name, batch.operation, key.name, key.type, key.case_sensitive, sent, missing
        ).text
        await keep(handle)
        if job:
            await self._begin(job, content)
        return handle

    async def poll(self, handle: str) -> JobStatus:
        """As `Destination.poll`."""
        job = Handle.of(handle).job
        info = await self._info(job) if job else None
        if info is None:
            return Ended()
        if info.get("state") == "Open":
            return NotBegun() if await self._abort(job) else Running()
        if info.get("state") == "Aborted" and not info.get("numberRecordsProcessed"):
            return NotBegun()
        return Ended() if info.get("state") in OVER else Running()

    async def collect(self, handle: str) -> JobResults:
        """As `Destination.collect`."""
        of = Handle.of(handle)
        if not of.job:
            return JobResults({}, rest=NO_RECORD if of.operation == "update" else ACKNOWLEDGED)
        info = await self._info(of.job)
        if info is None:
            return JobResults({}, rest=GONE)
        failed = await self._rows(of, "failedResults")
        left = await self._rows(of, "unprocessedrecords")
        outcomes = await self._outcomes(of, failed, left, info)
        if of.operation == "delete":
            done = int(info.get("numberRecordsProcessed") or 0) - int(info.get("numberRecordsFailed") or 0)
            whole = done + len(failed) + len(left) == of.sent
            return JobResults(outcomes, rest=ACKNOWLEDGED if whole else UNSAID)
        succeeded = {row.get(of.key, ""): ACKNOWLEDGED for row in await self._rows(of, "successfulResults")}
        named = {**succeeded, **outcomes}
        return JobResults(named, rest=NO_RECORD if of.missing and len(named) == of.sent else UNSAID)

    async def _content(self, batch: Batch) -> tuple[bytes, int]:
        """The CSV, and how many records are in it."""
        assert batch.payloads is not None
        records = [read(payload, self._sobject) for payload in batch.payloads]
        if batch.operation not in ("update", "delete"):
            sheet = table(columns(self._fields), [cells(record, self._fields, self._sobject) for record in records])
            return sheet, len(records)
        settled, ready = await located(self._api, self._sobject.name, self._key, batch.operation, records)
        for outcome in settled.values():
            if isinstance(outcome, Rejected):  # a job has no place to say so of one record
                raise BatchRejected(outcome.code, outcome.message)
        places = [place for place in range(batch.size) if place not in settled]
        if batch.operation == "delete":
            ids = dict.fromkeys(ready[place]["id"] for place in places)
            return table(["Id"], [[each] for each in ids]), len(ids)
        fields = [field for field in self._fields if field != "Id"]
        sheet = table(
            ["Id", *columns(fields)],
            [[ready[place]["id"], *cells(records[place], fields, self._sobject)] for place in places],
        )
        return sheet, len(places)

    async def _create(self, operation: str) -> str:
        asked = {
            "object": self._sobject.name,
            "operation": "insert" if operation == "append" else operation,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        if operation == "upsert":
            asked["externalIdFieldName"] = self._key.name
        try:
            said = parsed((await self._api.call("POST", "/jobs/ingest", json=asked)).body)
        except TryLater as later:
            raise _without_effect(later) from None
        if not isinstance(said, Mapping) or not said.get("id"):
            raise TryLater("DESTINATION_UNAVAILABLE", "Salesforce made a job and did not say which")
        return str(said["id"])

    async def _begin(self, job: str, content: bytes) -> None:
        """Upload the records and let the job begin; if it does not, see to it that it never will."""
        complete = {"state": "UploadComplete"}
        try:
            await self._api.call("PUT", f"/jobs/ingest/{job}/batches", content=content, content_type="text/csv")
            await self._api.call("PATCH", f"/jobs/ingest/{job}", json=complete)
        except (TryLater, BatchRejected, RetlError) as error:
            try:
                never = await self._never_begins(job)
            except (TryLater, RetlError):
                if isinstance(error, TryLater):
                    raise TryLater("OUTCOME_UNKNOWN", str(error), error.retry_after, error.said) from None
                raise error from None
            if never:
                raise _without_effect(error) from None

    async def _never_begins(self, job: str) -> bool:
        """Abort a job that is still open; False if it has begun, and must not be aborted any more."""
        info = await self._info(job)
        return info is None or (info.get("state") == "Open" and await self._abort(job))

    async def _abort(self, job: str) -> bool:
        """Whether a job was aborted; False if it is too late for that."""
        aborted = {"state": "Aborted"}
        reply = await self._api.call("PATCH", f"/jobs/ingest/{job}", json=aborted, refused_as_reply=TOO_LATE)
        return reply.status not in TOO_LATE

    async def _info(self, job: str) -> Mapping[str, Any] | None:
        """What the org knows of a job; None if it is not there any more."""
        reply = await self._api.call("GET", f"/jobs/ingest/{job}", refused_as_reply=frozenset({404}))
        if reply.status == 404:
            return None
        said = parsed(reply.body)
        if not isinstance(said, Mapping):
            raise TryLater("DESTINATION_UNAVAILABLE", "Salesforce said of a job what is no JSON object")
        return said

    async def _rows(self, of: Handle, results: str) -> list[dict[str, str]]:
        reply = await self._api.call("GET", f"/jobs/ingest/{of.job}/{results}")
        return list(rows(reply.body))

    async def _outcomes(
        self, of: Handle, failed: list[dict[str, str]], left: list[dict[str, str]], info: Mapping[str, Any]
    ) -> dict[str, Outcome]:
        """What became of the records that were not written, by their marks."""
        reason = f": {info['errorMessage']}" if info.get("errorMessage") else ""
        unreached = Rejected(
            "DESTINATION_UNAVAILABLE",
            self._api.words(f"the job ended as {info.get('state')} before this record{reason}"),
        )
        said = [(row, Fault.of_job(row.get("sf__Error", ""))) for row in failed]
        outcomes = [(row, fault.outcome(of.operation, of.key, self._api.redact)) for row, fault in said]
        outcomes += [(row, unreached) for row in left]
        if of.operation != "delete":
            return {row.get(of.key, ""): outcome for row, outcome in outcomes}
        by_id = {row.get("Id") or row.get("sf__Id", ""): outcome for row, outcome in outcomes}
        return await self._by_key(of, {each: outcome for each, outcome in by_id.items() if outcome != ACKNOWLEDGED})

    async def _by_key(self, of: Handle, by_id: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Outcomes of records that could not be deleted, by their keys."""
        identity = Field("Id", "id")
        if of.key_type == "id":
            return {same(each, identity): outcome for each, outcome in by_id.items()}
        found = await self._api.found(of.object, identity, list(by_id), [of.key])
        return {
            same(record[of.key], of.field): outcome
            for each, outcome in by_id.items()
            for record in found.get(same(each, identity), ())
        }


def _without_effect(error: TryLater | BatchRejected | RetlError) -> Exception:
    """The error of a call about a job that never begins: whether it was carried out or not, nothing was written."""
    if isinstance(error, TryLater) and error.code == "OUTCOME_UNKNOWN":
        return TryLater("DESTINATION_UNAVAILABLE", error.message, error.retry_after, error.said)
    return error
