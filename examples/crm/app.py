"""The CRM's HTTP API over records in memory.

`POST /api/objects/{object}/batch` writes up to 500 records by their key and answers for each by its index;
`POST /api/objects/{object}/batch/delete` removes records by their key fields; reading is `GET /api/objects/{object}`
and `GET /api/objects/{object}/{key}`; `DELETE /api/objects/{object}` empties it; `GET /api/stats` says what was
received.
"""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from examples.crm.objects import OBJECTS, problems

MAX_BATCH = 500

Record = dict[str, Any]


class BatchRequest(BaseModel):
    """Records to write; each is checked by itself, so that one bad record does not refuse the others."""

    records: list[Record] = Field(min_length=1, max_length=MAX_BATCH)


@dataclass
class Stats:
    """What the CRM has received since it started or was last reset."""

    calls: int = 0
    calls_limited: int = 0
    records: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0


@dataclass
class RateLimit:
    """A token bucket: `per_second` calls on average, `burst` of them at once.

    Args:
        clock: seconds, monotonic.
    """

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._at = float(self.burst), self.clock()

    def wait(self) -> int:
        """Take a call: 0 when it may go on, else whole seconds to wait before the next."""
        now = self.clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return math.ceil((1 - self._tokens) / self.per_second)


@dataclass
class Crm:
    """All records, by object and key."""

    records: dict[str, dict[str, Record]] = field(default_factory=lambda: {name: {} for name in OBJECTS})
    stats: Stats = field(default_factory=Stats)

    def write(self, name: str, records: list[Record]) -> list[dict[str, Any]]:
        """Upsert each record; one result a record, in order."""
        self.stats.records += len(records)
        return [{"index": index, **self._upsert(name, record)} for index, record in enumerate(records)]

    def _upsert(self, name: str, record: Record) -> dict[str, Any]:
        kind = OBJECTS[name]
        try:
            checked = kind.model_validate(record)
        except ValidationError as error:
            self.stats.rejected += 1
            return {"status": "error", "code": "INVALID", "message": problems(error)}
        key = getattr(checked, kind.key)
        known = self.records[name]
        status = "updated" if key in known else "created"
        known[key] = checked.model_dump(mode="json")
        setattr(self.stats, status, getattr(self.stats, status) + 1)
        return {"status": status, "id": key}

    def remove(self, name: str, records: list[Record]) -> list[dict[str, Any]]:
        """Remove each record that is there; one result a record, in order."""
        self.stats.records += len(records)
        return [{"index": index, **self._remove(name, record)} for index, record in enumerate(records)]

    def _remove(self, name: str, record: Record) -> dict[str, Any]:
        key = record.get(OBJECTS[name].key)
        if self.records[name].pop(str(key), None) is None:
            return {"status": "missing", "id": key}
        self.stats.deleted += 1
        return {"status": "deleted", "id": key}


def create_app(*, token: str | None, limit: RateLimit) -> FastAPI:
    """The CRM as an ASGI application; with a token, it takes only calls that bear it."""
    crm = Crm()
    app = FastAPI(title="Airline CRM", version="1")

    @app.middleware("http")
    async def admit(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if token is not None and request.headers.get("authorization") != f"Bearer {token}":
            return JSONResponse({"message": "the bearer token is missing or wrong"}, 401)
        if request.method == "POST":
            crm.stats.calls += 1
            if seconds := limit.wait():
                crm.stats.calls_limited += 1
                return JSONResponse({"message": "too many calls"}, 429, {"Retry-After": str(seconds)})
        return await call_next(request)

    @app.post("/api/objects/{name}/batch")
    async def write(name: str, request: BatchRequest) -> dict[str, Any]:
        return {"results": crm.write(_known(name), request.records)}

    @app.post("/api/objects/{name}/batch/delete")
    async def remove(name: str, request: BatchRequest) -> dict[str, Any]:
        return {"results": crm.remove(_known(name), request.records)}

    @app.get("/api/objects/{name}")
    async def page(name: str, limit: Annotated[int, Query(ge=0, le=500)] = 50, after: str = "") -> dict[str, Any]:
        records = crm.records[_known(name)]
        keys = sorted(key for key in records if key > after)
        return {"total": len(records), "records": [records[key] for key in keys[:limit]]}

    @app.get("/api/objects/{name}/{key}")
    async def one(name: str, key: str) -> Record:
        try:
            return crm.records[_known(name)][key]
        except KeyError:
            raise HTTPException(404, f"there is no {name} {key!r}") from None

    @app.delete("/api/objects/{name}")
    async def remove_all(name: str) -> dict[str, int]:
        removed = len(crm.records[_known(name)])
        crm.records[name].clear()
        return {"removed": removed}

    @app.get("/api/stats")
    async def stats() -> dict[str, int]:
        return asdict(crm.stats)

    @app.delete("/api/stats")
    async def reset() -> None:
        crm.stats = Stats()

    return app


def _known(name: str) -> str:
    if name not in OBJECTS:
        raise HTTPException(404, f"there is no object {name!r}; there are: {', '.join(sorted(OBJECTS))}")
    return name
