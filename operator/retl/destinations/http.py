"""Writes batches of JSON records to an HTTP endpoint, and reads what became of each record from the reply."""

import asyncio
import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from retl import __version__
from retl.destinations.base import Batch, Destination, LoginRefused, Outcome, Target, TryLater
from retl.destinations.configs import HttpConfig, HttpCredentials, http_capabilities
from retl.destinations.reply import Reader, Reply
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

MAX_CONNECTIONS = 64
"""As many as a sync may have calls in flight."""


class HttpDestination(Destination):
    """An HTTP endpoint that takes JSON."""

    name = "http"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, HttpConfig)
        assert credentials is None or isinstance(credentials, HttpCredentials)
        self.capabilities = http_capabilities(config)
        self._config = config
        self._credentials = credentials or HttpCredentials()
        self._client: httpx.AsyncClient | None = None
        head = b"[" if config.envelope is None else b"{" + orjson.dumps(config.envelope) + b":["
        self._frame = (head, b"]" if config.envelope is None else b"]}")

    async def open(self, target: Target) -> None:
        config = self._config
        self._url = config.url.replace("{object}", quote(target.object, safe=""))
        self._timeout = target.timeout.total_seconds()
        self._reader = Reader(
            endpoint=f"{config.method} {httpx.URL(self._url).copy_with(query=None, userinfo=b'')}",
            success=frozenset(config.success_statuses),
            results=config.results,
            key=_key_fields(config, target),
            redact=self._redact,
        )
        self._client = httpx.AsyncClient(
            # Three to five times the requests of httpx's own transport at 4 to 8 calls in flight, measured.
            transport=AiohttpTransport(limits=httpx.Limits(max_connections=MAX_CONNECTIONS)),
            headers=self._headers(),
            timeout=self._timeout,
            follow_redirects=False,
            trust_env=False,
        )
        if config.check_url is not None:
            await self._check(config.check_url)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        head, tail = self._frame
        reply = await self._call(self._config.method, self._url, head + b",".join(batch.payloads) + tail)
        return self._reader.outcomes(reply, batch.payloads, datetime.now(UTC))

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _check(self, url: str) -> None:
        try:
            reply = await self._call("GET", url)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        if reply.status in (401, 403):
            raise LoginRefused(f"GET {url} refused the credentials with status {reply.status}")
        if reply.status >= 500:
            raise DestinationUnavailable(f"GET {url} answered {reply.status}")
        if not 200 <= reply.status < 300:
            raise DestinationError(f"GET {url} answered {reply.status}; correct config.checkUrl")

    async def _call(self, method: str, url: str, content: bytes | None = None) -> Reply:
        assert self._client is not None, "open comes first"
        where = self._reader.endpoint
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.request(method, url, content=content)
        except (TimeoutError, httpx.ReadTimeout, httpx.ReadError) as error:
            reason = "did not answer in time" if not isinstance(error, httpx.ReadError) else "broke off its reply"
            raise TryLater("OUTCOME_UNKNOWN", f"{where} {reason}") from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise DestinationError(f"{where}: {self._redact(str(error))}; correct config.url") from None
        except httpx.TransportError as error:
            raise TryLater(
                "DESTINATION_UNAVAILABLE", f"{where} cannot be reached: {self._redact(str(error))}"
            ) from None
        except httpx.RequestError:
            raise TryLater("OUTCOME_UNKNOWN", f"{where} answered in a way that cannot be decoded") from None
        return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"reverse-etl-operator/{__version__}"}
        headers |= self._config.headers
        login = self._credentials
        if login.token is not None:
            token = login.token.get_secret_value()
            name = self._config.token_header
            headers[name] = f"Bearer {token}" if name.lower() == "authorization" else token
        elif login.username is not None and login.password is not None:
            pair = f"{login.username.get_secret_value()}:{login.password.get_secret_value()}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _redact(self, text: str) -> str:
        for secret in (self._credentials.token, self._credentials.password):
            if secret is not None and (value := secret.get_secret_value()):
                text = text.replace(value, "…")
        return text


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
