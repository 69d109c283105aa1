"""Routes of syncs."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from retl.rest.requests import answers as written
from retl.rest.requests import bodies, queries, writes
from retl.rest.requests.documented import IF_MATCH, IF_NONE_MATCH, ONCE, WRITES, Answer, operation
from retl.rest.requests.queries import Formatted, Writing
from retl.rest.service import manifests
from retl.rest.service.values import SyncFilter, SyncRecord, Write
from retl.rest.workspaces import answers, examples, translate, wishes
from retl.rest.workspaces.bodies import ChangeSync, CreateSync
from retl.rest.workspaces.entrance import WORKSPACE_HEADER, Opened, SyncId

router = APIRouter()
_YAML = {written.YAML: examples.MANIFEST}
_ETAG = {"ETag": "Version of the sync, for If-Match and If-None-Match."}


class WritingSync(Formatted, Writing):
    """Of a request that writes a sync."""


@router.get(
    "/syncs",
    **operation(
        "List all syncs",
        Answer("All syncs of the workspace, by name.", [examples.SYNC], list[answers.Sync], also=_YAML),
        query=Formatted,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_syncs(request: Request, opened: Opened) -> Response:
    """Of whatever origin: this API, the other one, kubectl or Git."""
    asked = queries.read(request, Formatted)
    found = (await opened.syncs(SyncFilter(), None)).items
    if written.wants_yaml(request, asked.format):
        return written.yaml(manifests.documents([record.sync.manifest for record in found]))
    return written.json([translate.sync(record) for record in found])


@router.post(
    "/syncs",
    **operation(
        "Create a sync",
        Answer(
            "The sync.",
            examples.SYNC,
            answers.Sync,
            status=201,
            headers={"Location": "Path of the sync.", **_ETAG},
            also=_YAML,
        ),
        problems=WRITES,
        query=WritingSync,
        body=CreateSync,
        example=examples.CREATE,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def create_sync(request: Request, opened: Opened) -> Response:
    """The published fields, and `config` for what they cannot say."""
    asked = queries.read(request, WritingSync)
    body = await bodies.read(request, CreateSync)
    how = writes.how(request, asked.dry_run)
    record = await opened.create_sync(wishes.creation(body), how)
    return _answer(request, record, asked, how, 201)


@router.get(
    "/syncs/{syncId}",
    **operation(
        "Get a sync",
        Answer("The sync.", examples.SYNC, answers.Sync, headers=_ETAG, also=_YAML),
        Answer("The client has this version.", status=304, headers=_ETAG, media=""),
        query=Formatted,
        headers=[WORKSPACE_HEADER, IF_NONE_MATCH],
    ),
)
async def get_sync(request: Request, opened: Opened, sync: SyncId) -> Response:
    """With `format=yaml`, the manifest to commit to Git."""
    asked = queries.read(request, Formatted)
    record = await opened.sync(sync)
    if written.wants_yaml(request, asked.format):
        return written.yaml(manifests.documents([record.sync.manifest]), version=record.version)
    return written.read(request, translate.sync(record), record.version)


@router.put(
    "/syncs/{syncId}",
    **operation(
        "Update a sync",
        Answer("The sync.", examples.SYNC, answers.Sync, headers=_ETAG, also=_YAML),
        problems=WRITES,
        query=WritingSync,
        body=ChangeSync,
        example=examples.CHANGE,
        headers=[WORKSPACE_HEADER, IF_MATCH],
    ),
)
async def change_sync(request: Request, opened: Opened, sync: SyncId) -> Response:
    """Only what is sent changes, and only where it differs from what is shown."""
    asked = queries.read(request, WritingSync)
    body = await bodies.read(request, ChangeSync)
    how = writes.how(request, asked.dry_run)
    present = translate.sync(await opened.sync(sync))
    record = await opened.change_sync(sync, wishes.change(body, present), how)
    return _answer(request, record, asked, how, 200)


@router.delete(
    "/syncs/{syncId}",
    **operation(
        "Delete a sync",
        Answer("The sync is deleted, with its runs.", {"status": "deleted"}, answers.Deleted),
        problems=WRITES,
        query=Writing,
        headers=[WORKSPACE_HEADER, IF_MATCH],
    ),
)
async def delete_sync(request: Request, opened: Opened, sync: SyncId) -> Response:
    """With the runs that this API and the schedule made; what the destination has been sent stays there."""
    asked = queries.read(request, Writing)
    await bodies.read(request, bodies.Nothing, optional=True)
    how = writes.how(request, asked.dry_run)
    await opened.delete_sync(sync, how)
    return written.json({"status": "deleted"}, how=how)


def _answer(request: Request, record: SyncRecord, asked: WritingSync, how: Write, status: int) -> Response:
    location = f"{request.url.path}/{record.uid}" if status == 201 else ""
    version, again = record.version, record.replayed
    if written.wants_yaml(request, asked.format):
        text = manifests.documents([record.sync.manifest])
        return written.yaml(text, status, version=version, location=location, how=how, replayed=again)
    return written.json(translate.sync(record), status, version=version, location=location, how=how, replayed=again)
