"""Syncs: list, create, get, update, delete, toggle."""

from fastapi import APIRouter, Request, Response

from retl.rest.requests import answers as written
from retl.rest.requests import bodies as read
from retl.rest.requests import cursors, queries, writes
from retl.rest.requests.documented import IF_MATCH, IF_NONE_MATCH, ONCE, WRITES, Answer, operation
from retl.rest.reverse_etl import answers, bodies, examples, ids, translate, wishes
from retl.rest.reverse_etl.entrance import WORKSPACE_HEADER, Here, asked, next_cursor, page
from retl.rest.reverse_etl.queries import Syncs, SyncWrite
from retl.rest.service.manifests import documents
from retl.rest.service.values import SyncFilter, SyncRecord, SyncWish, Write

router = APIRouter(tags=["Syncs"])

_TAG = {"ETag": "Version of the sync, for If-Match."}
_MADE = _TAG | {"Location": "Path of the sync."}
_NEXT = {"Link": "As YAML: address of the next page."}
_YAML = {written.YAML: examples.SYNC_YAML}
_Whole = answers.One[answers.Resource[answers.SyncWhole]]
_Changed = answers.One[answers.Resource[answers.SyncChanged]]
_Toggled = answers.One[answers.Resource[answers.SyncToggled]]
_Deleted = answers.One[answers.Resource[answers.SyncDeleted]]


@router.get(
    "/syncs",
    **operation(
        "List syncs",
        Answer(
            "Syncs by name.",
            examples.SYNCS,
            answers.Paged[answers.Resource[answers.SyncListed]],
            headers=_NEXT,
            also=_YAML,
        ),
        query=Syncs,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_syncs(request: Request, here: Here) -> Response:
    """As YAML, a page's header `Link` has the address of the next one."""
    query = queries.read(request, Syncs)
    which = SyncFilter(ids.destination(query.destination_id) if query.destination_id else None, query.enabled)
    of = cursors.query("reverse-etl/syncs", here.place.uid, query.destination_id, query.enabled)
    found = await here.syncs(which, asked(query, of))
    if not written.wants_yaml(request, query.format):
        return written.json(page(found, query, of, _listed))
    manifests = written.yaml(documents([each.sync.manifest for each in found.items]))
    if cursor := next_cursor(found, of):
        following = request.url.include_query_params(cursor=cursor)
        manifests.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return manifests


@router.post(
    "/syncs",
    **operation(
        "Create sync",
        Answer("The sync.", examples.SYNC, _Whole, status=201, headers=_MADE, also=_YAML),
        problems=WRITES,
        query=SyncWrite,
        body=bodies.CreateSync,
        example=examples.CREATE_SYNC,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def create_sync(request: Request, here: Here) -> Response:
    """A ReverseETLSync with that query: no SyncModel is made."""
    query = queries.read(request, SyncWrite)
    body = await read.read(request, bodies.CreateSync)
    how = writes.how(request, query.dry_run)
    record = await here.create_sync(wishes.created(body), how)
    shown, version, again = translate.sync_whole(record), record.version, record.replayed
    location = f"{request.url.path}/{shown['id']}"
    if written.wants_yaml(request, query.format):
        text = documents([record.sync.manifest])
        return written.yaml(text, 201, version=version, location=location, how=how, replayed=again)
    return written.json({"data": shown}, 201, version=version, location=location, how=how, replayed=again)


@router.get(
    "/syncs/{id}",
    **operation(
        "Get sync",
        Answer("The sync.", examples.SYNC, _Whole, headers=_TAG, also=_YAML),
        Answer("The client has this version.", status=304, headers=_TAG, media=""),
        query=queries.Formatted,
        headers=[WORKSPACE_HEADER, IF_NONE_MATCH],
    ),
)
async def get_sync(request: Request, here: Here, id: str) -> Response:
    """A sync with its query and mappings."""
    query = queries.read(request, queries.Formatted)
    record = await here.sync(ids.in_path(id, "retl_sync"))
    if written.wants_yaml(request, query.format):
        return written.yaml(documents([record.sync.manifest]), version=record.version)
    return written.read(request, {"data": translate.sync_whole(record)}, record.version)


@router.put(
    "/syncs/{id}",
    **operation(
        "Update sync",
        Answer("The sync as it is now.", examples.SYNC_CHANGED, _Changed, headers=_TAG, also=_YAML),
        problems=WRITES,
        query=SyncWrite,
        body=bodies.ChangeSync,
        example=examples.CHANGE_SYNC,
        headers=[WORKSPACE_HEADER, IF_MATCH],
    ),
)
async def change_sync(request: Request, here: Here, id: str) -> Response:
    """Only what is sent changes; what this API has no field for is kept."""
    query = queries.read(request, SyncWrite)
    body = await read.read(request, bodies.ChangeSync)
    how = writes.how(request, query.dry_run)
    uid = ids.in_path(id, "retl_sync")
    present = translate.sync_whole(await here.sync(uid))["attributes"]
    record = await here.change_sync(uid, wishes.changed(body, present), how)
    if written.wants_yaml(request, query.format):
        return written.yaml(documents([record.sync.manifest]), version=record.version, how=how)
    return _answer({"data": translate.sync_part(record, answers.SyncChanged)}, record, how)


@router.delete(
    "/syncs/{id}",
    **operation(
        "Delete sync",
        Answer("The sync is gone.", examples.SYNC_DELETED, _Deleted),
        problems=WRITES,
        query=queries.Writing,
        headers=[WORKSPACE_HEADER, IF_MATCH],
    ),
)
async def delete_sync(request: Request, here: Here, id: str) -> Response:
    """Its runs go with it; the records in the destination stay."""
    query = queries.read(request, queries.Writing)
    await read.read(request, read.Nothing, optional=True)
    how = writes.how(request, query.dry_run)
    uid = ids.in_path(id, "retl_sync")
    return written.json({"data": translate.sync_deleted(uid, await here.delete_sync(uid, how))}, how=how)


@router.post(
    "/sync/toggle",
    **operation(
        "Toggle sync",
        Answer("The sync is as it was to be.", examples.SYNC_TOGGLED, _Toggled, headers=_TAG),
        problems=WRITES,
        query=queries.Writing,
        body=bodies.ToggleSync,
        example={"syncId": examples.SYNC_ID, "enabled": False},
        headers=[WORKSPACE_HEADER, IF_MATCH],
    ),
)
async def toggle_sync(request: Request, here: Here) -> Response:
    """A sync that is off does not run by itself, but still when it is asked to."""
    query = queries.read(request, queries.Writing)
    body = await read.read(request, bodies.ToggleSync)
    how = writes.how(request, query.dry_run)
    uid = ids.in_body(body.sync_id, "retl_sync", "syncId")
    record = await here.change_sync(uid, SyncWish(enabled=body.enabled), how)
    return _answer({"data": translate.sync_part(record, answers.SyncToggled)}, record, how)


def _listed(record: SyncRecord) -> answers.Resource[answers.SyncListed]:
    return translate.sync_part(record, answers.SyncListed)


def _answer(content: _Changed | _Toggled, record: SyncRecord, how: Write) -> Response:
    return written.json(content, version=record.version, how=how)
