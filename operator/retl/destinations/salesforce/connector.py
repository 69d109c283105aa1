"""Writes records of one object of a Salesforce org, as collections or as jobs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from retl.destinations.base import (
    Batch,
    Batching,
    Destination,
    FieldInfo,
    JobResults,
    JobStatus,
    LookupRequest,
    Outcome,
    Target,
)
from retl.destinations.salesforce.api import Api
from retl.destinations.salesforce.bulk import Jobs
from retl.destinations.salesforce.collections import Collections
from retl.destinations.salesforce.config import SalesforceConfig, SalesforceCredentials, salesforce_capabilities
from retl.destinations.salesforce.objects import SObject
from retl.destinations.salesforce.records import same
from retl.errors import DestinationError
from retl.runspec.catalog import CatalogObject
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)


class Salesforce(Destination):
    """One org."""

    name = "salesforce"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, SalesforceConfig)
        assert isinstance(credentials, SalesforceCredentials)
        self.capabilities = salesforce_capabilities(config)
        self._config = config
        self._credentials = credentials
        self._api: Api | None = None
        self._jobs: Jobs | None = None
        self._described: dict[str, SObject] = {}

    async def open(self, target: Target) -> None:
        api = self._connect(target.timeout)
        self._target = target
        self._sobject = await api.describe(target.object)
        self._sobject.check(target)
        key = self._sobject.key_for(target)
        self._collections = Collections(api, self._sobject, key, lock_retries=self._config.lock_retries)
        self._jobs = Jobs(api, self._sobject, key, target.fields) if key else None

    def batching(self, operation: str, rows: int) -> Batching:
        config = self._config
        by_job = self._jobs is not None and self._jobs.can(operation)
        if not by_job or config.bulk_from is None or rows < config.bulk_from:
            return Batching(config.collection_records, config.collection_records)
        return Batching(config.bulk_records, config.bulk_records, config.bulk_bytes, asynchronous=True)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        return await self._collections.write(batch)

    def marks(self, batch: Batch) -> Sequence[str]:
        return self._with_jobs.marks(batch)

    async def submit(self, batch: Batch, keep: Callable[[str], Awaitable[None]]) -> str:
        return await self._with_jobs.submit(batch, keep)

    async def poll(self, handle: str) -> JobStatus:
        return await self._with_jobs.poll(handle)

    async def collect(self, handle: str) -> JobResults:
        return await self._with_jobs.collect(handle)

    async def fields(self) -> Sequence[FieldInfo] | None:
        return self._sobject.described(self._target.mode)

    async def server(self) -> str:
        api = self._connect(CHECK_TIMEOUT)
        await api.ask("")
        return f"Salesforce API {api.version}"

    async def objects(self) -> Sequence[CatalogObject] | None:
        listed = await self._opened.ask("/sobjects")
        return [CatalogObject(name=str(each["name"])) for each in listed.get("sobjects", ()) if _writable(each)]

    async def describe(self, name: str, mode: str) -> Sequence[FieldInfo] | None:
        return (await self._opened.describe(name)).described(mode)

    async def lookup(self, request: LookupRequest, values: Sequence[bytes]) -> Mapping[bytes, bytes]:
        sobject = self._described.get(request.object) or await self._opened.describe(request.object)
        self._described[request.object] = sobject
        field = sobject.fields.get(request.match_field)
        if field is None or request.return_field not in sobject.fields:
            missing = request.match_field if field is None else request.return_field
            raise DestinationError(f"{request.object} has no field {missing!r}; correct the mapping's lookup")
        wanted = {value: orjson.loads(value) for value in values}
        found = await self._opened.found(request.object, field, list(wanted.values()), [request.return_field])
        records = {value: found.get(same(plain, field)) for value, plain in wanted.items()}
        return {
            value: orjson.dumps(records_of_value[0].get(request.return_field))
            for value, records_of_value in records.items()
            if records_of_value
        }

    async def close(self) -> None:
        if self._api is not None:
            api, self._api = self._api, None
            await api.close()

    def _connect(self, timeout: timedelta) -> Api:
        self._api = Api(self._config, self._credentials, timeout, lambda said: self.signal(said))
        return self._api

    @property
    def _opened(self) -> Api:
        assert self._api is not None, "open, or server, comes first"
        return self._api

    @property
    def _with_jobs(self) -> Jobs:
        assert self._jobs is not None, "records without a key travel in collections"
        return self._jobs


def _writable(said: Mapping[str, Any]) -> bool:
    return bool(said.get("createable") or said.get("updateable") or said.get("deletable"))
