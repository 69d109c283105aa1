"""The few calls that the process node makes to the API server, patient through its outages."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.cluster.kubectl import Access

JSON = "application/json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
OUTAGE_LIMIT_SECONDS = 300
RETRY_SECONDS = 0.2
_WATCH_SECONDS = 240


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A client of one API server; close it with `aclose`."""

    def __init__(self, access: Access) -> None:
        self._http = httpx.AsyncClient(
            base_url=access.server,
            headers={"Authorization": f"Bearer {access.token}"},
            verify=ssl.create_default_context(cafile=str(access.ca_file)),
            timeout=10,
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> dict[str, Any]:
        """The decoded answer. Waits while the server is away or overloaded.

        Raises:
            ApiError: the server refused (4xx), or has been away for OUTAGE_LIMIT_SECONDS.
        """
        content = None if body is None else json.dumps(body)
        trouble = ""
        for _ in range(int(OUTAGE_LIMIT_SECONDS / RETRY_SECONDS)):
            try:
                response = await self._http.request(
                    method, path, content=content, headers={"Content-Type": content_type}
                )
            except httpx.TransportError as error:
                trouble = repr(error)
            else:
                if response.is_success:
                    answer: dict[str, Any] = response.json()
                    return answer
                if response.status_code < 500 and response.status_code != 429:
                    raise ApiError(response.status_code, f"{method} {path}: {response.text}")
                trouble = response.text
            await asyncio.sleep(RETRY_SECONDS)
        raise ApiError(503, f"{method} {path}: no answer for {OUTAGE_LIMIT_SECONDS} s; lastly {trouble}")

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Changes after `resource_version` as (ADDED | MODIFIED | DELETED, object).

        Ends without an error when the watch does, for whatever reason; the caller then lists again.
        """
        query = {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = httpx.Timeout(10, read=_WATCH_SECONDS + 30)
        try:
            async with self._http.stream("GET", path, params=query, timeout=timeout) as response:
                if not response.is_success:
                    return
                async for line in response.aiter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # 410: the version is too old
                        return
                    yield event["type"], event["object"]
        except httpx.TransportError:
            return
