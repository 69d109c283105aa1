"""An HTTP endpoint that keeps what it is sent, answers in the ways that real ones do, and fails on request."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Record = dict[str, Any]
Style = Literal["none", "index", "position", "key", "failures"]


@dataclass(frozen=True)
class Answer:
    """A reply to be given instead of the usual one; nothing is written then."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Endpoint:
    """A collection of records, upserted by their key.

    Attributes:
        key: field that identifies a record.
        style: how a reply speaks of single records.
        check: says what is wrong with a record, or None.
        atomic: one bad record refuses the whole request with 422 and names none.
        answers: given to the next requests, one each; None is the usual answer.
        always: given to all requests.
        gate: requests wait until it is set.
        records: what is stored. Decimal numbers are kept as the text they came in.
        writes: how often each key was written.
        arrived: released once for each request that arrived.
    """

    key: str = "id"
    style: Style = "none"
    check: Callable[[Record], str | None] = lambda record: None
    atomic: bool = False
    token: str | None = None
    answers: deque[Answer | None] = field(default_factory=deque)
    always: Answer | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    records: dict[str, Record] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    requests: list[int] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    async def handle(self, request: web.Request) -> web.Response:
        """POST of a JSON array, or of an object with the key `records`."""
        body = json.loads(await request.read(), parse_float=str)
        records = body["records"] if isinstance(body, dict) else body
        self.requests.append(len(records))
        self.arrived.release()
        await self.gate.wait()
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"detail": "unknown token"}, status=401)
        answer = self.answers.popleft() if self.answers else self.always
        if answer is not None:
            return web.Response(status=answer.status, headers=answer.headers, text=answer.body)
        return self._write(records)

    def _write(self, records: list[Record]) -> web.Response:
        problems = [self.check(record) for record in records]
        if self.atomic and any(problems):
            return web.json_response({"message": next(filter(None, problems))}, status=422)
        for record, problem in zip(records, problems, strict=True):
            if problem is None:
                self.records[str(record[self.key])] = record
                self.writes[str(record[self.key])] += 1
        if self.style == "none":
            return web.json_response({})
        results = [self._result(i, r, p) for i, (r, p) in enumerate(zip(records, problems, strict=True))]
        if self.style == "failures":
            results = [result for result in results if result["status"] != 200]
        if self.style == "key":
            results.reverse()
        return web.json_response({"results": results}, status=207 if any(problems) else 200)

    def _result(self, index: int, record: Record, problem: str | None) -> dict[str, Any]:
        place: dict[str, Any] = {"key": {self.key: record[self.key]}, "position": {}}.get(self.style, {"index": index})
        if problem is None:
            return {**place, "status": 200}
        return {**place, "status": 422, "code": "INVALID", "message": problem}


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Serve it on a port of 127.0.0.1; its `url` says where."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{object}", endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield endpoint
    finally:
        endpoint.gate.set()
        await runner.cleanup()
