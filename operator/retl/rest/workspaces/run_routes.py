"""Routes of runs."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from retl.rest.requests import answers as written
from retl.rest.requests import bodies, queries, writes
from retl.rest.requests.documented import IF_NONE_MATCH, ONCE, WRITES, Answer, operation
from retl.rest.requests.queries import Query, Writing
from retl.rest.service.values import RunFilter, RunOrder, RunRecord, Write
from retl.rest.streams import logs, sse
from retl.rest.workspaces import answers, examples, translate
from retl.rest.workspaces.bodies import ApproveRun, Trigger
from retl.rest.workspaces.entrance import WORKSPACE_HEADER, Opened, RunId, SyncId

router = APIRouter()
_ETAG = {"ETag": "Version of the run, for If-None-Match; none once the run is in the history alone."}
_STARTED = Answer(
    "The run. Where another run of the sync is under way, it waits.",
    examples.STARTED,
    answers.StartedRun,
    status=201,
    headers={"Location": "Path of the run.", "ETag": _ETAG["ETag"]},
)
_RUN = Answer("The run.", examples.RUN, answers.Run, headers=_ETAG)


@router.post(
    "/syncs/{syncId}/trigger",
    **operation(
        "Trigger a sync run",
        _STARTED,
        problems=WRITES,
        query=Writing,
        body=Trigger,
        example={"full_refresh": False},
        optional=True,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def trigger(request: Request, opened: Opened, sync: SyncId) -> Response:
    """Also of a paused sync; not of a draft."""
    asked = queries.read(request, Writing)
    body = await bodies.read(request, Trigger, optional=True)
    how = writes.how(request, asked.dry_run)
    return _started(request, await opened.start(sync, RunOrder(full_refresh=bool(body.full_refresh)), how), how)


@router.post(
    "/syncs/{syncId}/plan",
    **operation(
        "Plan a run: find out what it would write, and write nothing",
        _STARTED,
        problems=WRITES,
        query=Writing,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def plan(request: Request, opened: Opened, sync: SyncId) -> Response:
    """The plan can be read once the run has ended."""
    asked = queries.read(request, Writing)
    await bodies.read(request, bodies.Nothing, optional=True)
    how = writes.how(request, asked.dry_run)
    return _started(request, await opened.start(sync, RunOrder("Plan"), how), how)


@router.get(
    "/syncs/{syncId}/runs",
    **operation(
        "List sync runs",
        Answer("The newest 1,000 runs of the sync, newest first.", [examples.RUN], list[answers.Run]),
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_runs(request: Request, opened: Opened, sync: SyncId) -> Response:
    """Of the cluster and of the history."""
    queries.read(request, Query)
    found = await opened.runs(RunFilter(sync), None)
    return written.json([translate.run(record) for record in found.items])


@router.get(
    "/syncs/{syncId}/runs/{runId}",
    **operation(
        "Get a sync run",
        _RUN,
        Answer("The client has this version.", status=304, headers=_ETAG, media=""),
        headers=[WORKSPACE_HEADER, IF_NONE_MATCH],
    ),
)
async def get_run(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """Of the cluster, or of the history."""
    queries.read(request, Query)
    record = await opened.run(run, sync)
    return written.read(request, translate.run(record), record.version)


@router.post(
    "/syncs/{syncId}/runs/{runId}/cancel",
    **operation("Cancel a run", _RUN, problems=WRITES, headers=[WORKSPACE_HEADER]),
)
async def cancel(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """What the destination has acknowledged is kept."""
    queries.read(request, Query)
    await bodies.read(request, bodies.Nothing, optional=True)
    return _changed(await opened.cancel(run, sync))


@router.post(
    "/syncs/{syncId}/runs/{runId}/approve",
    **operation(
        "Approve the plan that a run waits with",
        _RUN,
        problems=WRITES,
        body=ApproveRun,
        example={"plan_hash": "3f9c"},
        headers=[WORKSPACE_HEADER],
    ),
)
async def approve(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """Exactly the plan that is named: the run is refused if it has another by now."""
    queries.read(request, Query)
    body = await bodies.read(request, ApproveRun)
    return _changed(await opened.approve(run, body.plan_hash, sync))


@router.get(
    "/syncs/{syncId}/runs/{runId}/plan",
    **operation("Get what a run would write", Answer("The plan, as the run made it.", {}), headers=[WORKSPACE_HEADER]),
)
async def get_plan(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """Kept as long as the run."""
    queries.read(request, Query)
    return Response(await opened.plan(run, sync), media_type="application/json")


@router.get(
    "/syncs/{syncId}/runs/{runId}/events",
    **operation(
        "Follow a run",
        Answer("The run as it is, and again after each change, until it ends.", examples.EVENTS, media=sse.MEDIA_TYPE),
        headers=[WORKSPACE_HEADER],
    ),
)
async def follow(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """Server-sent events `run` and `end`; comments keep the connection open."""
    queries.read(request, Query)
    return sse.events(request, opened.follow(run, sync), translate.run)


@router.get(
    "/syncs/{syncId}/runs/{runId}/logs",
    **operation(
        "Get the log of a run",
        Answer("What its runner wrote.", media=logs.MEDIA_TYPE),
        query=logs.LogQuery,
        headers=[WORKSPACE_HEADER],
    ),
)
async def log(request: Request, opened: Opened, sync: SyncId, run: RunId) -> Response:
    """Logs go with the pod of the run."""
    asked = queries.read(request, logs.LogQuery).asked
    return logs.log(request, opened.log(run, asked, sync))


def _started(request: Request, record: RunRecord, how: Write) -> Response:
    location = f"{request.url.path.rpartition('/')[0]}/runs/{record.uid}"
    return written.json(
        translate.started(record),
        201,
        version=record.version,
        location=location,
        how=how,
        replayed=record.replayed,
    )


def _changed(record: RunRecord) -> Response:
    return written.json(translate.run(record), version=record.version)
