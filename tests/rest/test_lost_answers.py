"""When the network or the state service is not there: nothing is lost, nothing counts twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retl.errors import StateError
from retl.resources.destination import RateLimit
from retl.resources.run import Replay, RunCounts
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, Commit, KeptLetter, SnapshotPart, StateStore
from tests.postgres import free_port
from tests.rest.service import Wire, serving
from tests.unit.state.databases import NAMESPACE, hashes, letter, pairs, parts, request, result


@pytest.fixture
async def runner(wire: Wire, token: Path) -> AsyncIterator[HttpStateStore]:
    store = HttpStateStore(wire.url, token, patience=timedelta(seconds=20))
    yield store
    await store.close()


@pytest.fixture
def rotate(token: Path) -> Callable[[str], None]:
    """Writes another token in the place of the runner's."""

    def write(text: str) -> None:
        token.write_text(text)

    return write


async def test_a_claim_whose_answer_was_lost_is_taken_once(
    runner: HttpStateStore, wire: Wire, database: SqlStateStore
) -> None:
    before = await database.claim(request("run-0"))
    await database.finish(before, result(run="run-0"))
    wire.lose = 2
    claim = await runner.claim(request("run-1"))
    assert wire.lost == 2
    assert claim.fence == before.fence + 1
    await runner.heartbeat(claim, RunCounts(read=1))


async def test_a_commit_whose_answer_was_lost_counts_once(
    runner: HttpStateStore, wire: Wire, database: SqlStateStore
) -> None:
    claim = await runner.claim(request())
    wire.lose = 2
    await runner.commit(claim, Commit(1, RunCounts(), hashes(3), hashes(3), [letter(b"d" * 16, attempts=5)]))
    assert wire.lost == 2
    assert len(await parts(database, claim)) == 1
    [entry] = await database.dead_letters(namespace=NAMESPACE)
    assert entry.attempts == 5


async def test_a_result_whose_answer_was_lost_is_recorded_once(
    runner: HttpStateStore, wire: Wire, database: SqlStateStore
) -> None:
    claim = await runner.claim(request())
    await runner.commit(claim, Commit(1, RunCounts(read=1, rejected=1), dead_letters=[letter(hashes(1))]))
    wire.lose = 2
    ended = await runner.finish(claim, result(counts=RunCounts(read=1, rejected=1)))
    assert wire.lost == 2
    assert ended.dead_letters == 1
    [run] = await database.runs(namespace=NAMESPACE)
    assert (run.state, run.dead_letters) == ("Succeeded", 1)


@pytest.mark.parametrize("lose", [1, 2, 3])
async def test_a_compaction_whose_answers_were_lost_keeps_every_key(
    runner: HttpStateStore, wire: Wire, lose: int
) -> None:
    claim = await runner.claim(request())
    await runner.commit(claim, Commit(1, RunCounts(), b"a" * 16, b"1" * 16))
    await runner.commit(claim, Commit(2, RunCounts(), b"z" * 16, b"1" * 16))
    wire.lose = lose
    await runner.compact(claim, [SnapshotPart(n, bytes([n]) * 16, b"2" * 16) for n in (1, 2, 3)], replaces=1)
    assert wire.lost == lose
    assert await pairs(runner, claim) == {bytes([n]) * 16: b"2" * 16 for n in (1, 2, 3)} | {b"z" * 16: b"1" * 16}


async def test_the_last_answer_of_a_compaction_lost_does_not_empty_the_snapshot(
    runner: HttpStateStore, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await runner.claim(request())
    await runner.commit(claim, Commit(1, RunCounts(), b"a" * 16, b"1" * 16))
    send = runner._send

    async def lose_the_swap(method: str, path: str, body: bytes | None = None) -> bytes:
        wire.lose = 1 if method == "POST" else 0
        return await send(method, path, body)

    monkeypatch.setattr(runner, "_send", lose_the_swap)
    await runner.compact(claim, [SnapshotPart(1, b"b" * 16, b"2" * 16)], replaces=1)
    assert wire.lost == 1
    assert await pairs(runner, claim) == {b"b" * 16: b"2" * 16}


async def test_a_snapshot_cut_in_the_middle_goes_on_where_it_was(
    runner: HttpStateStore, wire: Wire, database: SqlStateStore
) -> None:
    claim = await runner.claim(request())
    for sequence in range(1, 9):
        await runner.commit(claim, Commit(sequence, RunCounts(), hashes(20_000), hashes(20_000)))
    wire.lose, wire.after_bytes = 3, 1_500_000
    read = await parts(runner, claim)
    assert wire.lost == 3
    assert read == await parts(database, claim)
    assert len(read) == 8


async def test_a_replay_cut_in_the_middle_goes_on_where_it_was(
    runner: HttpStateStore, wire: Wire, database: SqlStateStore
) -> None:
    claim = await runner.claim(request())
    for sequence in range(1, 5):
        large = [replace(letter(hashes(1)), payload=b"x" * 10_000) for _ in range(100)]
        await runner.commit(claim, Commit(sequence, RunCounts(), dead_letters=large))
    wire.lose, wire.after_bytes = 3, 900_000
    read = await replayed(runner, claim)
    assert wire.lost == 3
    assert read == [found async for found in database.letters(claim, Replay(payload="Stored"))]
    assert len(read) == 400


async def test_calls_whose_answer_was_lost_are_lost_and_nothing_worse(runner: HttpStateStore, wire: Wire) -> None:
    claim = await runner.claim(request())
    limit = RateLimit(requests=100)
    wire.lose = 1
    reservation = await runner.reserve(claim, "account", limit, 20)
    assert wire.lost == 1
    assert reservation.calls == 20
    assert reservation.start <= 20 * reservation.interval


async def replayed(store: StateStore, claim: Claim) -> list[KeptLetter]:
    return [found async for found in store.letters(claim, Replay(payload="Stored"))]


async def test_a_service_that_is_replaced_in_mid_run_is_waited_for(
    database: SqlStateStore, token: Path, tmp_path: Path
) -> None:
    port = free_port()
    runner = HttpStateStore(f"http://127.0.0.1:{port}", token, patience=timedelta(seconds=20))
    claiming = asyncio.create_task(runner.claim(request()))
    async with serving(database, port):
        claim = await claiming
        await runner.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
    committing = asyncio.create_task(runner.commit(claim, Commit(2, RunCounts(), hashes(1), hashes(1))))
    async with serving(database, port):
        await committing
        await runner.finish(claim, result())
    await runner.close()
    [run] = await database.runs(namespace=NAMESPACE)
    assert run.state == "Succeeded"


CALLS: dict[str, Callable[[StateStore, Claim], Awaitable[object]]] = {
    "claim": lambda store, claim: store.claim(request()),
    "snapshot": parts,
    "waiting": lambda store, claim: store.waiting(claim),
    "letters": lambda store, claim: replayed(store, claim),
    "reserve": lambda store, claim: store.reserve(claim, "account", RateLimit(requests=1), 1),
    "slow_down": lambda store, claim: store.slow_down(claim, "account", timedelta(seconds=1)),
    "save_plan": lambda store, claim: store.save_plan(claim, b"{}"),
    "commit": lambda store, claim: store.commit(claim, Commit(1, RunCounts())),
    "compact": lambda store, claim: store.compact(claim, [], 0),
    "heartbeat": lambda store, claim: store.heartbeat(claim, RunCounts()),
    "finish": lambda store, claim: store.finish(claim, result()),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_patience_ends_with_the_url_and_the_reason(
    call: Callable[[StateStore, Claim], Awaitable[object]], token: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    runner = HttpStateStore(url, token, patience=timedelta(milliseconds=300))
    with pytest.raises(StateError, match=f"state service {url}: no answer within 0 s; last: .*connect"):
        await call(runner, Claim("sync", "run", 1, b"", 0))
    await runner.close()


async def test_who_hurries_gives_up_all_calls_together_also_those_that_wait(token: Path) -> None:
    store = HttpStateStore(f"http://127.0.0.1:{free_port()}", token, patience=timedelta(minutes=5))
    claim = Claim("sync", "run", 1, b"", 0)
    waiting = asyncio.create_task(store.heartbeat(claim, RunCounts()))
    await asyncio.sleep(0)
    store.hurry(timedelta(seconds=1))
    async with asyncio.timeout(10):
        with pytest.raises(StateError, match="no answer within 1 s"):
            await waiting
        for call in CALLS.values():
            with pytest.raises(StateError, match="no answer within 1 s"):
                await call(store, claim)
    await store.close()


async def test_who_hurries_waits_anew_for_a_service_that_answers(runner: HttpStateStore, wire: Wire) -> None:
    runner.hurry(timedelta(seconds=5))
    claim = await runner.claim(request())
    wire.lose = 2
    await runner.commit(claim, Commit(1, RunCounts(), hashes(1), hashes(1)))
    await runner.finish(claim, result())
    assert wire.lost == 2


async def _scripted(answers: list[bytes]) -> tuple[asyncio.Server, list[float]]:
    """A server that gives these answers, one a request, and the times at which it was asked."""
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(asyncio.get_running_loop().time())
        writer.write(answers[len(asked) - 1])
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0), asked


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"502 Bad Gateway", b"503 X", b"504 Gateway Timeout"])
async def test_a_service_that_asks_for_patience_is_asked_again_no_sooner_than_it_said(
    status: bytes, token: Path
) -> None:
    busy = b"HTTP/1.1 " + status + b"\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    done = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    server, asked = await _scripted([busy, done])
    async with server:
        runner = HttpStateStore(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token)
        await runner.heartbeat(Claim("sync", "run", 1, b"", 0), RunCounts())
        await runner.close()
    assert asked[1] - asked[0] >= 1.0


@pytest.mark.parametrize("status", [b"400 Bad Request", b"500 Internal Server Error", b"302 Found"])
async def test_an_answer_that_waiting_does_not_mend_ends_the_call_at_once(status: bytes, token: Path) -> None:
    server, asked = await _scripted([b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        runner = HttpStateStore(url, token)
        with pytest.raises(StateError, match=f"state service {url}: answered {status.decode()[:3]}"):
            await runner.heartbeat(Claim("sync", "run", 1, b"", 0), RunCounts())
        await runner.close()
    assert len(asked) == 1


async def test_the_token_is_read_anew_for_each_request_because_it_rotates(
    runner: HttpStateStore, rotate: Callable[[str], None]
) -> None:
    claim = await runner.claim(request())
    rotate("nonsense")
    with pytest.raises(StateError, match="refused this pod's token: not a token"):
        await runner.heartbeat(claim, RunCounts())
    rotate("token-of-growth")
    await runner.heartbeat(claim, RunCounts())


async def test_a_token_file_that_is_missing_or_empty_is_named(
    runner: HttpStateStore, token: Path, rotate: Callable[[str], None]
) -> None:
    missing = HttpStateStore("http://127.0.0.1:1", token.with_name("nothing"))
    with pytest.raises(StateError, match=r"cannot read the token .*/nothing: No such file"):
        await missing.claim(request())
    await missing.close()
    rotate("")
    with pytest.raises(StateError, match=f"the token {token} is empty"):
        await runner.claim(request())
