"""Puts people into Meta custom audiences and takes them out, many in a call; Meta answers with counts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Batching,
    Destination,
    FieldInfo,
    Outcome,
    Rejected,
    Target,
)
from retl.destinations.meta_ads.config import MetaAdsConfig, MetaAdsCredentials, meta_ads_capabilities
from retl.destinations.meta_ads.counts import counts, outcome
from retl.destinations.meta_ads.graph import Graph
from retl.destinations.meta_ads.people import SCHEMA, Unusable, person
from retl.destinations.meta_ads.replacement import Replacement
from retl.errors import DestinationError
from retl.runspec.catalog import CatalogField, CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)
PAGE = 500
FLAGGED = 471
"""operation_status of an audience whose members may not be changed."""


class MetaAds(Destination):
    """Custom audiences, by their ids."""

    name = "meta_ads"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, MetaAdsConfig)
        assert isinstance(credentials, MetaAdsCredentials)
        self.capabilities = meta_ads_capabilities(config)
        self._config = config
        self._credentials = credentials
        self._graph: Graph | None = None
        self._replacement: Replacement | None = None

    async def open(self, target: Target) -> None:
        _check_fields(target)
        self._target = target
        self._connect(target.timeout)
        await self._audience(target.object)
        if target.mode == "replace":
            self._replacement = Replacement()

    def batching(self, operation: str, rows: int) -> Batching:
        if self._replacement is not None and operation != "delete":
            self._replacement.expected = rows
        return super().batching(operation, rows)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        if batch.operation == "delete" and self._replacement is not None:
            return [ACKNOWLEDGED] * batch.size  # whoever is not sent is gone when the replacement ends
        fields = self._fields_of(batch.operation)
        found = [_person_or_refusal(payload, fields) for payload in batch.payloads]
        people = [each for each in found if isinstance(each, list)]
        told = await self._send(batch.operation, fields, people) if people else ACKNOWLEDGED
        return [each if isinstance(each, Rejected) else told for each in found]

    async def complete(self) -> None:
        replacement = self._replacement
        if replacement is None:
            return
        if replacement.sent is None:
            raise DestinationError("nobody was sent, and Meta cannot replace an audience by nobody; delete it instead")
        if replacement.ending and await self._has_ended(replacement):
            return
        replacement.ending = True
        payload = _payload(self._fields_of("upsert"), [replacement.sent])
        await self._call("POST", "usersreplace", {"payload": payload, "session": replacement.session(last=True)})

    async def server(self) -> str:
        self._connect(CHECK_TIMEOUT)
        me = await self._opened.get("/me", {"fields": "id,name"})
        return f"Graph API {self._config.api_version} as {me.get('name', 'unknown')}"

    async def fields(self) -> Sequence[FieldInfo] | None:
        return _catalog()

    async def objects(self) -> Sequence[CatalogObject] | None:
        account = self._config.ad_account_id
        if account is None:
            return None
        listed = [CatalogField(name=each.name, type=each.type) for each in _catalog()]
        found: list[CatalogObject] = []
        path, parameters = f"/act_{account.removeprefix('act_')}/customaudiences", {"fields": "id,subtype"}
        after: dict[str, str] | None = {}
        while after is not None:
            page = await self._opened.get(path, {**parameters, **after, "limit": str(PAGE)})
            found += [
                CatalogObject(name=str(each["id"]), fields=listed)
                for each in page.get("data", [])
                if each.get("subtype", "CUSTOM") == "CUSTOM"
            ]
            paging = page.get("paging", {})
            after = {"after": paging["cursors"]["after"]} if paging.get("next") else None
        return found

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        await self._audience(name)
        return _catalog()

    async def close(self) -> None:
        if self._graph is not None:
            await self._graph.close()

    @property
    def _opened(self) -> Graph:
        assert self._graph is not None, "open or server comes first"
        return self._graph

    def _connect(self, timeout: timedelta) -> None:
        self._graph = Graph(self._config, self._credentials, timeout, lambda said: self.signal(said))

    def _fields_of(self, operation: str) -> tuple[str, ...]:
        """What is told of a person: of one who is to go, what a mirror still knows, and only what identifies."""
        if operation != "delete":
            return self._target.fields
        known = self._target.fields if self._target.mode == "delete" else self._target.key
        return tuple(name for name in known if SCHEMA[name].identifies)

    async def _audience(self, name: str) -> None:
        """Look at an audience (raises DestinationError if there is none, or it may not be changed)."""
        if not name.isdecimal():
            raise DestinationError(f"object {name!r} is no id of a custom audience; Ads Manager shows it as a number")
        found = await self._opened.get(f"/{name}", {"fields": "id,subtype,operation_status"})
        status = found.get("operation_status")
        if isinstance(status, dict) and status.get("code") == FLAGGED:
            raise DestinationError(
                f"custom audience {name} is restricted (operation_status {FLAGGED}); appeal in Audience Manager, or "
                "make a new audience"
            )

    async def _send(self, operation: str, fields: Sequence[str], people: list[list[str]]) -> Outcome:
        """Tell Meta of people; what became of all of them (raises as `write`)."""
        payload, search = _payload(fields, people), self._config.on_invalid == "search"
        replacement = self._replacement
        if replacement is None:
            method = "DELETE" if operation == "delete" else "POST"
            said = await self._call(method, "users", {"payload": payload})
            return outcome(counts(said), len(people), search=search)
        async with replacement.turn:
            said = await self._call("POST", "usersreplace", {"payload": payload, "session": replacement.session()})
            before, now = replacement.counts, counts(said)
            replacement.counts = now or before
            found = outcome(now, len(people), before=before, search=search)
            if found == ACKNOWLEDGED:
                replacement.sent = people[-1]
            return found

    async def _call(self, method: str, edge: str, body: dict[str, Any]) -> Any:
        return await self._opened.send(method, f"/{self._target.object}/{edge}", body)

    async def _has_ended(self, replacement: Replacement) -> bool:
        """Whether Meta ended the session although its reply to the last batch was lost."""
        parameters = {"session_id": str(replacement.id), "fields": "session_id,end_time"}
        found = await self._opened.get(f"/{self._target.object}/sessions", parameters)
        sessions = found.get("data", [])
        return any(each.get("end_time") not in (None, "", "0", 0) for each in sessions)


def _check_fields(target: Target) -> None:
    """Raise DestinationError for a mapping that Meta has no use for."""
    for name in target.fields:
        if name not in SCHEMA:
            raise DestinationError(f"Meta has no field {name!r} of a person; map to one of {', '.join(SCHEMA)}")
    if not any(SCHEMA[name].identifies for name in target.key):
        raise DestinationError(f"mappings: {', '.join(target.key)} identifies nobody; let the key be EMAIL or the like")


def _person_or_refusal(payload: bytes, fields: Sequence[str]) -> list[str] | Rejected:
    try:
        return person(orjson.loads(payload), fields)
    except Unusable as error:
        return Rejected("DESTINATION_VALIDATION", str(error))


def _payload(fields: Sequence[str], people: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"schema": list(fields), "is_raw": True, "data": people}


def _catalog() -> list[FieldInfo]:
    return [FieldInfo(name, field.type) for name, field in SCHEMA.items()]
