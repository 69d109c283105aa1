"""What people look at, over HTTP: the StateReader interface, each caller confined to its own namespace.

The command line asks it with a token of the namespace's ServiceAccount, which it was given because the person may have
one: so whoever may act for a namespace may see its dead letters and plans, and nobody else.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from retl.rest.problems import Problem, not_found
from retl.rest.state_service import Body, Runner, Store
from retl.state import reader_wire as wire
from retl.state.sql import SqlStateStore

router = APIRouter(prefix=wire.PREFIX)
Limit = Annotated[int, Query(ge=1, le=wire.MAX_PAGE)]
NamespaceMade = Callable[[str], Awaitable[datetime | None]]
"""Says since when there is a namespace of that name; None: there is none."""


async def _seen(request: Request, caller: Runner, store: Store) -> SqlStateStore:
    """The store as the caller's namespace may see it: not what is of one that had its name before."""
    made: NamespaceMade = request.app.state.namespace_made
    return store.since(await made(caller.namespace))


Seen = Annotated[SqlStateStore, Depends(_seen)]


@router.get("/runs")
async def runs(caller: Runner, store: Seen, sync: str | None = None, limit: Limit = 50) -> Response:
    return _json(wire.RUNS.dump_json(await store.runs(namespace=caller.namespace, sync=sync, limit=limit)))


@router.get("/plans/{run}")
async def plan(run: str, caller: Runner, store: Seen) -> Response:
    found = await store.plan(namespace=caller.namespace, run=run)
    if found is None:
        raise not_found("plan of such a run")
    return _json(found)


@router.get("/dead-letters")
async def dead_letters(
    caller: Runner,
    store: Seen,
    sync: str | None = None,
    resolved: bool = False,
    code: str | None = None,
    since: datetime | None = None,
    limit: Limit = 50,
    after: str | None = None,
) -> Response:
    if since is not None and since.tzinfo is None:
        raise Problem(422, "invalid-input", "since: write a moment with its zone")
    found = await store.dead_letters(
        namespace=caller.namespace, sync=sync, resolved=resolved, code=code, since=since, limit=limit, after=after
    )
    return _json(wire.LETTERS.dump_json(found))


@router.get("/dead-letters/{id}")
async def dead_letter(id: str, caller: Runner, store: Seen) -> Response:
    found = await store.dead_letter(namespace=caller.namespace, id=id)
    if found is None:
        raise not_found("such dead letter")
    return _json(wire.LETTER.dump_json(found))


@router.get("/statistics")
async def statistics(caller: Runner, store: Seen, sync: str | None = None) -> Response:
    return _json(wire.STATISTICS.dump_json(await store.statistics(namespace=caller.namespace, sync=sync)))


@router.post("/dead-letters/resolutions")
async def resolve(caller: Runner, store: Seen, body: Body) -> Response:
    asked = wire.read(wire.Resolve, body)
    return _number(await store.resolve(namespace=caller.namespace, ids=asked.ids))


@router.post("/dead-letters/erasures")
async def erase(caller: Runner, store: Store, body: Body) -> Response:
    """Of whatever namespace had this name: people's data is to go."""
    asked = wire.read(wire.Erase, body)
    done = await store.erase(namespace=caller.namespace, field=asked.field, value=asked.value, sync=asked.sync)
    return _number(done)


def install(app: FastAPI, made: NamespaceMade) -> None:
    """Add it to an app that has the state service."""
    app.state.namespace_made = made
    app.include_router(router)


def _number(number: int) -> Response:
    return _json(wire.Number(number=number).model_dump_json().encode())


def _json(answer: bytes) -> Response:
    return Response(answer, media_type="application/json")
