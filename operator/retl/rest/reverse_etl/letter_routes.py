"""The dead letter queue: list, count, resolve."""

from fastapi import APIRouter, Request, Response

from retl.rest.requests import answers as written
from retl.rest.requests import bodies as read
from retl.rest.requests import cursors, queries, writes
from retl.rest.requests.documented import ONCE, WRITES, Answer, operation
from retl.rest.reverse_etl import answers, bodies, examples, ids, translate
from retl.rest.reverse_etl.entrance import WORKSPACE_HEADER, Here, asked, page
from retl.rest.reverse_etl.queries import Letters, LetterStatistics
from retl.rest.service.values import LetterFilter

router = APIRouter(tags=["Dead letters"])


@router.get(
    "/dlq",
    **operation(
        "List dead letter queue entries",
        Answer(
            "Entries, last seen first; resolved ones, last resolved first.",
            examples.LETTERS,
            answers.Paged[answers.Resource[answers.LetterAttributes]],
        ),
        query=Letters,
        headers=[WORKSPACE_HEADER],
    ),
)
async def list_letters(request: Request, here: Here) -> Response:
    """Records that could not be written."""
    query = queries.read(request, Letters)
    sync = ids.in_query(query.sync_id, "retl_sync", "sync_id")
    of = cursors.query("reverse-etl/dlq", here.place.uid, sync, query.resolved)
    found = await here.letters(LetterFilter(sync, query.resolved), asked(query, of))
    return written.json(page(found, query, of, translate.letter))


@router.get(
    "/dlq/stats",
    **operation(
        "DLQ statistics",
        Answer(
            "How many, open ones by error code.",
            examples.LETTER_STATISTICS,
            answers.One[answers.Summary[answers.LetterStatisticsAttributes]],
        ),
        query=LetterStatistics,
        headers=[WORKSPACE_HEADER],
    ),
)
async def count_letters(request: Request, here: Here) -> Response:
    """Of the workspace, or of one sync."""
    query = queries.read(request, LetterStatistics)
    sync = ids.in_query(query.sync_id, "retl_sync", "sync_id")
    return written.json({"data": translate.letter_statistics(await here.letter_statistics(sync, query.since))})


@router.post(
    "/dlq/resolve",
    **operation(
        "Resolve DLQ entries",
        Answer(
            "What became of them.",
            examples.LETTERS_RESOLVED,
            answers.One[answers.Summary[answers.ResolvedAttributes]],
        ),
        problems=WRITES,
        query=queries.Writing,
        body=bodies.ResolveLetters,
        example=examples.RESOLVE_LETTERS,
        headers=[WORKSPACE_HEADER, ONCE],
    ),
)
async def resolve_letters(request: Request, here: Here) -> Response:
    """With a replay, the records are sent again; an entry stays open until its record is written."""
    query = queries.read(request, queries.Writing)
    body = await read.read(request, bodies.ResolveLetters)
    uids = ids.all_in_body(body.entry_ids, "retl_dlq", "entryIds")
    how = writes.how(request, query.dry_run)
    done = await here.resolve(uids, body.resolution, replay=body.replay or False, how=how)
    return written.json({"data": translate.resolved(done)}, how=how, replayed=done.replayed)
