"""Runs: start, list, look at, follow, cancel, plan, approve."""

from fastapi import APIRouter, Request, Response

from retl.rest.requests import answers as written
from retl.rest.requests import bodies as read
from retl.rest.requests import cursors, queries, writes
from retl.rest.requests.documented import IF_NONE_MATCH, ONCE, WRITES, Answer, operation
from retl.rest.reverse_etl import answers, batch, bodies, examples, ids, translate
from retl.rest.reverse_etl.entrance import WORKSPACE_HEADER, Here, asked, page
from retl.rest.reverse_etl.queries import Runs
from retl.rest.service.interface import Workspace
from retl.rest.service.values import RunFilter, RunOrder, RunRecord, Write
from retl.rest.streams import logs, sse
from retl.rest.vocabulary import STATES_OF_WORD

router = APIRouter(tags=["Runs"])

_TAG = {"ETag": "Version of the run; without one, it is of the history and changes no more."}
_MADE = {"Location": "Path of the run."}
_Started = answers.One[answers.Resource[answers.RunStarted]]
_Whole = answers.One[answers.Resource[answers.RunWhole]]


@router.post(
    "/sync/run",
    **operation(
        "Trigger sync run",
        Answer(
            "The run, or the runs of all syncs named.", examples.RUN_STARTED, _Started | answers.RunsStarted, 202, _MADE
        ),
        problems=WRITES,
        query=queries.Writing,
        body=bodies.RunSync,
        example=examples.RUN_SYNC,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def run_sync(request: Request, here: Here) -> Response:
    """Of several syncs, those that cannot be run are told in `errors`, beside the runs of the others."""
    query = queries.read(request, queries.Writing)
    body = await read.read(request, bodies.RunSync)
    how = writes.how(request, query.dry_run)
    order = RunOrder(full_refresh=body.full_refresh or False)
    if body.sync_id is not None:
        return await _started(request, here, body.sync_id, order, how)
    syncs = ids.all_in_body(body.sync_ids or [], "retl_sync", "syncIds")
    answer, again = await batch.start(here, syncs, order, how)
    return written.json(answer, 202, how=how, replayed=again)


@router.post(
    "/sync/plan",
    **operation(
        "Plan sync run",
        Answer("The run, which writes nothing.", examples.RUN_STARTED, _Started, 202, _MADE),
        problems=WRITES,
        query=queries.Writing,
        body=bodies.PlanSync,
        example={"syncId": examples.SYNC_ID},
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def plan_sync(request: Request, here: Here) -> Response:
    """Finds out what a run would write; `GET runs/{id}/plan` shows it once the run has succeeded."""
    query = queries.read(request, queries.Writing)
    body = await read.read(request, bodies.PlanSync)
    return await _started(request, here, body.sync_id, RunOrder("Plan"), writes.how(request, query.dry_run))


async def _started(request: Request, here: Workspace, sync_id: str, order: RunOrder, how: Write) -> Response:
    record = await here.start(ids.in_body(sync_id, "retl_sync", "syncId"), order, how)
    shown = translate.run_started(record)
    location = f"{request.url.path.rpartition('/sync/')[0]}/runs/{shown['id']}"
    return written.json({"data": shown}, 202, location=location, how=how, replayed=record.replayed)


@router.get(
    "/runs",
    **operation(
        "List sync runs",
        Answer("Runs, newest first.", examples.RUNS, answers.Paged[answers.Resource[answers.RunListed]]),
        query=Runs,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_runs(request: Request, here: Here) -> Response:
    """Those of the cluster and those of the history, also of syncs that are deleted."""
    query = queries.read(request, Runs)
    sync = ids.in_query(query.sync_id, "retl_sync", "sync_id")
    of = cursors.query("reverse-etl/runs", here.place.uid, sync, query.status)
    which = RunFilter(sync, STATES_OF_WORD[query.status] if query.status else None)
    return written.json(page(await here.runs(which, asked(query, of)), query, of, translate.run_listed))


@router.get(
    "/runs/{id}",
    **operation(
        "Get sync run",
        Answer("The run.", examples.RUN, _Whole, headers=_TAG),
        Answer("The client has this version.", status=304, headers=_TAG, media=""),
        headers=[WORKSPACE_HEADER, IF_NONE_MATCH],
    ),
)
async def get_run(request: Request, here: Here, id: str) -> Response:
    """A run with all that is known of it."""
    queries.read(request, queries.Query)
    record = await here.run(ids.in_path(id, "retl_run"))
    return written.read(request, {"data": translate.run_whole(record)}, record.version)


@router.post(
    "/runs/{id}/cancel",
    **operation(
        "Cancel sync run",
        Answer("The run, which ends as soon as it can.", examples.RUN_CANCELLED, _Whole, headers=_TAG),
        problems=WRITES,
        headers=[WORKSPACE_HEADER],
    ),
)
async def cancel_run(request: Request, here: Here, id: str) -> Response:
    """What was written stays written."""
    queries.read(request, queries.Query)
    await read.read(request, read.Nothing, optional=True)
    return _shown(await here.cancel(ids.in_path(id, "retl_run")))


@router.post(
    "/runs/{id}/approve",
    **operation(
        "Approve sync run",
        Answer("The run, which goes on.", examples.RUN, _Whole, headers=_TAG),
        problems=WRITES,
        body=bodies.ApproveRun,
        example=examples.APPROVE_RUN,
        headers=[WORKSPACE_HEADER],
    ),
)
async def approve_run(request: Request, here: Here, id: str) -> Response:
    """Lets a run write that a guard holds: exactly the plan that was looked at."""
    queries.read(request, queries.Query)
    body = await read.read(request, bodies.ApproveRun)
    return _shown(await here.approve(ids.in_path(id, "retl_run"), body.plan_hash))


@router.get(
    "/runs/{id}/plan",
    **operation(
        "Get plan of sync run",
        Answer("What the run would have written, as its runner noted it."),
        headers=[WORKSPACE_HEADER],
    ),
)
async def get_plan(request: Request, here: Here, id: str) -> Response:
    """Of a run that only planned, or that a guard holds."""
    queries.read(request, queries.Query)
    return Response(await here.plan(ids.in_path(id, "retl_run")), media_type="application/json")


@router.get(
    "/runs/{id}/events",
    **operation(
        "Follow sync run",
        Answer("Server-sent events: `run` at each change, `end`.", media=sse.MEDIA_TYPE),
        headers=[WORKSPACE_HEADER],
    ),
)
async def follow_run(request: Request, here: Here, id: str) -> Response:
    """The run as it is, again after each change, and its end."""
    queries.read(request, queries.Query)
    return sse.events(request, here.follow(ids.in_path(id, "retl_run")), translate.run_whole)


@router.get(
    "/runs/{id}/logs",
    **operation(
        "Get log of sync run",
        Answer("What the runner wrote.", media=logs.MEDIA_TYPE),
        query=logs.LogQuery,
        headers=[WORKSPACE_HEADER],
    ),
)
async def get_log(request: Request, here: Here, id: str) -> Response:
    """Goes with the Job: an hour or so after the run there is none any more."""
    query = queries.read(request, logs.LogQuery)
    return logs.log(request, here.log(ids.in_path(id, "retl_run"), query.asked))


def _shown(record: RunRecord) -> Response:
    return written.json({"data": translate.run_whole(record)}, version=record.version)
