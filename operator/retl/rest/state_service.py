"""The state service: StateStore over HTTP for runners, each confined to the syncs of its own namespace.

A claim names the namespace and must match the token's; every later call names a sync, whose stored namespace must
match. A sync of another namespace is answered as if it did not exist.
"""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from retl.resources.run import Replay
from retl.rest.auth import Caller, Identify, bearer
from retl.rest.problems import Problem, not_found
from retl.runspec.result import RunResult
from retl.state import wire
from retl.state.catalogs import Whose
from retl.state.sql import SqlStateStore
from retl.state.store import Claim

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

StoreNow = Callable[[], SqlStateStore]
"""The open store (raises StateError while it is not open)."""


def _store(request: Request) -> SqlStateStore:
    store: StoreNow = request.app.state.store
    return store()


async def _caller(request: Request) -> Caller:
    identify: Identify = request.app.state.identify
    caller = await identify(bearer(request.headers.get("authorization")))
    request.scope["retl.caller"] = str(caller)
    return caller


async def _runner(request: Request, caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    """A caller that may write: any but the controller, which only reads what all namespaces show of themselves."""
    if _is_controller(request, caller):
        raise Problem(403, "forbidden", "the controller may read catalogs and progress, and nothing else")
    return caller


def _is_controller(request: Request, caller: Caller) -> bool:
    return bool(str(caller) == request.app.state.controller_account)


async def _body(request: Request, _: Annotated[Caller, Depends(_caller)]) -> bytes:
    """The request's body; only after the caller is known, and never more than the limit in memory."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > wire.MAX_BODY:
            raise Problem(413, "content-too-large", f"send at most {wire.MAX_BODY} bytes at once")
    return bytes(received)


Store = Annotated[SqlStateStore, Depends(_store)]
Body = Annotated[bytes, Depends(_body)]
KnownCaller = Annotated[Caller, Depends(_caller)]
Runner = Annotated[Caller, Depends(_runner)]


async def _claim(sync_uid: str, run_uid: str, fence: int, caller: Runner, store: Store) -> Claim:
    """The claim that the path names, if the sync is the caller's. Salt and size are not needed after the claim."""
    if await store.namespace_of(sync_uid) != caller.namespace:
        raise not_found("such sync")
    return Claim(sync_uid=sync_uid, run_uid=run_uid, fence=fence, salt=b"", snapshot_rows=0)


HeldClaim = Annotated[Claim, Depends(_claim)]

router = APIRouter(prefix=wire.PREFIX)
_RUN = "/syncs/{sync_uid}/runs/{run_uid}/claims/{fence}"


@router.post("/syncs/{sync_uid}/claims")
async def claim(sync_uid: str, caller: Runner, store: Store, body: Body) -> Response:
    asked = _read(wire.ClaimBody, body)
    if asked.sync.uid != sync_uid:
        raise Problem(422, "invalid-input", "sync.uid: is not the one in the path")
    if asked.sync.namespace != caller.namespace:
        raise not_found("such sync")
    return _json(wire.ClaimAnswer.of(await store.claim(asked.request(), nonce=asked.nonce)))


@router.get(_RUN + "/snapshot")
async def snapshot(held: HeldClaim, store: Store, after: int | None = None) -> Response:
    parts = store.snapshot(held, after)
    # The first part is read before the answer starts, so that a stale fence is a 409 and not a broken stream.
    first = await anext(parts, None)
    return StreamingResponse(wire.write_parts(_chain(first, parts)), media_type=wire.BINARY)


@router.get(_RUN + "/waiting")
async def waiting(held: HeldClaim, store: Store) -> Response:
    return Response(wire.pack_waiting(await store.waiting(held)), media_type=wire.BINARY)


@router.post(_RUN + "/letters")
async def letters(held: HeldClaim, store: Store, body: Body, after: str = "") -> Response:
    found = store.letters(held, _read(Replay, body), after)
    first = await anext(found, None)
    return StreamingResponse(wire.write_letters(_chain(first, found)), media_type=wire.BINARY)


@router.post(_RUN + "/rates/{account}/calls")
async def reserve(account: str, held: HeldClaim, store: Store, body: Body) -> Response:
    asked = _read(wire.Calls, body)
    return _json(wire.Reserved.of(await store.reserve(held, account, asked.limit, asked.calls)))


@router.post(_RUN + "/rates/{account}/refusals", status_code=204)
async def slow_down(account: str, held: HeldClaim, store: Store, body: Body) -> None:
    await store.slow_down(held, account, timedelta(seconds=_read(wire.Refusal, body).pause))


@router.put(_RUN + "/plan", status_code=204)
async def save_plan(held: HeldClaim, store: Store, body: Body) -> None:
    await store.save_plan(held, body)


@router.post(_RUN + "/commits", status_code=204)
async def commit(held: HeldClaim, store: Store, body: Body) -> None:
    await store.commit(held, wire.unpack_commit(body))


@router.put(_RUN + "/jobs/{id}", status_code=204)
async def keep_job(id: str, held: HeldClaim, store: Store, body: Body) -> None:
    job = wire.unpack_job(body)
    if job.id != id:
        raise Problem(422, "invalid-input", "id: is not the one in the path")
    await store.keep_job(held, job)


@router.get(_RUN + "/jobs")
async def jobs(held: HeldClaim, store: Store) -> Response:
    return Response(wire.pack_jobs(await store.jobs(held)), media_type=wire.BINARY)


@router.put(_RUN + "/compactions/{compaction}/parts/{number}", status_code=204)
async def stage(compaction: int, number: int, held: HeldClaim, store: Store, body: Body) -> None:
    await store.stage(held, _positive(compaction), wire.unpack_part(_positive(number), body))


@router.post(_RUN + "/compactions/{compaction}", status_code=204)
async def swap(compaction: int, held: HeldClaim, store: Store, body: Body) -> None:
    asked = _read(wire.Swap, body)
    await store.swap(held, _positive(compaction), asked.count, asked.replaces)


@router.post(_RUN + "/heartbeats", status_code=204)
async def heartbeat(held: HeldClaim, store: Store, body: Body) -> None:
    said = _read(wire.Heartbeat, body)
    await store.heartbeat(held, said.counts, said.progress)


@router.post(_RUN + "/result")
async def result(held: HeldClaim, store: Store, body: Body) -> Response:
    return _json(await store.finish(held, _read(RunResult, body)))


@router.put("/connections/{uid}/catalog")
async def put_catalog(uid: str, caller: Runner, store: Store, body: Body) -> Response:
    if len(body) > wire.MAX_CATALOG:
        raise Problem(413, "content-too-large", f"a catalog has at most {wire.MAX_CATALOG} bytes")
    asked = _read(wire.CatalogBody, body)
    whose = Whose(caller.namespace, uid, asked.kind, asked.name)
    return _json(wire.CatalogKept(changes=await store.put_catalog(whose, asked.catalog)))


@router.get("/connections/{uid}/catalog")
async def catalog(
    uid: str, request: Request, caller: KnownCaller, store: Store, namespace: str | None = None
) -> Response:
    wanted = namespace or caller.namespace
    allowed = wanted == caller.namespace or _is_controller(request, caller)
    found = await store.catalog(wanted, uid) if allowed else None
    if found is None:
        raise not_found("such catalog")
    return Response(found, media_type="application/json")


@router.post("/progress")
async def progress(request: Request, caller: KnownCaller, store: Store, body: Body) -> Response:
    namespace = None if _is_controller(request, caller) else caller.namespace
    return _json(wire.RunsProgress(runs=await store.progress(_read(wire.AskProgress, body).runs, namespace)))


def install(app: FastAPI, store: StoreNow, identify: Identify, controller_account: str | None = None) -> None:
    """Add the state service to an app.

    Args:
        controller_account: NAMESPACE/NAME of the ServiceAccount that reads catalogs and progress of all namespaces.
    """
    app.state.controller_account = controller_account
    app.state.store = store
    app.state.identify = identify
    app.include_router(router)


async def _chain(first: T | None, rest: AsyncIterator[T]) -> AsyncIterator[T]:
    if first is not None:
        yield first
        async for item in rest:
            yield item


def _positive(number: int) -> int:
    if not 0 < number < 2**63:
        raise Problem(422, "invalid-input", "numbers in the path count from 1")
    return number


def _read(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise Problem(422, wire.PROBLEM_UNREADABLE, wrong) from None


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
