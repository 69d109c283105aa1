"""The API that the example plug-in writes to."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.destinations.simulators.base import Handler, Simulator, body_of, reply


class ShelfApi(Simulator):
    """Records by their id."""

    key = "shelf-key-1"

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("GET", "/ping", self._ping),
            ("POST", "/{object}/put", self._put),
            ("POST", "/{object}/remove", self._remove),
        ]

    def authorized(self, request: web.Request) -> bool:
        return request.headers.get("X-Api-Key") == self.key

    async def _ping(self, request: web.Request) -> web.Response:
        return reply({})

    async def _put(self, request: web.Request) -> web.Response:
        results = []
        for record in await body_of(request):
            refused = record["name"] == "refused"
            results.append({"error": "no such name"} if refused else {})
            if not refused:
                self.records[record["id"]] = record
        return reply({"results": results})

    async def _remove(self, request: web.Request) -> web.Response:
        records = await body_of(request)
        for record in records:
            self.records.pop(record["id"], None)
        return reply({"results": [{} for _ in records]})
