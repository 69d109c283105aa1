"""An HTTP endpoint that keeps what it is sent, answers in the ways that real ones do, and fails on request.

===============================  ==========================================================================
POST, PUT, PATCH /{object}       a list of records (bare, or under `records`) is upserted
… /{object}/{operation}          a list of records is upserted, inserted, updated, deleted or appended
PUT /{object}/one/{key}          one record is upserted
POST /{object}/one[/{key}]       one record is inserted; 409 if it is there
PATCH /{object}/one/{key}        one record is updated; 404 if it is not there
DELETE /{object}/one/{key}       one record is deleted; 404 if it is not there
===============================  ==========================================================================

Without results for single records (style none), a list is inserted wholly or, with 409, not at all; records that are
not there are passed over by update and delete.
"""

import asyncio
import json
import math
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Record = dict[str, Any]
Style = Literal["none", "index", "position", "key", "failures"]
SINGLE = {"PUT": "upsert", "POST": "insert", "PATCH": "update", "DELETE": "delete"}


@dataclass(frozen=True)
class Answer:
    """A reply to be given instead of the usual one; nothing is written then.

    Attributes:
        raw: bytes for the socket, which is closed after them, instead of a reply.
        write: the records are written all the same.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes = ""
    raw: bytes | None = None
    write: bool = False


@dataclass(frozen=True)
class Limit:
    """Calls taken in any period of time; more are refused with 429.

    Attributes:
        style: headers that say so, on every reply.
    """

    calls: int
    seconds: float = 1.0
    style: Literal["none", "x", "epoch", "draft", "structured"] = "x"

    def headers(self, taken: int, reset: float) -> dict[str, str]:
        """What a reply says of the rate."""
        left, wait = self.calls - taken, math.ceil(reset)
        at = {"x": wait, "epoch": math.ceil(time.time() + reset), "draft": wait}
        prefix = "RateLimit-" if self.style == "draft" else "X-RateLimit-"
        if self.style == "none":
            return {}
        if self.style == "structured":
            policy = f'"calls";q={self.calls};w={math.ceil(self.seconds)}'
            return {"RateLimit-Policy": policy, "RateLimit": f'"calls";r={left};t={wait}'}
        said = {"Limit": self.calls, "Remaining": left, "Reset": at[self.style]}
        return {prefix + name: str(value) for name, value in said.items()}


@dataclass
class Endpoint:
    """A collection of records, told apart by their key.

    Attributes:
        key: field that identifies a record.
        style: how a reply speaks of single records.
        check: says what is wrong with a record, or None.
        atomic: one bad record refuses the whole request with 422 and names none.
        answers: given to the next requests, one each; None is the usual answer.
        always: given to all requests.
        gate: requests wait until it is set.
        limit: the rate that is kept up.
        id_field: field of a record by which it is known to have been taken before.
        records: what is stored. Decimal numbers are kept as the text they came in.
        events: what was appended, in order.
        writes: how often each key was written, deleted or appended.
        seen: replies by Idempotency-Key; a call that is made again has no effect and gets the same reply.
        requests: number of records in each request that arrived.
        arrivals: when each arrived, in seconds (monotonic).
        limited: how many requests were refused for the rate.
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
    limit: Limit | None = None
    id_field: str | None = None
    records: dict[str, Record] = field(default_factory=dict)
    events: list[Record] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    seen: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    limited: int = 0
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()
        self._taken: deque[float] = deque()
        self._ids: set[str] = set()

    def busiest(self, seconds: float = 1.0) -> int:
        """Most requests that arrived within any such length of time."""
        times = self.arrivals
        return max((bisect_left(times, at + seconds) - i for i, at in enumerate(times)), default=0)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request of any kind."""
        body = await request.read()
        single = "/one" in request.path
        key = request.match_info.get("key")
        operation = SINGLE[request.method] if single else request.match_info.get("operation", "upsert")
        found = json.loads(body, parse_float=str) if body else {self.key: key}
        records = [found] if single else found["records"] if isinstance(found, dict) else found
        now = time.monotonic()
        self.requests.append(len(records))
        self.arrivals.append(now)
        self.arrived.release()
        await self.gate.wait()
        headers = self._rate(now)
        if "Retry-After" in headers:
            return web.json_response({"detail": "too many requests"}, status=429, headers=headers)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"detail": "unknown token"}, status=401, headers=headers)
        answer = self.answers.popleft() if self.answers else self.always
        if answer is None or answer.write:
            status, said = self._once(request.headers.get("Idempotency-Key"), operation, records, single=single)
            if answer is None:
                return web.json_response(said, status=status, headers=headers)
        return self._scripted(request, answer, headers)

    def _scripted(self, request: web.Request, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        if answer.raw is not None and request.transport is not None:
            request.transport.write(answer.raw)
            request.transport.close()
        return web.Response(status=answer.status, headers={**headers, **answer.headers}, body=body)

    def _rate(self, now: float) -> dict[str, str]:
        """Headers of the reply; with Retry-After if the request is one too many."""
        if self.limit is None:
            return {}
        taken = self._taken
        while taken and taken[0] <= now - self.limit.seconds:
            taken.popleft()
        over = len(taken) >= self.limit.calls
        if not over:
            taken.append(now)
        self.limited += over
        reset = taken[0] + self.limit.seconds - now
        headers = self.limit.headers(len(taken), reset)
        return {**headers, "Retry-After": str(math.ceil(reset))} if over else headers

    def _once(self, call: str | None, operation: str, records: list[Record], *, single: bool) -> tuple[int, Any]:
        """Write, unless this call was carried out before."""
        if call is None:
            return self._write(operation, records, single=single)
        if call not in self.seen:
            self.seen[call] = self._write(operation, records, single=single)
        return self.seen[call]

    def _write(self, operation: str, records: list[Record], *, single: bool) -> tuple[int, Any]:
        """Status and body of the reply."""
        keys = [str(record[self.key]) for record in records]
        verdicts = [self._verdict(operation, key, record) for key, record in zip(keys, records, strict=True)]
        refused = [verdict for verdict in verdicts if verdict[0] != 200]
        if single and refused:
            return refused[0][0], {"message": refused[0][1]}
        if self.atomic and any(status == 422 for status, _ in refused):
            return 422, {"message": next(words for status, words in refused if status == 422)}
        if self.style == "none" and any(status == 409 for status, _ in refused):
            return 409, {"message": "some record exists"}
        if refused:
            good = [i for i, verdict in enumerate(verdicts) if verdict[0] == 200]
            self._apply(operation, [keys[i] for i in good], [records[i] for i in good])
        else:
            self._apply(operation, keys, records)
        if single or self.style == "none":
            return 200, {}
        results = [self._result(i, r, v) for i, (r, v) in enumerate(zip(records, verdicts, strict=True))]
        if self.style == "failures":
            results = [result for result in results if result["status"] != 200]
        if self.style == "key":
            results.reverse()
        return 207 if refused else 200, {"results": results}

    def _verdict(self, operation: str, key: str, record: Record) -> tuple[int, str]:
        """Status of one record, and what is wrong with it."""
        if operation == "insert" and key in self.records and not self._known(record):
            return 409, "exists"
        if operation in ("update", "delete") and key not in self.records:
            return 404, "not found"
        problem = self.check(record) if operation != "delete" else None
        return (200, "") if problem is None else (422, problem)

    def _known(self, record: Record) -> bool:
        return self.id_field is not None and record.get(self.id_field) in self._ids

    def _apply(self, operation: str, keys: Sequence[str], records: Sequence[Record]) -> None:
        """Do to all records what the operation says, apart from those that it was done to before."""
        if self.id_field is not None:
            fresh = [i for i, record in enumerate(records) if not self._known(record)]
            keys, records = [keys[i] for i in fresh], [records[i] for i in fresh]
            self._ids.update(record[self.id_field] for record in records if self.id_field in record)
        self.writes.update(keys)
        if operation == "append":
            self.events += records
        elif operation == "delete":
            for key in keys:
                self.records.pop(key, None)
        elif operation == "update":
            for key, record in zip(keys, records, strict=True):
                self.records[key] = {**self.records[key], **record}
        else:
            self.records.update(zip(keys, records, strict=True))

    def _result(self, index: int, record: Record, verdict: tuple[int, str]) -> dict[str, Any]:
        place: dict[str, Any] = {"key": {self.key: record[self.key]}, "position": {}}.get(self.style, {"index": index})
        status, problem = verdict
        if status == 200:
            return {**place, "status": 200}
        return {**place, "status": status, "code": "INVALID", "message": problem}


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """Serve it on a port of 127.0.0.1; its `url` says where."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    for path in ("/{object}", "/{object}/one", "/{object}/one/{key}", "/{object}/{operation}"):
        app.router.add_route("*", path, endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield endpoint
    finally:
        endpoint.gate.set()
        await runner.cleanup()
