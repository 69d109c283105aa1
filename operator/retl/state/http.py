"""HttpStateStore: the state service as a runner in a cluster sees it.

The API pod may be replaced at any moment, so every call is safe to send again: commits and compactions carry numbers, a
claim carries a nonce, and a result that was recorded once is recorded.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import NoReturn, TypeVar
from urllib.parse import quote

import httpx
import orjson

from retl.errors import Busy, Fenced, InvalidInput, StateError
from retl.resources.destination import RateLimit
from retl.resources.run import Replay, RunCounts, RunProgress
from retl.runspec.catalog import Catalog
from retl.runspec.check import CheckSpec
from retl.runspec.pod import ENV_STATE_CA
from retl.runspec.result import RunResult
from retl.state import trust, wire
from retl.state.pairs import bounded
from retl.state.store import (
    Claim,
    ClaimRequest,
    Commit,
    KeptLetter,
    OpenJob,
    Reservation,
    SnapshotPart,
    StateStore,
    Waiting,
)

T = TypeVar("T")

PATIENCE = timedelta(minutes=5)
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_TRY_AGAIN = frozenset({429, 502, 503, 504})


class HttpStateStore(StateStore):
    """StateStore over the state service.

    Args:
        url: of the service, without a path.
        token_file: the pod's projected token; it rotates, so it is read for each request.
        patience: how long a call keeps trying while the service does not answer.
        ca: certificates in PEM, one of which signed the service's; None: those that this machine trusts.
    Raises:
        InvalidInput: `ca` is not that.
    """

    def __init__(self, url: str, token_file: Path, *, patience: timedelta = PATIENCE, ca: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._patience = _Patience(patience.total_seconds())
        verify = trust.verification(self._url, ca, ENV_STATE_CA)
        self._client = httpx.AsyncClient(
            base_url=self._url + wire.PREFIX, timeout=TIMEOUT, trust_env=False, verify=verify
        )

    def hurry(self, patience: timedelta) -> None:
        """This process is to end: all calls together, also those that wait already, are silent no longer than that."""
        self._patience.hurry(patience.total_seconds())
        self._client.timeout = httpx.Timeout(patience.total_seconds(), connect=TIMEOUT.connect)

    async def claim(self, request: ClaimRequest) -> Claim:
        body = wire.ClaimBody.of(request, nonce=secrets.token_hex(16))
        answer = await self._send("POST", f"/syncs/{request.sync.uid}/claims", body.model_dump_json().encode())
        return wire.ClaimAnswer.model_validate_json(answer).claim()

    def snapshot(self, claim: Claim) -> AsyncIterator[SnapshotPart]:
        return self._stream("GET", _path(claim, "snapshot"), None, wire.read_parts, lambda part: part.sequence)

    async def waiting(self, claim: Claim) -> Waiting:
        return wire.unpack_waiting(await self._send("GET", _path(claim, "waiting")))

    def letters(self, claim: Claim, replay: Replay) -> AsyncIterator[KeptLetter]:
        asked = replay.model_dump_json().encode()
        return self._stream("POST", _path(claim, "letters"), asked, wire.read_letters, lambda letter: letter.id)

    async def reserve(self, claim: Claim, account: str, limit: RateLimit, calls: int) -> Reservation:
        body = wire.Calls(limit=limit, calls=calls).model_dump_json().encode()
        answer = await self._send("POST", _path(claim, f"rates/{quote(account, safe='')}/calls"), body)
        return wire.Reserved.model_validate_json(answer).reservation()

    async def slow_down(self, claim: Claim, account: str, pause: timedelta) -> None:
        body = wire.Refusal(pause=pause.total_seconds()).model_dump_json().encode()
        await self._send("POST", _path(claim, f"rates/{quote(account, safe='')}/refusals"), body)

    async def save_plan(self, claim: Claim, plan: bytes) -> None:
        await self._send("PUT", _path(claim, "plan"), plan)

    async def commit(self, claim: Claim, commit: Commit) -> None:
        await self._send("POST", _path(claim, "commits"), wire.pack_commit(commit))

    async def keep_job(self, claim: Claim, job: OpenJob) -> None:
        await self._send("PUT", _path(claim, f"jobs/{quote(job.id, safe='')}"), wire.pack_job(job))

    async def jobs(self, claim: Claim) -> list[OpenJob]:
        return wire.unpack_jobs(await self._send("GET", _path(claim, "jobs")))

    async def compact(self, claim: Claim, parts: Sequence[SnapshotPart], replaces: int) -> None:
        compaction = _path(claim, f"compactions/{secrets.randbits(62) + 1}")
        count = 0
        for part in bounded(parts):
            await self._send("PUT", f"{compaction}/parts/{part.sequence}", wire.pack_part(part))
            count = part.sequence
        await self._send("POST", compaction, wire.Swap(count=count, replaces=replaces).model_dump_json().encode())

    async def heartbeat(self, claim: Claim, counts: RunCounts, progress: RunProgress | None = None) -> None:
        body = wire.Heartbeat(counts=counts, progress=progress).model_dump_json().encode()
        await self._send("POST", _path(claim, "heartbeats"), body)

    async def finish(self, claim: Claim, result: RunResult) -> RunResult:
        answer = await self._send("POST", _path(claim, "result"), result.model_dump_json().encode())
        return RunResult.model_validate_json(answer)

    async def put_catalog(self, check: CheckSpec, catalog: Catalog) -> list[str]:
        """Hand in what a check found; what differs from what the check before it found, a few words each."""
        body = wire.CatalogBody(kind=check.kind, name=check.connection.name, catalog=catalog)
        path = f"/connections/{quote(check.connection.uid, safe='')}/catalog"
        answer = await self._send("PUT", path, body.model_dump_json(by_alias=True).encode())
        return wire.CatalogKept.model_validate_json(answer).changes

    async def close(self) -> None:
        await self._client.aclose()

    async def _stream(
        self,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[AsyncIterator[bytes]], AsyncIterator[T]],
        position: Callable[[T], str | int],
    ) -> AsyncIterator[T]:
        """What a stream yields; one that breaks off goes on after the last item that came."""
        query: dict[str, str | int] = {}
        tries = _Tries(self._url, self._patience)
        while True:
            try:
                async with self._client.stream(
                    method, path, params=query, content=body, headers=self._headers()
                ) as response:
                    if response.status_code in _TRY_AGAIN:
                        await tries.wait(await _said(response), response)
                        continue
                    if response.is_error:
                        self._refused(response, await _said(response))
                    async for item in read(response.aiter_bytes()):
                        yield item
                        query["after"] = position(item)
                        tries.progress()
                    return
            except (httpx.TransportError, wire.BadMessage) as error:
                await tries.wait(self._words(error))

    async def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        tries = _Tries(self._url, self._patience)
        while True:
            try:
                response = await self._client.request(method, path, content=body, headers=self._headers())
            except httpx.TransportError as error:
                await tries.wait(self._words(error))
                continue
            if response.is_success:
                tries.progress()
                return response.content
            if response.status_code not in _TRY_AGAIN:
                self._refused(response, await _said(response))
            await tries.wait(await _said(response), response)

    def _headers(self) -> dict[str, str]:
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise StateError(f"state service: cannot read the token {self._token_file}: {error.strerror}") from None
        if not token:
            raise StateError(f"state service: the token {self._token_file} is empty")
        return {"Authorization": f"Bearer {token}", "Content-Type": wire.BINARY}

    def _words(self, error: Exception) -> str:
        """What to say of an error that may pass (raises StateError for one that will not)."""
        if refusal := trust.refusal(self._url, error):
            raise refusal from None
        return trust.broken(self._url, error)

    def _refused(self, response: httpx.Response, said: str) -> NoReturn:
        status = response.status_code
        if status == 409:
            raise (Busy if _slug(response) == wire.PROBLEM_BUSY else Fenced)(said)
        if status in {401, 403}:
            raise StateError(f"state service {self._url}: refused this pod's token: {said}")
        if _slug(response) == wire.PROBLEM_UNREADABLE:
            # While an operator is upgraded, an API pod of before may answer: the next attempt finds another one.
            raise StateError(f"state service {self._url}: it is of another version than this runner: {said}")
        if status in {413, 422}:
            raise InvalidInput(f"state service {self._url}: {said}")
        raise StateError(f"state service {self._url}: answered {status}: {said}")


@dataclass(slots=True)
class _Patience:
    """How long the service may be silent.

    Attributes:
        heard: since when it is, for all calls together; None while each call counts for itself.
    """

    seconds: float
    heard: float | None = None

    def hurry(self, seconds: float) -> None:
        """From now on count for all calls together."""
        self.seconds, self.heard = seconds, monotonic()


class _Tries:
    """Waits between tries, longer each time, until patience ends."""

    def __init__(self, url: str, patience: _Patience) -> None:
        self._url = url
        self._patience = patience
        self._since = monotonic()
        self._delay = _FIRST_DELAY

    def progress(self) -> None:
        """Something came: patience starts anew."""
        self._since = monotonic()
        self._delay = _FIRST_DELAY
        if self._patience.heard is not None:
            self._patience.heard = self._since

    async def wait(self, said: str, response: httpx.Response | None = None) -> None:
        """Sleep until the next try (raises StateError when patience has ended)."""
        since = self._since if self._patience.heard is None else self._patience.heard
        seconds = self._patience.seconds
        left = since + seconds - monotonic()
        if left <= 0:
            raise StateError(f"state service {self._url}: no answer within {seconds:.0f} s; last: {said}")
        delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        await asyncio.sleep(min(max(delay, _retry_after(response)), left))


def _path(claim: Claim, what: str) -> str:
    return f"/syncs/{claim.sync_uid}/runs/{claim.run_uid}/claims/{claim.fence}/{what}"


def _retry_after(response: httpx.Response | None) -> float:
    value = response.headers.get("retry-after", "") if response is not None else ""
    return float(value) if value.isdecimal() else 0.0


async def _said(response: httpx.Response) -> str:
    """What the service said, in its own words where it has any."""
    await response.aread()
    try:
        return str(orjson.loads(response.content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.reason_phrase}"


def _slug(response: httpx.Response) -> str:
    try:
        return str(orjson.loads(response.content)["type"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        return ""
