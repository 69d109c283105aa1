"""Writes to a project of Iterable, many records in a call; the reply names the users that failed."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    Batching,
    BatchRejected,
    Destination,
    FieldInfo,
    Outcome,
    Rejected,
    Target,
    TryLater,
)
from retl.destinations.iterable.config import IterableConfig, IterableCredentials, iterable_capabilities
from retl.destinations.iterable.objects import IDENTITIES, Call, Items, Kind, Members, Record, Users, kind_of
from retl.destinations.iterable.results import NOBODY, body_of, call_failure, done, outcomes, problem_of
from retl.destinations.web.login import Fixed
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec import paths
from retl.runspec.catalog import CatalogField, CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)
REFUSED = frozenset({400, 404, 409, 413, 422})
"""Statuses of a call that was refused for the sake of what was in it."""


class Iterable(Destination):
    """A project of Iterable."""

    name = "iterable"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, IterableConfig)
        assert isinstance(credentials, IterableCredentials)
        self.capabilities = iterable_capabilities(config)
        self._config = config
        self._key = credentials.api_key.get_secret_value()
        self._service: Service | None = None

    async def open(self, target: Target) -> None:
        self._kind: Kind = kind_of(target, self._config)
        self._target = target
        await self._connect(target.timeout)
        self._user_fields = await self._fields_of_users()
        if isinstance(self._kind, Members) and self._kind.list_id not in await self._lists():
            raise DestinationError(f"object: Iterable has no list {self._kind.list_id}")
        if isinstance(self._kind, Items):
            await self._find_catalog(self._kind.catalog)
        if isinstance(self._kind, Users) and not self._config.create_new_fields:
            self._check_fields()

    def batching(self, operation: str, rows: int) -> Batching:
        if operation == "delete" and self._kind.deleted_singly:
            return Batching(self._config.deletes_at_once, self._config.deletes_at_once)
        return super().batching(operation, rows)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        ids = batch.ids or [""] * batch.size
        records = [self._kind.record(payload, id_) for payload, id_ in zip(batch.payloads, ids, strict=True)]
        refused = self._unsendable(records)
        sent = {place: record for place, record in enumerate(records) if place not in refused}
        done: Sequence[Outcome] = []
        if sent:
            made = self._delete if batch.operation == "delete" else self._write
            done = await made(list(sent.values()))
        found = refused | dict(zip(sent, done, strict=True))
        return [found[place] for place in range(batch.size)]

    async def fields(self) -> Sequence[FieldInfo] | None:
        return None if self._config.create_new_fields or not isinstance(self._kind, Users) else self._user_fields

    async def server(self) -> str:
        await self._connect(CHECK_TIMEOUT)
        self._user_fields = await self._fields_of_users()
        return ""

    async def objects(self) -> Sequence[CatalogObject] | None:
        """Users and lists; catalogs and events take any field, and so do users if new fields may be made."""
        if self._config.create_new_fields:
            return None
        fields = [CatalogField(name=each.name, type=each.type, read_only=each.read_only) for each in self._user_fields]
        names = ["users", *(f"lists/{each}" for each in await self._lists())]
        return [CatalogObject(name=name, fields=fields) for name in names]

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        if self._config.create_new_fields or mode == "append" or name.startswith("catalogs/"):
            return None
        if name != "users" and name not in {f"lists/{each}" for each in await self._lists()}:
            raise DestinationError(f"object: Iterable has no {name!r}; there are users, lists/ID and catalogs/NAME")
        return self._user_fields

    async def close(self) -> None:
        if self._service is not None:
            await self._service.close()

    @property
    def _api(self) -> Service:
        assert self._service is not None, "open or server comes first"
        return self._service

    async def _connect(self, timeout: timedelta) -> None:
        await self.close()
        self._service = Service(
            self._config.base_url,
            Fixed({"Api-Key": self._key}, [self._key]),
            timeout=timeout,
            judge=call_failure,
            signal=lambda said: self.signal(said),
        )

    async def _fields_of_users(self) -> list[FieldInfo]:
        """The fields of users; of objects, the outermost name."""
        said = await self._api.ask("GET", "/api/users/getFields")
        known = said.get("fields") if isinstance(said, dict) else None
        types: dict[str, str] = dict.fromkeys(IDENTITIES, "string")
        for path, kind in (known or {}).items():
            name, _, below = str(path).partition(".")
            types.setdefault(name, "object" if below else str(kind))
        return [FieldInfo(name, kind) for name, kind in types.items()]

    async def _lists(self) -> list[int]:
        """Ids of the lists that have members of their own."""
        said = await self._api.ask("GET", "/api/lists")
        found: list[Mapping[str, Any]] = (said.get("lists") or []) if isinstance(said, dict) else []
        return [int(each["id"]) for each in found if each.get("listType", "Standard") == "Standard"]

    async def _find_catalog(self, name: str) -> None:
        path = f"/api/catalogs/{quote(name, safe='')}/fieldMappings"
        try:
            reply = await self._api.call("GET", path, refused_as_reply=frozenset({400, 404}))
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        if reply.status != 200:
            raise DestinationError(f"object: Iterable has no catalog {name!r}")

    def _check_fields(self) -> None:
        known = {field.name for field in self._user_fields}
        for path in self._target.fields:
            name = str(paths.parse(path)[0])
            if name not in known:
                raise DestinationError(
                    f"mappings: users have no field {name}; correct it, or set config.createNewFields to have it made"
                )

    def _unsendable(self, records: Sequence[Record]) -> dict[int, Outcome]:
        """Records that Iterable would refuse the call for, or could not be told apart in its reply."""
        refused: dict[int, Outcome] = {}
        seen: set[str] = set()
        for place, record in enumerate(records):
            if problem := self._kind.problem(record):
                refused[place] = Rejected("DESTINATION_VALIDATION", problem)
            elif self._kind.one_each and record.same in seen:
                refused[place] = Rejected("DUPLICATE_KEY", f"another record of the call has the same {self._kind.key}")
            seen.add(record.same)
        return refused

    async def _write(self, records: Sequence[Record]) -> Sequence[Outcome]:
        reply = await self._make(self._kind.write(records))
        if reply.status in REFUSED:
            return [self._whole(reply, records)]
        if not self._kind.named_by_user:
            return [done(reply)] * len(records)
        return outcomes(body_of(reply), records, self._kind)

    async def _delete(self, records: Sequence[Record]) -> Sequence[Outcome]:
        replies = await asyncio.gather(*map(self._make, self._kind.delete(records)))
        if self._kind.deleted_singly:
            return [self._deleted(reply) for reply in replies]
        [reply] = replies
        if reply.status in REFUSED:
            return [self._whole(reply, records)]
        if not self._kind.named_by_user:
            return [done(reply)] * len(records)
        found = outcomes(body_of(reply), records, self._kind)
        return [ACKNOWLEDGED if isinstance(each, Rejected) and each.code == "NOT_FOUND" else each for each in found]

    def _deleted(self, reply: Reply) -> Outcome:
        """What became of a user that was to be deleted."""
        if reply.status not in REFUSED:
            return done(reply)
        if str(body_of(reply).get("code")) in NOBODY:
            return ACKNOWLEDGED
        return self._shown(problem_of(reply))

    def _whole(self, reply: Reply, records: Sequence[Record]) -> Outcome:
        """The outcome of the only record of a call that was refused; of several, one must be looked for."""
        problem = self._shown(problem_of(reply))
        if len(records) > 1:
            raise BatchRejected(problem.code, problem.message)
        return problem

    def _shown(self, problem: Rejected) -> Rejected:
        return Rejected(problem.code, self._api.redact(problem.message))

    async def _make(self, call: Call) -> Reply:
        reply = await self._api.call(call.method, call.path, json=call.json, refused_as_reply=REFUSED)
        if (failure := call_failure(reply)) is not None:
            raise failure  # Iterable's code counts for more than its status
        return reply
