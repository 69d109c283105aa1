"""Puts records on a shelf, many in a call; the reply has a word on each, in order."""

from collections.abc import Sequence

from retl.destinations.base import ACKNOWLEDGED, Batch, Destination, Outcome, Rejected, Target, TryLater, Unknown
from retl.destinations.web.login import Fixed
from retl.destinations.web.service import Service
from retl.destinations.web.words import parsed, printable
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials
from retl_shelf.config import ShelfConfig, ShelfCredentials, capabilities


class Shelf(Destination):
    """One shelf."""

    name = "shelf"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, ShelfConfig)
        assert isinstance(credentials, ShelfCredentials)
        self.capabilities = capabilities(config)
        self._url = config.base_url
        self._key = credentials.api_key.get_secret_value()
        self._service: Service | None = None

    async def open(self, target: Target) -> None:
        login = Fixed({"X-Api-Key": self._key}, [self._key])
        self._target = target
        self._service = Service(self._url, login, timeout=target.timeout, signal=lambda said: self.signal(said))
        await self._service.ask("GET", "/ping")

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert self._service is not None
        assert batch.payloads is not None
        verb = "remove" if batch.operation == "delete" else "put"
        records = b"[" + b",".join(batch.payloads) + b"]"
        headers = {"Content-Type": "application/json"}
        reply = await self._service.call("POST", f"/{self._target.object}/{verb}", content=records, headers=headers)
        match parsed(reply.body):
            case {"results": list(results)}:
                return [self._outcome(each) for each in results]
        raise TryLater("OUTCOME_UNKNOWN", f"{self._url} answered {reply.status} without a list of results")

    def _outcome(self, result: object) -> Outcome:
        assert self._service is not None
        match result:
            case {"error": str(words)}:
                return Rejected("DESTINATION_VALIDATION", printable(self._service.redact(words)))
            case {}:
                return ACKNOWLEDGED
        return Unknown("the result of the record cannot be read")  # never take for written what nobody said is

    async def close(self) -> None:
        if self._service is not None:
            await self._service.close()
