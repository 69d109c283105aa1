"""Calls to one org: logged in, at one version of the API, with an eye on the org's allowance."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from retl.destinations.base import BatchRejected, RateSignal, TryLater
from retl.destinations.salesforce.config import SalesforceConfig, SalesforceCredentials
from retl.destinations.salesforce.errors import refusal, spoken
from retl.destinations.salesforce.objects import Field, SObject
from retl.destinations.salesforce.quota import Quota
from retl.destinations.salesforce.records import same
from retl.destinations.salesforce.soql import queries
from retl.destinations.web.login import Bearer, grant, signed_jwt
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable
from retl.errors import DestinationError, DestinationUnavailable

CHECK = "check config.instanceUrl, and what stands between"
JWT_SECONDS = 180
"""Salesforce takes none that lives longer."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Api:
    """The REST API of an org.

    Args:
        signal: is told what replies say of the rate.
    """

    def __init__(
        self,
        config: SalesforceConfig,
        credentials: SalesforceCredentials,
        timeout: timedelta,
        signal: Callable[[RateSignal], None],
    ) -> None:
        self.version = config.api_version
        self._root = f"/services/data/v{config.api_version}"
        self._pause = config.quota_pause
        self._quota = Quota(config.daily_reserve, config.quota_pause)
        token = f"{config.instance_url}/services/oauth2/token"
        fetch = grant(
            lambda *call: self._service.send(*call), f"POST {token}", token, lambda: _form(config, credentials)
        )
        self._service = Service(
            config.instance_url,
            Bearer(fetch, _secrets(credentials)),
            timeout=timeout,
            judge=self._refusal,
            signal=signal,
            read_rate=self._quota.heard,
            setting="config.instanceUrl",
            max_reply=2 * config.bulk_bytes,  # a job's results repeat its records
        )

    async def ask(self, path: str) -> Mapping[str, Any]:
        """What the org says before anything is written (raises as `Destination.open`)."""
        said = await self._service.ask("GET", f"{self._root}{path}")
        if not isinstance(said, Mapping):
            raise DestinationError(f"GET {self._root}{path} was answered with what is no JSON object; {CHECK}")
        return said

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        content_type: str = "application/json",
        refused_as_reply: frozenset[int] = frozenset(),
    ) -> Reply:
        """Make a call (raises as `Destination.write`).

        Args:
            refused_as_reply: statuses of replies that the caller reads; other 4xx refuse the batch.
        """
        self._quota.check()
        reply = await self._service.call(
            method,
            path if path.startswith("/services/") else f"{self._root}{path}",
            json=json,
            content=content,
            headers={"Content-Type": content_type} if content is not None else None,
            refused_as_reply=refused_as_reply,
        )
        if reply.status >= 400 and reply.status not in refused_as_reply:
            code, message = spoken(reply)
            raise BatchRejected(
                "DESTINATION_VALIDATION", self.words(f"{code}: {message}") if code else f"status {reply.status}"
            )
        return reply

    async def found(
        self, sobject: str, field: Field, values: Sequence[Any], select: Sequence[str]
    ) -> dict[str, list[Mapping[str, Any]]]:
        """Records that have one of the values in a field, by what these values have in common."""
        records: dict[str, list[Mapping[str, Any]]] = {}
        for query in queries(sobject, [*select, field.name], field, values):
            path = f"/query?q={query}"
            while path:
                page = _page(await self.call("GET", path))
                for record in page["records"]:
                    records.setdefault(same(record.get(field.name), field), []).append(record)
                path = str(page.get("nextRecordsUrl") or "")
        return records

    async def describe(self, name: str) -> SObject:
        """An object of the org (raises DestinationError if there is none)."""
        path = f"{self._root}/sobjects/{quote(name, safe='')}/describe"
        try:
            reply = await self._service.call("GET", path, refused_as_reply=frozenset({404}))
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        said = parsed(reply.body)
        if reply.status == 404:
            raise DestinationError(f"the org has no object {name!r}, or the integration user may not see it")
        if reply.status != 200 or not isinstance(said, Mapping) or not said.get("name"):
            raise DestinationError(f"GET {path} answered {reply.status} with what describes no object; {CHECK}")
        return SObject.of(said)

    def words(self, text: str) -> str:
        """What the vendor said, fit for a dead letter."""
        return printable(self.redact(text))

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return self._service.redact(text)

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._service.close()

    def _refusal(self, reply: Reply) -> Exception | None:
        return refusal(reply, self._pause, self.words)


def _page(reply: Reply) -> Mapping[str, Any]:
    """A page of a query's records: who is not in it is taken for one that there is not."""
    said = parsed(reply.body)
    if not isinstance(said, Mapping) or not isinstance(said.get("records"), list):
        raise TryLater("DESTINATION_UNAVAILABLE", "a query was answered with what is no list of records")
    if said.get("done") is False and not said.get("nextRecordsUrl"):
        raise TryLater(
            "DESTINATION_UNAVAILABLE", "a query was answered with a page that does not say where the next is"
        )
    return said


def _form(config: SalesforceConfig, credentials: SalesforceCredentials) -> dict[str, str]:
    """What a token is asked for with: see OAuth 2.0 Client Credentials Flow and JWT Bearer Flow in Salesforce Help."""
    client = credentials.client_id.get_secret_value()
    if credentials.private_key is None:
        assert credentials.client_secret is not None, "one of the two flows is set"
        secret = credentials.client_secret.get_secret_value()
        return {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    assert credentials.username is not None, "they belong together"
    claims = {
        "iss": client,
        "sub": credentials.username.get_secret_value(),
        "aud": config.audience,
        "exp": int(time.time()) + JWT_SECONDS,
    }
    return {"grant_type": JWT_BEARER, "assertion": signed_jwt(credentials.private_key.get_secret_value(), claims)}


def _secrets(credentials: SalesforceCredentials) -> list[str]:
    held: Iterable[Any] = (credentials.client_secret, credentials.private_key, credentials.client_id)
    return [each.get_secret_value() for each in held if each is not None]
