"""Writes records to an HTTP endpoint, and reads what became of each record from the reply."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from retl.destinations.base import (
    Batch,
    BatchRejected,
    Destination,
    FieldInfo,
    LookupRequest,
    Outcome,
    Rejected,
    Target,
    TryLater,
)
from retl.destinations.http.access import HttpCredentials
from retl.destinations.http.calls import Call, call_of, endpoint_name
from retl.destinations.http.client import Client
from retl.destinations.http.config import HttpConfig, http_capabilities
from retl.destinations.http.finding import fields_of, found, object_names
from retl.destinations.http.reply import Reader
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.catalog import CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)


class HttpDestination(Destination):
    """An HTTP endpoint that takes records as JSON, NDJSON or forms."""

    name = "http"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, HttpConfig)
        assert credentials is None or isinstance(credentials, HttpCredentials)
        self.capabilities = http_capabilities(config)
        self._config = config
        self._credentials = credentials or HttpCredentials()
        self._connected: Client | None = None

    async def open(self, target: Target) -> None:
        self._key = _key_fields(self._config, target)
        self._target = target
        await self._connect(target.timeout)
        self._calls: dict[str, tuple[Call, Reader]] = {}
        for operation in ("upsert", "delete") if target.mode == "mirror" else (target.mode,):
            self._call_of(operation)
        await self._check()

    async def server(self) -> str:
        await self._connect(CHECK_TIMEOUT)
        await self._check()
        return ""

    async def objects(self) -> Sequence[CatalogObject] | None:
        if (discovery := self._config.discovery) is None:
            return None
        try:
            names = await object_names(self._client, discovery.objects)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        return [CatalogObject(name=name) for name in names]

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        if (discovery := self._config.discovery) is None:
            return None
        try:
            return await fields_of(self._client, discovery.fields, name)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None

    async def fields(self) -> Sequence[FieldInfo] | None:
        return await self.describe(self._target.object, self._target.mode)

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        if self._config.lookup is None:
            raise DestinationError(
                "config.lookup says how values are looked up; set it, or remove lookup from mappings"
            )
        return await found(self._client, self._config.lookup, request, values)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        call, reader = self._call_of(batch.operation)
        try:
            request = call.request(batch)
        except ValueError as error:
            if batch.size > 1:  # the engine finds the record that lacks what a template asks for
                raise BatchRejected("DESTINATION_VALIDATION", str(error)) from None
            return [Rejected("DESTINATION_VALIDATION", str(error))]
        reply = await self._client.send(call.name, call.method, request)
        return reader.outcomes(reply, batch.payloads, datetime.now(UTC))

    async def close(self) -> None:
        if self._connected is not None:
            client, self._connected = self._connected, None
            await client.close()

    @property
    def _client(self) -> Client:
        assert self._connected is not None, "open or server comes first"
        return self._connected

    async def _connect(self, timeout: timedelta) -> None:
        await self.close()
        self._connected = Client(self._config, self._credentials, timeout, lambda signal: self.signal(signal))

    def _call_of(self, operation: str) -> tuple[Call, Reader]:
        """How an operation is called, and how its replies are read."""
        if operation not in self._calls:
            call = call_of(operation, self._config, self._target)
            self._calls[operation] = (
                call,
                Reader(
                    endpoint=call.name,
                    success=frozenset(self._config.success_statuses),
                    results=self._config.results,
                    key=self._key,
                    redact=self._client.redact,
                    operation=operation,
                    of_record=call.of_record,
                    repeatable=operation in self.capabilities.repeatable,
                    rules=self._config.rules,
                ),
            )
        return self._calls[operation]

    async def _check(self) -> None:
        url = self._config.check_url
        try:
            await self._client.log_in()
            if url is not None:
                await self._client.read(endpoint_name("GET", url), url, setting="config.checkUrl")
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None


def _key_fields(config: HttpConfig, target: Target) -> tuple[tuple[str, str], ...]:
    """Fields by which results name a record, each as it is called in the record and in the result."""
    renamed = config.results.key_field if config.results else None
    if renamed is None:
        return tuple((name, name) for name in target.key)
    if len(target.key) > 1:
        raise DestinationError(
            f"config.results.keyField names one field, but {len(target.key)} mappings have key: true "
            f"({', '.join(target.key)}); leave it out, and results are found by all of them"
        )
    return ((target.key[0], renamed),)
