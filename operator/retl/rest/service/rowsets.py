"""What the names in a wish for a sync stand for in its workspace: model, source, destination."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from retl.resources.kinds import DESTINATION, MODEL, SOURCE, Manifest
from retl.resources.marks import DEFAULT_OBJECT, DEFAULT_SOURCE
from retl.resources.problems import Location
from retl.rest.problems import FieldError, Problem
from retl.rest.service import sql
from retl.rest.service.cluster import Cluster
from retl.rest.service.connections import default_sources, destination_of
from retl.rest.service.directory import Directory
from retl.rest.service.merge import Found, invalid
from retl.rest.service.values import UNSET, SyncWish

_MODEL_REF = ("spec", "modelRef", "name")
_SQL = ("spec", "query", "sql")
_SOURCE_REF = ("spec", "query", "sourceRef", "name")
_DESTINATION_REF = ("spec", "destinationRef", "name")

_RowSet = tuple[Mapping[str, Any], Manifest | None]
"""`modelRef` or `query` as it is to be, empty where it stays; and the model that the sync then reads."""


@dataclass(frozen=True, slots=True)
class References:
    """What a sync will refer to; None where there is no such object any more, and the wish does not name it."""

    found: Found
    model: Manifest | None
    destination: Manifest | None


class Lookup:
    """Finds what a wish names.

    Args:
        before: the sync as it is; None for a new one.
    """

    def __init__(self, cluster: Cluster, directory: Directory, before: Manifest | None) -> None:
        self._cluster = cluster
        self._directory = directory
        self._uid = before["metadata"]["uid"] if before else ""
        self._spec: Mapping[str, Any] = (before or {}).get("spec") or {}

    async def references(self, wish: SyncWish) -> References:
        """All that the sync will refer to (raises Problem 422 for each that is not there)."""
        looked = await asyncio.gather(self._row_set(wish), self._destination(wish), return_exceptions=True)
        _raise_all([each for each in looked if isinstance(each, BaseException)])
        (row_set, model), destination = cast(tuple[_RowSet, Manifest | None], looked)
        found = Found(
            row_set=row_set,
            model_key=((model or {}).get("spec") or {}).get("primaryKey") or (),
            destination=destination["metadata"]["name"] if destination and wish.destination is not UNSET else "",
            object=_default_object(destination, model),
        )
        return References(found, model, destination)

    async def _row_set(self, wish: SyncWish) -> _RowSet:
        if wish.query is not UNSET:
            name = sql.model_named(wish.query)
            return _of_model(await self._model(name)) if name else (await self._query(wish.query), None)
        own = wish.model is not UNSET and str(wish.model) == self._uid and "query" in self._spec
        if wish.model is not UNSET and not own:
            return _of_model(await self._model(wish.model))
        reference = self._spec.get("modelRef")
        return {}, await self._cluster.find(MODEL, reference["name"]) if reference else None

    async def _model(self, which: UUID | str) -> Manifest:
        if isinstance(which, UUID):
            model = await self._directory.find(self._cluster, MODEL, which)
        else:
            model = await self._cluster.find(MODEL, which)
        return model or _missing("model", which, self._cluster, _MODEL_REF)

    async def _query(self, query: str) -> Mapping[str, Any]:
        if wrong := sql.wrong_with(query):
            raise invalid([FieldError(wrong, _SQL)])
        source = (self._spec.get("query") or {}).get("sourceRef") or {"name": await self._default_source()}
        return {"query": {"sourceRef": source, "sql": query}}

    async def _default_source(self) -> str:
        sources = await self._directory.list(self._cluster, SOURCE, metadata_only=True)
        candidates, marked = default_sources(sources)
        if len(candidates) == 1:
            return candidates[0]
        raise _no_default(candidates, marked)

    async def _destination(self, wish: SyncWish) -> Manifest | None:
        if wish.destination is UNSET:
            reference = self._spec.get("destinationRef")
            return await self._cluster.find(DESTINATION, reference["name"], metadata_only=True) if reference else None
        found = await destination_of(self._cluster, self._directory, wish.destination)
        return found or _missing("destination", wish.destination, self._cluster, _DESTINATION_REF)


def _raise_all(wrong: Sequence[BaseException]) -> None:
    """Raise what was raised; two fields that are wrong as one problem."""
    fields = [each for each in wrong if isinstance(each, Problem) and each.slug == "invalid-input"]
    if len(fields) > 1:
        raise invalid([error for each in fields for error in each.errors])
    for each in wrong:
        raise each


def _of_model(model: Manifest) -> _RowSet:
    return {"modelRef": {"name": model["metadata"]["name"]}}, model


def _default_object(destination: Manifest | None, model: Manifest | None) -> str:
    annotations = (destination or {"metadata": {}})["metadata"].get("annotations") or {}
    return str(annotations.get(DEFAULT_OBJECT) or (model["metadata"]["name"] if model else ""))


def _missing(what: str, which: UUID | str, cluster: Cluster, where: Location) -> Manifest:
    detail = f"there is no {what} {str(which)!r} in workspace {cluster.place.namespace}"
    raise invalid([FieldError(detail, where)])


def _no_default(candidates: Sequence[str], marked: Sequence[str]) -> Problem:
    if marked:
        detail = f"several sources have the label {DEFAULT_SOURCE}=true: {', '.join(sorted(marked))}; leave it on one"
    elif candidates:
        detail = f"give one of these sources the label {DEFAULT_SOURCE}=true: {', '.join(sorted(candidates))}"
    else:
        detail = "the workspace has no source; create a SyncSource"
    return Problem(422, "no-default-source", detail, errors=[FieldError(detail, _SOURCE_REF)])
