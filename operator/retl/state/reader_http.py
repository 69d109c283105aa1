"""HttpStateReader: what people look at, as the state service shows it to one namespace."""

import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

import httpx

from retl.errors import InvalidInput, StateError
from retl.state import reader_wire as wire
from retl.state import trust
from retl.state.store import DeadLetter, RunRecord, StateReader, Statistics

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class HttpStateReader(StateReader):
    """StateReader over the state service. The token says which namespace; the argument of that name must be it.

    Args:
        url: of the service, without a path.
        token: of a ServiceAccount of the namespace, for audience reverse-etl-state.
        verify: what its certificate is checked with; False does not check it.
    """

    def __init__(self, url: str, token: str, verify: ssl.SSLContext | bool = False) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self._url + wire.PREFIX,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            trust_env=False,
            verify=verify,
        )

    async def runs(self, *, namespace: str, sync: str | None = None, limit: int = 50) -> list[RunRecord]:
        return wire.RUNS.validate_json(await self._get("/runs", {"sync": sync, "limit": limit}))

    async def plan(self, *, namespace: str, run: str) -> bytes | None:
        return await self._find(f"/plans/{quote(run, safe='')}")

    async def dead_letters(
        self,
        *,
        namespace: str,
        sync: str | None = None,
        resolved: bool = False,
        code: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[DeadLetter]:
        asked = {
            "sync": sync,
            "resolved": str(resolved).lower(),
            "code": code,
            "since": since.isoformat() if since else None,
            "limit": limit,
            "after": after,
        }
        return wire.LETTERS.validate_json(await self._get("/dead-letters", asked))

    async def dead_letter(self, *, namespace: str, id: str) -> DeadLetter | None:
        found = await self._find(f"/dead-letters/{quote(id, safe='')}")
        return None if found is None else wire.LETTER.validate_json(found)

    async def statistics(self, *, namespace: str, sync: str | None = None) -> Statistics:
        return wire.STATISTICS.validate_json(await self._get("/statistics", {"sync": sync}))

    async def resolve(self, *, namespace: str, ids: Sequence[str]) -> int:
        body = wire.Resolve(ids=list(ids)).model_dump_json()
        return wire.read(wire.Number, await self._send("POST", "/dead-letters/resolutions", body=body)).number

    async def erase(self, *, namespace: str, field: str, value: str, sync: str | None = None) -> int:
        body = wire.Erase(field=field, value=value, sync=sync).model_dump_json()
        return wire.read(wire.Number, await self._send("POST", "/dead-letters/erasures", body=body)).number

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._client.aclose()

    async def _find(self, path: str) -> bytes | None:
        return await self._send("GET", path, absent=True) or None

    async def _get(self, path: str, query: Mapping[str, str | int | None]) -> bytes:
        return await self._send("GET", path, query)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
        *,
        body: str | None = None,
        absent: bool = False,
    ) -> bytes:
        """The answer; with `absent` nothing, where there is no such thing."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = await self._client.request(method, path, params=asked, content=body)
        except httpx.TransportError as error:
            if refusal := trust.refusal(self._url, error):
                raise refusal from error
            raise StateError(f"state service {self._url}: no answer: {trust.broken(self._url, error)}") from error
        if response.is_success:
            return response.content
        if absent and response.status_code == HTTPStatus.NOT_FOUND:
            return b""
        detail = _detail(response)
        if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise InvalidInput(detail)
        raise StateError(f"state service {self._url}: {response.status_code}: {detail}")


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
