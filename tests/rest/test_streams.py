"""Streams on a real socket: they begin with a status, stay alive, and end with whoever listens or with the pod."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from retl.resources.run import RunCounts
from retl.rest import problems
from retl.rest.callers.caller import NOBODY, Caller
from retl.rest.problems import Problem
from retl.rest.requests import entry
from retl.rest.requests.entry import CALLER
from retl.rest.requests.paths import Paths
from retl.rest.service.values import Place, RunEvent, RunRecord
from retl.rest.streams import logs, sse, streamed
from tests.rest.service import closed_door, listening

RUN = RunRecord(
    place=Place("growth", NOBODY, datetime(2026, 1, 1, tzinfo=UTC)),
    uid=UUID(int=1),
    name="accounts-1",
    sync=NOBODY,
    state="Running",
    mode="Sync",
    full_refresh=False,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    counts=RunCounts(),
    triggered_by=NOBODY,
    manifest={
        "metadata": {"resourceVersion": "7"},
        "status": {"progress": {"step": "Deliver", "rows": 5, "total": 10, "updatedAt": "2026-01-01T00:00:00Z"}},
    },
)
ENDED = replace(RUN, state="Succeeded", manifest={"metadata": {"resourceVersion": "9"}})
LOST = Problem(403, "forbidden", "you may not watch syncruns")


def app_of(answer: Callable[[Request], Response]) -> FastAPI:
    app, public = FastAPI(), closed_door()
    app.state.door, app.state.stopping = public.door, public.stopping
    problems.install(app, public=True)

    @app.get("/stream")
    async def stream(request: Request) -> Response:
        request.scope[CALLER] = Caller("ada", None, {})
        return answer(request)

    app.state.paths = Paths(app)
    return app


def events(*told: RunEvent | Problem) -> Callable[[Request], Response]:
    async def follow() -> AsyncIterator[RunEvent]:
        for each in told:
            if isinstance(each, Problem):
                raise each
            yield each

    return lambda request: sse.events(request, follow(), lambda run: {"id": str(run.uid), "note": "two\nlines"})


async def read(app: FastAPI) -> httpx.Response:
    async with listening(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.get("/stream")


async def test_events_of_a_run_are_told_one_by_one_with_its_progress_until_the_end() -> None:
    answer = await read(app_of(events(RunEvent("run", RUN), RunEvent("end", ENDED))))
    assert answer.headers["content-type"].startswith("text/event-stream")
    head, first, last, rest = answer.text.split("\n\n")
    assert (head, rest) == ("retry: 3000", "")
    kind, id, data = first.split("\n")
    assert (kind, id) == ("event: run", "id: 7")
    progress = {"step": "Deliver", "rows": 5, "total": 10}
    assert orjson.loads(data.removeprefix("data: ")) == {
        "id": str(RUN.uid),
        "note": "two\nlines",
        "progress": progress,
    }
    assert last.startswith("event: end\nid: 9\n")


async def test_a_refusal_before_the_first_event_is_an_answer_of_its_own() -> None:
    answer = await read(app_of(events(LOST)))
    assert (answer.status_code, answer.json()["detail"]) == (403, LOST.detail)


async def test_a_right_that_is_lost_on_the_way_is_told_as_the_last_event() -> None:
    answer = await read(app_of(events(RunEvent("run", RUN), LOST)))
    *_, last, _ = answer.text.split("\n\n")
    assert last.startswith("event: error\ndata: ")
    assert orjson.loads(last.partition("data: ")[2])["status"] == 403


async def test_a_log_without_a_line_is_an_empty_answer() -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        lines: list[bytes] = []
        for line in lines:
            yield line

    answer = await read(app_of(lambda request: logs.log(request, nothing())))
    assert (answer.status_code, answer.text) == (200, "")


class Forever:
    """A stream that says one thing, then nothing any more; and whether somebody listens, or did."""

    def __init__(self) -> None:
        self.begun, self.closed = asyncio.Event(), asyncio.Event()

    async def pieces(self, first: bytes) -> AsyncGenerator[bytes, None]:
        self.begun.set()
        try:
            if first:
                yield first
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def test_a_stream_with_nothing_to_say_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "KEEP_ALIVE_SECONDS", 0.01)
    source = Forever()
    app = app_of(lambda request: streamed.Streamed(request, source.pieces(b"a"), sse.MEDIA_TYPE, b": \n\n"))
    async with (
        listening(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
        client.stream("GET", "/stream") as answer,
    ):
        said = b""
        async for piece in answer.aiter_raw():
            said += piece
            if said.count(b": \n\n") == 2:
                break
    assert said.startswith(b"a: \n\n")
    await asyncio.wait_for(source.closed.wait(), 5)  # the client has gone


async def test_a_stream_ends_with_the_credential_that_it_was_asked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "AGAIN_SECONDS", 0.01)
    source = Forever()
    app = app_of(lambda request: streamed.Streamed(request, source.pieces(b"a"), logs.MEDIA_TYPE))
    answer = await asyncio.wait_for(read(app), 5)  # nobody is known at the closed door
    assert (answer.status_code, answer.content) == (200, b"a")
    assert source.closed.is_set()


@pytest.mark.parametrize("first", [b"a", b""])
async def test_a_stream_ends_with_the_pod_whether_it_has_begun_or_not(first: bytes) -> None:
    source = Forever()
    app = app_of(lambda request: streamed.Streamed(request, source.pieces(first), logs.MEDIA_TYPE))
    async with listening(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        asked = asyncio.create_task(client.get("/stream"))
        await source.begun.wait()
        app.state.stopping.set()
        assert (await asyncio.wait_for(asked, 5)).content == first
    assert source.closed.is_set()
    assert app.state.door.limits.streams == 0
