"""The controller's real `Kube` over a network and an API server that are not there.

Only the exchange of bytes is replaced: paths, bodies, pages, preconditions, watches and the reading of errors are the
real code.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import orjson
from kubernetes.aio.client import ApiClient

from retl.apiserver.endpoints import LEASE
from retl.apiserver.transport import Answer, Call, Transport
from retl.controller.apiserver.kube import Kube, KubeError
from retl.controller.kinds import Key
from retl.resources.kinds import Manifest
from tests.faults.server import ApiServer, Change, Refusal, selected

if TYPE_CHECKING:
    from tests.faults.processes import Process

_PAGE = 500
_BOOKMARKS = 80.0
"""Seconds between them; the real server sends one about every minute."""


class Died(BaseException):
    """The process that asked was killed: nothing in it runs any further."""


class SimKube(Kube):
    """One process's connection to the API server."""

    def __init__(self, process: "Process", timeout: timedelta) -> None:
        super().__init__(cast(ApiClient, None), timeout, clock=process.clock)
        self._transport = SimTransport(process, timeout)


class SimTransport(Transport):
    """Requests that arrive late, twice as late, or not at all; answers that get lost; streams that break."""

    def __init__(self, process: "Process", timeout: timedelta) -> None:
        self._process = process
        self._patience = timeout.total_seconds()

    async def close(self) -> None:
        """There is nothing to close."""

    async def exchange(self, call: Call) -> Answer:
        process, trouble = self._process, self._process.trouble
        process.asks(call)
        dies = call.writes and call.kind != LEASE and trouble.happens("crash")
        if dies and trouble.rng.random() < 0.5:
            process.die(f"before {call}")
            raise Died
        answers: list[Answer] = []
        out, back = trouble.delays()
        text = orjson.dumps(call.body) if call.body is not None else b"null"
        asyncio.get_running_loop().call_later(out, lambda: answers.append(self._serve(call, orjson.loads(text))))
        await asyncio.sleep(min(out + back, self._patience))
        if dies:
            process.die(f"after {call}")
        process.must_live()
        if not answers or out + back > self._patience:
            raise KubeError(f"{call}: no answer from the API server: TimeoutError")
        return answers[0]

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        process, trouble = self._process, self._process.trouble
        process.must_live()
        await asyncio.sleep(sum(trouble.delays()))
        process.must_live()
        server, version = process.server, int(call.query["resourceVersion"])
        try:
            self._refuse(call)
            told = server.since(call.kind, version)
        except Refusal as refusal:
            if refusal.status == 410 and trouble.rng.random() < 0.5:
                yield self._answer(200, {}), _error_event(refusal)
            else:
                yield self._answer(refusal.status, _status_of(refusal)), _nothing()
            return
        watch = Watch(server, call.kind, call.query.get("labelSelector", ""), told)
        try:
            yield self._answer(200, {}), self._lines(call, watch, float(call.query["timeoutSeconds"]))
        finally:
            watch.close()

    async def _lines(self, call: Call, watch: "Watch", lasts: float) -> AsyncIterator[bytes]:
        process, trouble, loop = self._process, self._process.trouble, asyncio.get_running_loop()
        ends = loop.time() + lasts
        while loop.time() < ends:
            changes = await watch.wait(min(_BOOKMARKS, ends - loop.time()))
            await asyncio.sleep(trouble.watch_delay())
            process.must_live()
            if trouble.happens("cut"):
                raise KubeError(f"{call}: no answer from the API server: the connection broke")
            quiet, version = not changes, str(process.server.version)
            for change in [*changes, *watch.take()]:
                yield _line(change)
            if quiet:
                yield orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})

    def _serve(self, call: Call, body: Any) -> Answer:
        """What the API server answers, at the moment at which the request arrives."""
        try:
            self._refuse(call)
            return self._answer(200, _answer(self._process.server, call, body, self._process.name))
        except Refusal as refusal:
            return self._answer(refusal.status, _status_of(refusal))

    def _refuse(self, call: Call) -> None:
        trouble = self._process.trouble
        if not trouble.happens("refused"):
            return
        refusals = [Refusal(429, "TooManyRequests"), Refusal(500, "InternalError"), Refusal(503, "ServiceUnavailable")]
        if call.verb == "update":
            refusals.append(Refusal(409, "Conflict"))
        raise trouble.rng.choice(refusals)

    def _answer(self, status: int, body: Manifest) -> Answer:
        headers = {"Date": format_datetime(self._process.server.now().replace(microsecond=0), usegmt=True)}
        return Answer(status, headers, orjson.dumps(body))


class Watch:
    """What happened to objects of a kind, from some version on."""

    def __init__(self, server: ApiServer, kind: str, selector: str, told: list[Change]) -> None:
        self._server = server
        self._kind = kind
        self._selector = selector
        self._waiting = [change for change in told if selected(change.manifest, selector)]
        self._more = asyncio.Event()
        server.observers.append(self._see)

    async def wait(self, seconds: float) -> list[Change]:
        """Changes since the last call, as soon as there are any; none after that time."""
        if not self._waiting:
            self._more.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._more.wait()
            except TimeoutError:
                return []
        return self.take()

    def take(self) -> list[Change]:
        """Changes since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

    def close(self) -> None:
        """Look away."""
        self._server.observers.remove(self._see)

    def _see(self, change: Change) -> None:
        if change.key.kind == self._kind and selected(change.manifest, self._selector):
            self._waiting.append(change)
            self._more.set()


def _answer(server: ApiServer, call: Call, body: Any, by: str) -> Manifest:
    namespace, name, sub = _place(call.path)
    if call.verb == "list":
        return _page(server, call, namespace)
    if call.verb == "create":
        return server.create(call.kind, body, by)
    assert namespace is not None
    key = Key(call.kind, namespace, name)
    if call.verb == "get":
        found = server.find(key)
        if found is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        return found
    if call.verb == "delete":
        server.delete(key, by, body["preconditions"]["uid"], body["propagationPolicy"])
        return {}
    if call.verb == "patch":
        return server.edit(key, lambda standing: cast(Manifest, _merged(standing, body)), by)
    return server.put_status(key, body, by) if sub == "status" else server.replace(key, body, by)


def _page(server: ApiServer, call: Call, namespace: str | None) -> Manifest:
    items = server.all(call.kind, namespace, call.query.get("labelSelector", ""))
    for condition in filter(None, call.query.get("fieldSelector", "").split(",")):
        path, _, value = condition.partition("=")
        items = [item for item in items if _at(item, path) == value]
    version, _, offset = call.query.get("continue", f"{server.version}:0").partition(":")
    end = int(offset) + int(call.query.get("limit", _PAGE))
    metadata = {"resourceVersion": version}
    if end < len(items):
        metadata["continue"] = f"{version}:{end}"
    return {"metadata": metadata, "items": items[int(offset) : end]}


def _at(manifest: Any, path: str) -> Any:
    """The value of a field such as `regarding.uid`."""
    return reduce(lambda at, part: at.get(part, {}), path.split("."), manifest)


def _place(path: str) -> tuple[str | None, str, str]:
    """Namespace (None: all), name and subresource of a path."""
    _, _, rest = path.partition("/namespaces/")
    if not rest:
        return None, "", ""
    namespace, _, *more = rest.split("/")
    name, sub = (*more, "", "")[:2]
    return namespace, name, sub


def _merged(standing: Any, change: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(change, dict):
        return change
    base = standing if isinstance(standing, dict) else {}
    kept = {name: value for name, value in base.items() if name not in change}
    return kept | {name: _merged(base.get(name), value) for name, value in change.items() if value is not None}


def _line(change: Change) -> bytes:
    return orjson.dumps({"type": change.type, "object": change.manifest})


def _status_of(refusal: Refusal) -> Manifest:
    causes = [{"reason": refusal.cause}] if refusal.cause else []
    said = {"kind": "Status", "code": refusal.status, "reason": refusal.reason, "message": str(refusal)}
    return said | {"details": {"causes": causes}}


async def _error_event(refusal: Refusal) -> AsyncIterator[bytes]:
    yield orjson.dumps({"type": "ERROR", "object": _status_of(refusal)})


async def _nothing() -> AsyncIterator[bytes]:
    for line in list[bytes]():
        yield line
