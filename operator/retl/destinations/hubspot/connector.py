"""Writes records of HubSpot's CRM, up to 100 in a call; the reply speaks of each by its trace id."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from retl.destinations.base import (
    ACKNOWLEDGED,
    Batch,
    BatchRejected,
    Destination,
    FieldInfo,
    LookupRequest,
    Outcome,
    Rejected,
    Target,
    TryLater,
    Unknown,
)
from retl.destinations.hubspot.api import Api
from retl.destinations.hubspot.associate import REFUSED, Associations
from retl.destinations.hubspot.catalog import STANDARD, check_fields, fields_of, key_of, link_of, links_of, unique_of
from retl.destinations.hubspot.config import HubSpotConfig, HubSpotCredentials, hubspot_capabilities
from retl.destinations.hubspot.errors import body_of, call_failure, problem_of, rate, without_values
from retl.destinations.hubspot.records import RECORD_ID, Link, Record, input_of, record_of, same, text
from retl.destinations.hubspot.results import Reader, found_ids, missing, not_archived
from retl.destinations.web.login import Bearer, Fixed, Login, grant
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.catalog import CatalogField, CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)
ABSENT, HIDDEN = frozenset({400, 404}), frozenset({403, 404})
"""Statuses of an object that there is not, and of one that the app may not see."""
VERBS = {"upsert": "upsert", "insert": "create", "append": "create", "update": "update"}


class HubSpot(Destination):
    """An account of HubSpot."""

    name = "hubspot"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, HubSpotConfig)
        assert isinstance(credentials, HubSpotCredentials)
        self.capabilities = hubspot_capabilities(config)
        self._config = config
        self._credentials = credentials
        self._api = Api(config.api_version)
        self._zone: tzinfo = UTC
        self._service: Service | None = None

    async def open(self, target: Target) -> None:
        await self._connect(target.timeout)
        self._target = target
        properties = await self._properties(target.object)
        self._fields = fields_of(properties)
        check_fields(target, self._fields)
        self._key = key_of(target, unique_of(target.object, properties))
        self._links = {name: await self._link(name) for name in links_of(target)}
        self._associations = Associations(
            self._api_service, self._api, target.object, self._links, self._config.max_associations
        )

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        records = [record_of(payload, self._key) for payload in batch.payloads]
        refused = _unsendable(records, self._key)
        sent = {place: record for place, record in enumerate(records) if place not in refused}
        if not sent:
            written = []
        elif batch.operation == "delete":
            written = await self._archive(sent)
        else:
            written = await self._send(batch.operation, sent)
        outcomes = refused | dict(zip(sent, written, strict=True))
        return [outcomes[place] for place in range(batch.size)]

    async def fields(self) -> Sequence[FieldInfo]:
        return self._fields

    async def server(self) -> str:
        account = await self._connect(CHECK_TIMEOUT)
        said = [str(account[name]) for name in ("accountType", "dataHostingLocation") if account.get(name)]
        return ", ".join([f"account {account.get('portalId', 'unknown')}", *said])

    async def objects(self) -> Sequence[CatalogObject]:
        found = []
        for name in STANDARD:
            said = await self._asked(self._api.properties(name), HIDDEN)
            if said is not None:  # of what the app may not see, nothing is listed
                found.append(_listed(name, fields_of(_results(said))))
        for schema in _results(await self._asked(self._api.schemas, HIDDEN)):
            name = str(schema.get("fullyQualifiedName") or schema.get("objectTypeId"))
            found.append(
                _listed(name, fields_of(schema.get("properties") or (), schema.get("requiredProperties") or ()))
            )
        return found

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo]:
        required: Sequence[str] = ()
        if name not in STANDARD:
            schema = await self._asked(self._api.schema(name), HIDDEN | ABSENT)
            required = (schema or {}).get("requiredProperties") or ()
        return fields_of(await self._properties(name), required)

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        match, wanted, most = request.match_field, request.return_field, self._config.max_records
        asked: dict[str, list[bytes]] = {}
        for value in values:
            asked.setdefault(same(text(orjson.loads(value))), []).append(value)
        found: dict[bytes, bytes] = {}
        for at in range(0, len(asked), most):
            said = await self._read(request.object, match, list(asked)[at : at + most], wanted)
            for result in _results(said):
                held = {RECORD_ID: result.get("id"), **(result.get("properties") or {})}
                if held.get(wanted) is not None:
                    answer = orjson.dumps(held[wanted])
                    found |= dict.fromkeys(asked.get(same(str(held.get(match))), ()), answer)
        return found

    async def close(self) -> None:
        if self._service is not None:
            await self._service.close()

    @property
    def _api_service(self) -> Service:
        assert self._service is not None, "open or server comes first"
        return self._service

    async def _connect(self, timeout: timedelta) -> Mapping[str, Any]:
        """Log in; what HubSpot says of the account."""
        await self.close()
        service = Service(
            self._config.base_url,
            self._login(),
            timeout=timeout,
            judge=lambda reply: call_failure(reply, self._zone, datetime.now(UTC), service.redact),
            signal=lambda said: self.signal(said),
            read_rate=rate,
        )
        self._service = service
        account = await service.ask("GET", self._api.account)
        account = account if isinstance(account, dict) else {}
        try:
            self._zone = ZoneInfo(str(account.get("timeZone") or "UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            self._zone = UTC
        return account

    def _login(self) -> Login:
        credentials = self._credentials
        if credentials.access_token is not None:
            token = credentials.access_token.get_secret_value()
            return Fixed({"Authorization": f"Bearer {token}"}, [token])
        assert credentials.client_id is not None
        assert credentials.client_secret is not None
        assert credentials.refresh_token is not None
        form = {
            "grant_type": "refresh_token",
            "client_id": credentials.client_id.get_secret_value(),
            "client_secret": credentials.client_secret.get_secret_value(),
            "refresh_token": credentials.refresh_token.get_secret_value(),
        }
        url = f"{self._config.base_url.rstrip('/')}{self._api.token}"
        fetch = grant(lambda *call: self._api_service.send(*call), f"POST {url}", url, lambda: form)
        return Bearer(fetch, [form["client_secret"], form["refresh_token"]])

    async def _properties(self, name: str) -> list[dict[str, Any]]:
        said = await self._asked(self._api.properties(name), ABSENT)
        if said is None:
            raise DestinationError(
                f"object: HubSpot has no object {name!r}; a custom object is called by its full name, p123_car, or its "
                "type, 2-123"
            )
        return _results(said)

    async def _asked(self, path: str, nothing: frozenset[int]) -> Mapping[str, Any] | None:
        """What HubSpot says before anything is written; None if it answers with a status that means there is nothing.

        Raises:
            DestinationUnavailable, LoginRefused.
        """
        try:
            reply = await self._api_service.call("GET", path, refused_as_reply=nothing)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        return body_of(reply) if 200 <= reply.status < 300 else None

    async def _link(self, name: str) -> Link:
        labelled = self._config.associations.get(name)
        other = labelled.object if labelled else name
        said = await self._api_service.ask("GET", self._api.labels(self._target.object, other))
        return link_of(name, labelled, _results(said))

    async def _send(self, operation: str, records: Mapping[int, Record]) -> list[Outcome]:
        """Write records; their outcomes in order."""
        inputs = [input_of(operation, place, record, self._key, self._links) for place, record in records.items()]
        reply = await self._batch(self._target.object, VERBS[operation], inputs)
        reader = Reader(operation, self._key, self._api_service.redact)
        if reply.status in REFUSED:
            return [self._whole(reply, reader, records)]
        answers = reader.answers(body_of(reply), records)
        if operation in ("insert", "append"):
            return answers.outcomes
        unlinked = await self._associations.make(records, answers.ids)
        return [unlinked.get(place, outcome) for place, outcome in zip(records, answers.outcomes, strict=True)]

    def _whole(self, reply: Reply, reader: Reader, records: Mapping[int, Record]) -> Outcome:
        """The outcome of the only record of a call that was refused; of several, one must be looked for."""
        problem = problem_of(body_of(reply))
        if len(records) == 1:
            [record] = records.values()
            return reader.outcome(problem, record)
        values = [value for record in records.values() for value in record.properties.values()]
        raise BatchRejected(problem.code, self._api_service.redact(without_values(problem.words, values)))

    async def _archive(self, records: Mapping[int, Record]) -> list[Outcome]:
        """Archive records, which takes their ids; those that are not there are gone already."""
        assert self._key is not None
        ids = {place: record.key for place, record in records.items()}
        gone: set[str] = set()
        if self._key != RECORD_ID:
            said = await self._read(self._target.object, self._key, list(ids.values()), self._key)
            found = found_ids(said, self._key)
            gone = missing(said)
            ids = {place: found[same(key)] for place, key in ids.items() if same(key) in found}
        kept: dict[int, Outcome] = {}
        if ids:
            inputs = [{"id": record_id} for record_id in ids.values()]
            reply = await self._batch(self._target.object, "archive", inputs)
            if reply.status in REFUSED:
                reader = Reader("delete", self._key, self._api_service.redact)
                return [self._whole(reply, reader, records)]
            kept = not_archived(body_of(reply), ids, self._api_service.redact)
        unclear = Unknown("HubSpot's answer does not say whether there is such a record")
        return [
            kept.get(place, ACKNOWLEDGED) if place in ids or same(record.key) in gone else unclear
            for place, record in records.items()
        ]

    async def _read(self, name: str, key: str, keys: Sequence[str], wanted: str) -> Mapping[str, Any]:
        """What HubSpot holds of records."""
        json: dict[str, Any] = {"inputs": [{"id": each} for each in keys], "properties": sorted({key, wanted})}
        json["propertiesWithHistory"] = []
        if key != RECORD_ID:
            json["idProperty"] = key
        reply = await self._api_service.call("POST", self._api.batch(name, "read"), json=json, refused_as_reply=REFUSED)
        if reply.status in REFUSED:
            problem = problem_of(body_of(reply))
            raise BatchRejected(problem.code, self._api_service.redact(without_values(problem.words, keys)))
        return body_of(reply)

    async def _batch(self, name: str, verb: str, inputs: Sequence[Any]) -> Reply:
        path = self._api.batch(name, verb)
        return await self._api_service.call("POST", path, json={"inputs": inputs}, refused_as_reply=REFUSED)


def _unsendable(records: Sequence[Record], key: str | None) -> dict[int, Outcome]:
    """Records that would make HubSpot refuse the whole call: without a key, or with that of one before."""
    refused: dict[int, Outcome] = {}
    seen: set[str] = set()
    for place, record in enumerate(records):
        if key is None:
            continue
        if not record.key.strip():
            refused[place] = Rejected("DESTINATION_VALIDATION", f"{key}, by which HubSpot finds the record, is empty")
        elif same(record.key) in seen:
            refused[place] = Rejected(
                "DUPLICATE_KEY", f"another record has the same {key}: HubSpot does not look at upper and lower case"
            )
        seen.add(same(record.key))
    return refused


def _listed(name: str, fields: Sequence[FieldInfo]) -> CatalogObject:
    known = [CatalogField(name=f.name, type=f.type, required=f.required, read_only=f.read_only) for f in fields]
    return CatalogObject(name=name, fields=known)


def _results(said: Any) -> list[dict[str, Any]]:
    found = said.get("results") if isinstance(said, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
