"""Requests to the API server, each as the caller and in one workspace: RBAC judges them, and the audit log names them.

The one place of the service layer where requests are made. Whatever the API server refuses leaves it as a Problem.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

import orjson

from retl.apiserver import following, media
from retl.apiserver.endpoints import ENDPOINTS, POD
from retl.apiserver.refusals import KubeError
from retl.apiserver.transport import Answer, Call, Transport
from retl.resources import KINDS
from retl.resources.kinds import Manifest
from retl.rest.callers.caller import Caller, Right
from retl.rest.callers.refused import unavailable
from retl.rest.callers.rights import Review
from retl.rest.problems import Problem
from retl.rest.service import refused
from retl.rest.service.values import Place

FIELD_MANAGER = "retl-api"
"""Owner of the fields that the API writes; the admission policies know the API by it."""
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""What may stand in a path; names come from clients too."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list.

    Attributes:
        next: goes on with it; empty at the end.
    """

    items: Sequence[Manifest]
    next: str


class Cluster:
    """One workspace, as one caller.

    Args:
        transport: the connections for this caller's requests.
    """

    def __init__(self, transport: Transport, review: Review, caller: Caller, place: Place) -> None:
        self.caller = caller
        self.place = place
        self._transport = transport
        self._review = review

    async def require(self, right: Right) -> None:
        """Return if the caller has a right that exists in RBAC only (raises Problem 403)."""
        await self._review(self.caller, self.place.namespace, right)

    async def list(
        self,
        kind: str,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        limit: int | None = None,
        after: str = "",
    ) -> Listed:
        """Objects of a kind: all, or a page (raises Expired where the list to go on with is forgotten)."""
        asked = {"labelSelector": labels, "fieldSelector": fields, "limit": str(limit or ""), "continue": after}
        query = {name: value for name, value in asked.items() if value}
        accept = media.METADATA_LIST if metadata_only else media.JSON
        found = await self._json(Call("list", kind, self._path(kind), query, accept=accept))
        return Listed(found.get("items") or [], (found.get("metadata") or {}).get("continue") or "")

    async def find(self, kind: str, name: str, *, metadata_only: bool = False) -> Manifest | None:
        """One object; None if there is none of that name, or it is no name."""
        if not _NAME.fullmatch(name):
            return None
        call = Call("get", kind, self._path(kind, name), accept=media.METADATA if metadata_only else media.JSON)
        answer = await self._answer(call)
        refusal = await self._refusal(call, answer)
        if refusal is None:
            return _read(answer)
        if refusal.status == HTTPStatus.NOT_FOUND:
            return None
        raise refusal

    async def create(self, kind: str, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object (raises Taken where there is one of that name)."""
        return await self._json(Call("create", kind, self._path(kind), _writing(dry_run), manifest))

    async def patch(self, kind: str, name: str, change: Manifest, *, dry_run: bool = False) -> Manifest:
        """Merge a change into an object (raises Lost where it has another resource version than the change says)."""
        return await self._json(
            Call("patch", kind, self._path(kind, name), _writing(dry_run), change, sends=media.MERGE_PATCH)
        )

    async def delete(self, kind: str, name: str, only_if: Mapping[str, str], *, dry_run: bool = False) -> None:
        """Delete an object and, in the background, what it owns.

        Args:
            only_if: uid, and perhaps resourceVersion, that it must have (raises Lost).
        """
        options: dict[str, object] = {"propagationPolicy": "Background", "preconditions": dict(only_if)}
        # In the body: where a delete has one, the API server does not look at the query.
        options |= {"dryRun": ["All"]} if dry_run else {}
        await self._json(Call("delete", kind, self._path(kind, name), {}, options))

    def watch(self, kind: str, name: str) -> AsyncGenerator[Manifest | None, None]:
        """The object as it is, and again after each change; None when it is gone, which is the last."""
        return following.follow(
            name,
            lambda: self.find(kind, name),
            lambda query: self._lines(Call("watch", kind, self._path(kind), query)),
        )

    async def log(self, pod: str, *, follow: bool, tail: int | None) -> AsyncGenerator[bytes, None]:
        """What the runner in a pod has written, line by line, and with `follow` what it goes on to write."""
        query = {"container": "runner"} | ({"follow": "true"} if follow else {})
        query |= {"tailLines": str(tail)} if tail is not None else {}
        async with self._lines(Call("get", POD, self._path(POD, pod, "log"), query, accept="*/*")) as lines:
            async for line in lines:
                yield line + b"\n"

    @asynccontextmanager
    async def _lines(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with self._transport.stream(self._as_caller(call)) as (head, lines):
                if (refusal := await self._refusal(call, head)) is not None:
                    raise refusal
                yield lines
        except KubeError as error:
            raise unavailable(error) from error

    async def _json(self, call: Call) -> Manifest:
        answer = await self._answer(call)
        if (refusal := await self._refusal(call, answer)) is not None:
            raise refusal
        return _read(answer)

    async def _answer(self, call: Call) -> Answer:
        try:
            return await self._transport.exchange(self._as_caller(call))
        except KubeError as error:
            raise unavailable(error) from error

    async def _refusal(self, call: Call, answer: Answer) -> Problem | None:
        if answer.status < HTTPStatus.BAD_REQUEST:
            return None
        problem = refused.problem(call, answer, self.place.namespace)
        if isinstance(problem, refused.Forbidden) and call.kind in KINDS:
            right = Right(call.verb, ENDPOINTS[call.kind].plural)
            return await self._review.forbidden(self.caller, self.place.namespace, right)
        return problem

    def _as_caller(self, call: Call) -> Call:
        return replace(call, headers=self.caller.headers)

    def _path(self, kind: str, name: str | None = None, subresource: str | None = None) -> str:
        return ENDPOINTS[kind].path(self.place.namespace, name, subresource)


def _writing(dry_run: bool) -> dict[str, str]:
    how = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    return how | {"dryRun": "All"} if dry_run else how


def _read(answer: Answer) -> Manifest:
    manifest: Manifest = orjson.loads(answer.text)
    return manifest
