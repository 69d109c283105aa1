"""The http connector: many records a call with a result for each, and one record a call."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from retl.testing import Conformance, ConnectorCase, Row
from tests.destinations.endpoint import Answer, Endpoint, Record, serving


class Lists(ConnectorCase):
    """A list of records a call; the reply has a result for each."""

    connector = "http"

    def __init__(self) -> None:
        self.endpoint = Endpoint(style="index", token="s3cret-token", check=self._wrong)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with serving(self.endpoint):
            yield

    def config(self) -> Mapping[str, Any]:
        url = f"{self.endpoint.url}/{{object}}"
        operations = {name: {"url": f"{url}/{name}"} for name in ("insert", "update", "delete", "append")}
        return {"url": url, "operations": operations, "results": {}}

    def login(self) -> Mapping[str, str]:
        return {"token": "s3cret-token"}

    def wrong_login(self) -> Mapping[str, str]:
        return {"token": "another-token"}

    async def records(self) -> Mapping[str, str]:
        return {key: str(record["name"]) for key, record in self.endpoint.records.items()}

    async def events(self) -> Sequence[str]:
        return [str(event["id"]) for event in self.endpoint.events]

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


class Singles(Lists):
    """One record a call, whose URL names it."""

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

    async def events(self) -> Sequence[str]:
        return list(self.endpoint.records)


class TestLists(Conformance):
    """Lists."""

    case = Lists


class TestSingles(Conformance):
    """Singles."""

    case = Singles
