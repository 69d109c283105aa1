"""The http connector: many records a call with a result for each, and one record a call.

Many go to an API with tokens and words of its own; one at a time, to a plain collection.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.destinations import Bench
from retl.testing import Conformance, ConnectorCase, Row
from tests.destinations.endpoint import Answer, Endpoint, Record, serving
from tests.destinations.simulators.case import SimulatedCase
from tests.destinations.simulators.http import CLIENT, CLIENT_SECRET, RestApi


class Lists(SimulatedCase):
    """A list of wrapped records a call; the reply has a result for each, in words that rules explain."""

    connector = "http"
    vendor: RestApi

    def __init__(self) -> None:
        self.vendor = RestApi()

    def config(self) -> Mapping[str, Any]:
        url = self.vendor.url
        operations = {name: {"url": f"{url}/{{object}}/{name}"} for name in ("insert", "update", "delete", "append")}
        return {
            "url": f"{url}/{{object}}/upsert",
            "recordTemplate": {"id": "{record.id}", "attributes": "{record}"},
            "bodyTemplate": {"data": "{records}"},
            "operations": operations,
            "oauth2": {"tokenUrl": f"{url}/token"},
            "results": {
                "path": "$.report.lines",
                "by": "key",
                "statusField": "state",
                "successValues": ["done"],
                "codeField": "fault.type",
                "messageField": "fault.text",
            },
            "rules": [
                {"of": "result", "path": "$.fault.type", "values": ["ALREADY_THERE", "NOT_THERE"], "means": "skipped"}
            ],
            "discovery": {
                "objects": {
                    "url": f"{url}/meta/objects",
                    "list": "$.objects",
                    "name": "label",
                    "pages": {"by": "page", "parameter": "page"},
                },
                "fields": {
                    "url": f"{url}/meta/objects/{{object}}",
                    "list": "$.fields",
                    "name": "key",
                    "type": "kind",
                    "required": "needed",
                    "readOnly": "computed",
                    "pages": {"by": "cursor", "path": "$.paging.after", "parameter": "after"},
                },
            },
        }

    def login(self) -> Mapping[str, str]:
        return {"client_id": CLIENT, "client_secret": CLIENT_SECRET}

    def wrong_login(self) -> Mapping[str, str]:
        return {"client_id": CLIENT, "client_secret": "another-secret"}

    async def records(self) -> Mapping[str, str]:
        return {key: str(record["name"]) for key, record in self.vendor.records["accounts"].items()}

    async def events(self) -> Sequence[str]:
        return self.vendor.events

    async def seed(self, rows: Sequence[Row]) -> None:
        self.vendor.records["accounts"] |= {row.key: {"id": row.key, "name": row.name} for row in rows}

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    async def expire_login(self) -> None:
        self.vendor.expire_tokens()


class Singles(ConnectorCase):
    """One record a call, whose URL names it."""

    connector = "http"

    def __init__(self) -> None:
        self.endpoint = Endpoint(style="index", token="s3cret-token", check=self._wrong)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with serving(self.endpoint):
            yield

    def config(self) -> Mapping[str, Any]:
        url = f"{self.endpoint.url}/{{object}}/one"
        return {
            "url": f"{url}/{{key}}",
            "method": "PUT",
            "body": "object",
            "operations": {
                "insert": {"url": url, "method": "POST"},
                "update": {"method": "PATCH"},
                "delete": {"method": "DELETE"},
                "append": {"url": url, "method": "POST"},
            },
        }

    def login(self) -> Mapping[str, str]:
        return {"token": "s3cret-token"}

    def wrong_login(self) -> Mapping[str, str]:
        return {"token": "another-token"}

    async def records(self) -> Mapping[str, str]:
        return {key: str(record["name"]) for key, record in self.endpoint.records.items()}

    async def events(self) -> Sequence[str]:
        return list(self.endpoint.records)

    async def seed(self, rows: Sequence[Row]) -> None:
        self.endpoint.records |= {row.key: {"id": row.key, "name": row.name} for row in rows}

    def refused(self, number: int) -> Row:
        return Row(self.row(number).key, "refused")

    async def refuse_for_rate(self, calls: int) -> None:
        self.endpoint.answers.extend([Answer(429, {"Retry-After": "0"})] * calls)

    async def fail(self, calls: int) -> None:
        self.endpoint.answers.extend([Answer(503)] * calls)

    async def drop_reply(self) -> None:
        self.endpoint.answers.append(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", write=True))

    @staticmethod
    def _wrong(record: Record) -> str | None:
        return "name is refused" if record.get("name") == "refused" else None


class TestLists(Conformance):
    """Lists."""

    case = Lists


class TestSingles(Conformance):
    """Singles."""

    case = Singles


BENCHES = [Bench("http", Lists)]
