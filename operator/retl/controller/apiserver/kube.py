"""The API server, as far as the controller uses it: the one place where requests are made.

Objects are plain dictionaries; every request has a time limit. Tests wrap a `Kube` to fail or die at a chosen request,
and the fault simulation puts another one in its place.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol

import orjson
from kubernetes.aio.client import ApiClient

from retl.apiserver.endpoints import ENDPOINTS, EVENT, LEASE, SECRET
from retl.apiserver.media import MERGE_PATCH, METADATA
from retl.apiserver.refusals import (
    AlreadyExists,
    Conflict,
    KubeError,
    NamespaceTerminating,
    refusal,
)
from retl.apiserver.transport import Answer, Call, Transport
from retl.controller.apiserver.budget import Budget
from retl.controller.apiserver.skew import Skew
from retl.controller.clock import Clock, SystemClock
from retl.controller.kinds import Key
from retl.controller.settings import FIELD_MANAGER, ApiRate
from retl.resources.kinds import Manifest

__all__ = ["AlreadyExists", "Conflict", "Kube", "KubeError", "NamespaceTerminating", "NotLeading"]

_PAGE = 500
_WATCH_LASTS = timedelta(minutes=5)
"""After this the API server ends a watch; the next one begins where it ended."""
_OWNER = {"fieldManager": FIELD_MANAGER}
_LEASE_BUDGET = (5.0, 10)
_EVENT_BUDGET = (20.0, 100)
"""Requests a second, and at once."""
_TRIES = 4
"""Of a request that the API server puts off."""


class NotLeading(KubeError):
    """This process cannot be sure that it leads, so it writes nothing; the request was not sent."""

    reason = "NotLeading"


class Observer(Protocol):
    """Is told of requests."""

    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None:
        """One has its answer, a watch its beginning; code 0: there was none."""

    def throttled(self, budget: str, seconds: float) -> None:
        """One waited for its budget."""


class Kube:
    """Requests to one API server."""

    def __init__(
        self,
        client: ApiClient,
        timeout: timedelta,
        *,
        rate: ApiRate | None = None,
        clock: Clock | None = None,
        connections: int = 100,
    ) -> None:
        """Args:
        timeout: longest wait for one answer.
        rate: requests a second of the work; the lease and Events have their own.
        clock: what is compared with the API server's.
        connections: most at the same time.
        """
        rate = rate or ApiRate()
        self.fence: Callable[[], None] = _no_fence
        """Asked right before each write, but for those of the lease itself; raises NotLeading to prevent it."""
        self.observer: Observer = _Deaf()
        self._transport = Transport(client, timeout, connections)
        self._budgets = {
            "work": Budget(rate.per_second, rate.burst),
            "lease": Budget(*_LEASE_BUDGET),
            "events": Budget(*_EVENT_BUDGET),
        }
        self._skew = Skew((clock or SystemClock()).now)

    def skew(self) -> timedelta | None:
        """How much our clock is ahead of the API server's (negative: behind); None while nothing is known."""
        return self._skew.value()

    async def list(
        self, kind: str, namespace: str | None = None, selector: str = "", *, fields: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        """Objects of a kind in pages, each with the resource version of the list.

        Args:
            selector, fields: label and field selector; all objects if empty.
        """
        query = {"limit": str(_PAGE)} | _selected(selector) | ({"fieldSelector": fields} if fields else {})
        page, coming = await self._request(Call("list", kind, ENDPOINTS[kind].path(namespace), query)), None
        try:
            while True:
                metadata = page.get("metadata", {})
                if more := metadata.get("continue"):
                    call = Call("list", kind, ENDPOINTS[kind].path(namespace), query | {"continue": more})
                    coming = asyncio.create_task(self._request(call))
                    await asyncio.sleep(0)  # the API server works on that page while the caller works on this one
                yield page.get("items") or [], metadata.get("resourceVersion", "")
                if coming is None:
                    return
                page, coming = await coming, None
        finally:
            if coming:
                coming.cancel()

    async def watch(self, kind: str, namespace: str | None, selector: str, version: str) -> AsyncGenerator[Manifest]:
        """What happens to objects of a kind after that version, until the stream ends; that it ends is normal.

        Events are as the API server sends them: `type` (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR) and `object`. A
        bookmark comes about every minute and has nothing but the resource version up to which all was told.

        Raises:
            KubeError: it was refused (410: the version is too old), broke off, or cannot be understood.
        """
        lasts = str(int(_WATCH_LASTS.total_seconds()))
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": lasts}
        call = Call("watch", kind, ENDPOINTS[kind].path(namespace), query | _selected(selector))
        await self._admit(call)
        started, answered = _now(), False
        try:
            async with self._transport.stream(call) as (head, lines):
                answered = True
                self._note(call, head, started)
                if head.status >= HTTPStatus.BAD_REQUEST:
                    raise refusal(str(call), head.status, head.text)
                async for line in lines:
                    yield _event(call, line)
        except KubeError:
            if not answered:
                self.observer.requested(call.verb, call.kind, 0, _now() - started)
            raise

    async def get(self, key: Key) -> Manifest | None:
        """One object; None when it does not exist."""
        return await self._find(Call("get", key.kind, ENDPOINTS[key.kind].path(key.namespace, key.name)))

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Whether a Secret is there. Only its metadata is asked for: no secret ever enters this process."""
        path = ENDPOINTS[SECRET].path(namespace, name)
        return await self._find(Call("get", SECRET, path, accept=METADATA)) is not None

    async def create(self, kind: str, manifest: Manifest) -> Manifest:
        """Create an object (raises AlreadyExists, NamespaceTerminating)."""
        path = ENDPOINTS[kind].path(manifest["metadata"]["namespace"])
        return await self._request(Call("create", kind, path, _OWNER, manifest))

    async def put_status(self, key: Key, observed: Manifest, status: Manifest) -> Manifest:
        """Replace an object's status, if nobody has changed the object since it was observed (raises Conflict)."""
        metadata = {k: observed["metadata"][k] for k in ("namespace", "name", "uid", "resourceVersion")}
        body = {"apiVersion": observed["apiVersion"], "kind": key.kind, "metadata": metadata, "status": status}
        # The API server takes only the status of this request, yet wants to see a valid object.
        body["spec"] = observed["spec"]
        path = ENDPOINTS[key.kind].path(key.namespace, key.name, "status")
        return await self._request(Call("update", key.kind, path, _OWNER, body))

    async def replace(self, key: Key, manifest: Manifest) -> Manifest:
        """Replace an object of this program's own; its resource version is the precondition (raises Conflict)."""
        path = ENDPOINTS[key.kind].path(key.namespace, key.name)
        return await self._request(Call("update", key.kind, path, _OWNER, manifest))

    async def patch(self, key: Key, change: Manifest) -> Manifest:
        """Merge a change into an object of this program's own; a null takes a field away."""
        path = ENDPOINTS[key.kind].path(key.namespace, key.name)
        call = Call("patch", key.kind, path, _OWNER, change, sends=MERGE_PATCH)
        return await self._request(call)

    async def delete(self, key: Key, uid: str, propagation: str = "Background") -> None:
        """Delete an object, unless it is gone or another one has its name."""
        options = {"propagationPolicy": propagation, "preconditions": {"uid": uid}}
        path = ENDPOINTS[key.kind].path(key.namespace, key.name)
        try:
            await self._request(Call("delete", key.kind, path, body=options))
        except Conflict:
            return
        except KubeError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._transport.close()

    async def _find(self, call: Call) -> Manifest | None:
        try:
            return await self._request(call)
        except KubeError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _request(self, call: Call) -> Manifest:
        answer = await self._answer(call)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise refusal(str(call), answer.status, answer.text)
        manifest: Manifest = orjson.loads(answer.text)
        return manifest

    async def _answer(self, call: Call) -> Answer:
        """The answer; where the API server has too much to do, the one to a later try."""
        for last in (*[False] * (_TRIES - 1), True):
            await self._admit(call)
            started = _now()
            try:
                answer = await self._transport.exchange(call)
            except KubeError:
                self.observer.requested(call.verb, call.kind, 0, _now() - started)
                raise
            self._note(call, answer, started)
            # Whose turn comes anyway (the lease), or who can be done without (Events), does not try again.
            if answer.status != HTTPStatus.TOO_MANY_REQUESTS or last or _budget_of(call) != "work":
                break
        return answer

    async def _admit(self, call: Call) -> None:
        """Wait for the right to make the request (raises NotLeading)."""
        budget = _budget_of(call)
        waited = await self._budgets[budget].take()
        if waited > 0:
            self.observer.throttled(budget, waited)
        if call.writes and call.kind != LEASE:
            self.fence()

    def _note(self, call: Call, answer: Answer, started: float) -> None:
        """Learn what there is to learn from the head of an answer."""
        heard = _now()
        self.observer.requested(call.verb, call.kind, answer.status, heard - started)
        self._skew.learn(answer.headers.get("Date", ""), started, heard)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            asked = answer.headers.get("Retry-After", "")
            self._budgets[_budget_of(call)].rest(float(asked) if asked.isdigit() else 1.0)


def _budget_of(call: Call) -> str:
    if call.kind == LEASE:
        return "lease"
    return "events" if call.kind == EVENT and call.writes else "work"


def _selected(selector: str) -> dict[str, str]:
    return {"labelSelector": selector} if selector else {}


def _event(call: Call, line: bytes) -> Manifest:
    """One line of a watch (raises KubeError if it is none)."""
    try:
        event: Manifest = orjson.loads(line)
        if event["type"] not in ("BOOKMARK", "ERROR"):
            Key.of(call.kind, event["object"])
        if event["type"] != "ERROR":
            int(event["object"]["metadata"]["resourceVersion"])
    except (ValueError, KeyError, TypeError) as error:
        shown = line[:100].decode(errors="replace")
        message = f"{call}: the API server sent a line that is no event: {shown}"
        raise KubeError(message, status=HTTPStatus.OK) from error
    return event


class _Deaf:
    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None: ...

    def throttled(self, budget: str, seconds: float) -> None: ...


def _no_fence() -> None:
    """Who works without a lease may always write."""


def _now() -> float:
    return asyncio.get_running_loop().time()
