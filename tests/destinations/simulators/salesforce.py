"""A Salesforce org: OAuth, describe, queries, sObject Collections and Bulk API 2.0 ingest jobs, with records that stay.

Built from the vendor's guides, by section: REST API Developer Guide (sObject Collections, sObject Describe, Query,
Limit Info Header, Status Codes and Error Responses), Bulk API 2.0 Developer Guide (Bulk API 2.0 Ingest, Prepare CSV
Files, Get Job Failed Record Results), SOAP API Developer Guide (StatusCode, UpsertResult), Salesforce Help (OAuth 2.0
Client Credentials Flow, JWT Bearer Flow).
"""

import base64
import csv
import io
import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.destinations.simulators.base import Handler, Simulator, Window, reply
from tests.destinations.simulators.salesforce_records import (
    DEFAULTS,
    FIELDS,
    INDEXED,
    Accounts,
    Record,
    nested,
    typed,
)

QUERY = re.compile(r"SELECT (?P<select>[\w,]+) FROM (?P<object>\w+) WHERE (?P<field>\w+) IN \((?P<values>.*)\)", re.S)
LITERAL = re.compile(r"'((?:\\.|[^'\\])*)'|(-?[0-9.]+)", re.S)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class Job:
    """An ingest job.

    Attributes:
        asked: how often it was asked for since its upload was complete.
    """

    id: str
    object: str
    operation: str
    key: str
    state: str = "Open"
    rows: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    error: str = ""
    succeeded: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    left: list[dict[str, str]] = field(default_factory=list)

    def said(self) -> dict[str, Any]:
        """As the vendor describes it."""
        done = len(self.succeeded) + len(self.failed)
        return {
            "id": self.id,
            "object": self.object,
            "operation": self.operation,
            "state": self.state,
            "contentType": "CSV",
            "numberRecordsProcessed": done,
            "numberRecordsFailed": len(self.failed),
            **({"errorMessage": self.error} if self.error else {}),
        }


class SalesforceOrg(Simulator):
    """One org.

    Attributes:
        accounts: its records.
        ends: how the next jobs end early: state, error, and how many rows were worked off.
        bodies: what calls brought: method, path, content.
        usage: API calls of 24 hours that were used before, and that there are.
    """

    free = ("/services/oauth2/token",)
    client, secret, user = "consumer-key-1", "consumer-secret-1", "integration@example.com"

    def __init__(self, version: str = "65.0", page: int = 2_000) -> None:
        super().__init__()
        self.version = version
        self.page = page
        self.accounts = Accounts()
        self.jobs: dict[str, Job] = {}
        self.ends: list[tuple[str, str, int]] = []
        self.bodies: list[tuple[str, str, bytes]] = []
        self.usage = (18, 100_000)
        self.allowed = {"createable": True, "updateable": True, "deletable": True}
        self.certificate: rsa.RSAPublicKey | None = None
        self._pages: dict[str, list[Record]] = {}
        self._numbers = itertools.count(1)

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        root = f"/services/data/v{self.version}"
        return [
            ("POST", "/services/oauth2/token", self._token),
            ("GET", root, self._resources),
            ("GET", f"{root}/sobjects", self._list),
            ("GET", f"{root}/sobjects/{{object}}/describe", self._describe),
            ("GET", f"{root}/query", self._query),
            ("GET", f"{root}/query/", self._query),
            ("GET", f"{root}/query/{{locator}}", self._more),
            ("PATCH", f"{root}/composite/sobjects/{{object}}/{{key}}", self._collection),
            ("POST", f"{root}/composite/sobjects", self._collection),
            ("PATCH", f"{root}/composite/sobjects", self._collection),
            ("DELETE", f"{root}/composite/sobjects", self._delete),
            ("POST", f"{root}/jobs/ingest", self._create_job),
            ("PUT", f"{root}/jobs/ingest/{{job}}/batches", self._upload),
            ("PATCH", f"{root}/jobs/ingest/{{job}}", self._change_job),
            ("GET", f"{root}/jobs/ingest/{{job}}", self._job),
            ("GET", f"{root}/jobs/ingest/{{job}}/{{results}}", self._results),
            ("*", "/{rest:.*}", self._nowhere),
        ]

    def authorized(self, request: web.Request) -> bool:
        return self.has_token(request)

    def unauthorized(self) -> web.Response:
        return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def too_many(self, wait: float) -> web.Response:
        return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def limit_headers(self, left: int, window: Window) -> Mapping[str, str]:
        return {"Sforce-Limit-Info": f"api-usage={window.calls - left}/{window.calls}"}

    @property
    def records(self) -> Mapping[str, Record]:
        """By their Id."""
        return self.accounts.records

    def issue_jwt_certificate(self) -> str:
        """A private key in PEM, whose certificate the app has from now on."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = key.public_key()
        no_password = serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password).decode()

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        error, words = self._refused_login(form)
        if error:
            return reply({"error": error, "error_description": words}, 400)
        issued = str(int(time.time() * 1_000))
        return reply(
            {
                "access_token": self.issue_token(),
                "instance_url": self.url,
                "token_type": "Bearer",
                "issued_at": issued,
                "signature": "c2lnbmF0dXJl",
            }
        )

    def _refused_login(self, form: Mapping[str, str]) -> tuple[str, str]:
        if form.get("grant_type") == JWT_BEARER:
            return self._refused_jwt(form["assertion"])
        if form.get("grant_type") != "client_credentials":
            return "unsupported_grant_type", "grant type not supported"
        if form.get("client_id") != self.client:
            return "invalid_client_id", "client identifier invalid"
        return (
            ("", "") if form.get("client_secret") == self.secret else ("invalid_client", "invalid client credentials")
        )

    def _refused_jwt(self, assertion: str) -> tuple[str, str]:
        head, claims, signature = assertion.split(".")
        said = orjson.loads(_unpacked(claims))
        assert self.certificate is not None, "the app has a certificate"
        try:
            self.certificate.verify(
                _unpacked(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return "invalid_grant", "invalid assertion"
        if said["aud"] != "https://login.salesforce.com":
            return "invalid_grant", "audience is invalid"
        if not time.time() < said["exp"] <= time.time() + 181:
            return "invalid_grant", "expired authorization code"
        known = (said["iss"], said["sub"]) == (self.client, self.user)
        return ("", "") if known else ("invalid_grant", "user hasn't approved this consumer")

    async def _nowhere(self, request: web.Request) -> web.Response:
        return refusal(404, "NOT_FOUND", "The requested resource does not exist")

    async def _resources(self, request: web.Request) -> web.Response:
        return self._said({"sobjects": f"{request.path}/sobjects", "composite": f"{request.path}/composite"})

    async def _list(self, request: web.Request) -> web.Response:
        history = {"name": "AccountHistory", "createable": False, "updateable": False, "deletable": False}
        return self._said({"sobjects": [{"name": "Account", **self.allowed}, history]})

    async def _describe(self, request: web.Request) -> web.Response:
        if request.match_info["object"] != "Account":
            return await self._nowhere(request)
        fields = [{"name": name, **DEFAULTS, **held} for name, held in FIELDS.items()]
        return self._said({"name": "Account", **self.allowed, "fields": fields})

    async def _query(self, request: web.Request) -> web.Response:
        found = QUERY.fullmatch(request.query["q"])
        if found is None or found["field"] not in {"Id", *INDEXED}:
            return refusal(400, "MALFORMED_QUERY", "unexpected token")
        texts = [
            text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text or number
            for text, number in LITERAL.findall(found["values"])
        ]
        ids = dict.fromkeys(identity for text in texts for identity in self.accounts.having(found["field"], text))
        names = found["select"].split(",")
        records = [
            {"attributes": {"type": "Account"}, **{name: self.records[each].get(name) for name in names}}
            for each in ids
        ]
        return self._page(request.path.rstrip("/"), records, len(records))

    async def _more(self, request: web.Request) -> web.Response:
        records = self._pages.pop(request.match_info["locator"])
        return self._page(request.path.rpartition("/")[0], records, len(records))

    def _page(self, path: str, records: list[Record], total: int) -> web.Response:
        first, rest = records[: self.page], records[self.page :]
        page: Record = {"totalSize": total, "done": not rest, "records": first}
        if rest:
            locator = f"01g{next(self._numbers)}-{self.page}"
            self._pages[locator] = rest
            page["nextRecordsUrl"] = f"{path}/{locator}"
        return self._said(page)

    async def _collection(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append((request.method, request.path, body))
        try:
            said = orjson.loads(body)
            records = said["records"]
            assert len(records) <= 200
        except (orjson.JSONDecodeError, KeyError, AssertionError):
            return refusal(400, "INVALID_INPUT", "The request is not well formed, or has more than 200 records")
        if bad := [record["Active__c"] for record in records if not isinstance(record.get("Active__c", True), bool)]:
            words = f"Cannot deserialize instance of boolean from VALUE_STRING value {bad[0]} or request may be missing"
            return refusal(400, "JSON_PARSER_ERROR", f"{words} a required field at [line:1, column:99]")
        key = request.match_info.get("key")
        operation = "upsert" if key else {"POST": "insert", "PATCH": "update"}[request.method]
        seen: set[str] = set()
        return self._said([self._written(operation, key or "", record, seen) for record in records])

    def _written(self, operation: str, key: str, record: Record, seen: set[str]) -> Record:
        """Write a record of a collection; its result."""
        assert record["attributes"] == {"type": "Account"}
        values = {name: value for name, value in record.items() if name not in ("attributes", "id")}
        identity, errors = self.accounts.write(operation, key, values, record.get("id", ""), seen)
        if errors:
            return {"success": False, "errors": errors}
        result: Record = {"id": identity, "success": True, "errors": []}
        return {**result, "created": False} if operation == "upsert" else result

    async def _delete(self, request: web.Request) -> web.Response:
        self.bodies.append((request.method, request.path, b""))
        ids = request.query["ids"].split(",")
        assert len(ids) <= 200
        results = []
        for identity in ids:
            errors = self.accounts.remove(identity)
            results.append({"id": identity, "success": not errors, "errors": errors})
        return self._said(results)

    async def _create_job(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append((request.method, request.path, body))
        said = orjson.loads(body)
        if said["object"] != "Account":
            return refusal(400, "INVALIDENTITY", f"InvalidEntity : Entity '{said['object']}' is not supported")
        if (said["operation"] == "upsert") != ("externalIdFieldName" in said):
            return refusal(
                400, "INVALIDJOB", "InvalidJob : Upsert requires an external id field name, and nothing else"
            )
        assert (said["contentType"], said["columnDelimiter"], said["lineEnding"]) == ("CSV", "COMMA", "LF")
        job = Job(f"750{next(self._numbers):012}AAA", "Account", said["operation"], said.get("externalIdFieldName", ""))
        self.jobs[job.id] = job
        return self._said(job.said())

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append((request.method, request.path, body))
        job = self.jobs[request.match_info["job"]]
        if job.state != "Open" or job.rows:
            return refusal(400, "INVALIDJOBSTATE", "Uploading data is not allowed in this state")
        job.rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        return web.Response(status=201)

    async def _change_job(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        state = orjson.loads(await request.read())["state"]
        if job.state != "Open" and not (state == "Aborted" and job.state in ("UploadComplete", "InProgress")):
            return refusal(400, "INVALIDJOBSTATE", f"Job state {job.state} cannot be changed to {state}")
        job.state = state
        if state == "Aborted":
            job.left = job.rows
        return self._said(job.said())

    async def _job(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["job"])
        if job is None:
            return await self._nowhere(request)
        if job.state == "UploadComplete":
            job.state = "InProgress"
        elif job.state == "InProgress":
            self._work_off(job)
        return self._said(job.said())

    def _work_off(self, job: Job) -> None:
        job.state, job.error, most = self.ends.pop(0) if self.ends else ("JobComplete", "", len(job.rows))
        seen: set[str] = set()
        for row in job.rows[:most]:
            values = {name: typed(name, cell) for name, cell in row.items() if name != "Id" and cell}
            if job.operation == "delete":
                identity, errors = row["Id"], self.accounts.remove(row["Id"])
            else:
                identity, errors = self.accounts.write(job.operation, job.key, nested(values), row.get("Id", ""), seen)
            if errors:
                first = errors[0]
                words = f"{first['statusCode']}:{first['message']}:{','.join(first['fields'])} --"
                job.failed.append({"sf__Id": row.get("Id", ""), "sf__Error": words, **row})
            else:
                job.succeeded.append({"sf__Id": identity, "sf__Created": "true", **row})
        job.left = job.rows[most:]

    async def _results(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["job"]]
        kinds = {"successfulresults": job.succeeded, "failedresults": job.failed, "unprocessedrecords": job.left}
        rows = kinds[request.match_info["results"].lower()]
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(reversed(rows))  # their order is not said to be that of the upload
        return web.Response(text=text.getvalue(), content_type="text/csv")

    def _said(self, body: Any) -> web.Response:
        used, limit = self.usage
        return reply(body, 200, {"Sforce-Limit-Info": f"api-usage={used + len(self.calls)}/{limit}"})


def refusal(status: int, code: str, message: str) -> web.Response:
    """A call that is refused as such."""
    return reply([{"message": message, "errorCode": code}], status)


def _unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
