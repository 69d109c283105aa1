"""Writes JSON records to an HTTP endpoint, and reads what became of each record from the reply."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from retl.destinations.base import Batch, Destination, LoginRefused, Outcome, RateSignal, Rejected, Target, TryLater
from retl.destinations.http.calls import Call, call_of
from retl.destinations.http.config import HttpConfig, HttpCredentials, http_capabilities
from retl.destinations.http.reply import Reader
from retl.destinations.web.rates import rate_signal, retry_after
from retl.destinations.web.transport import Reply, Request, Transport
from retl.destinations.web.words import Redaction
from retl.errors import DestinationError, DestinationUnavailable
from retl.runspec.connectors import ConnectorConfig, ConnectorCredentials

CHECK_TIMEOUT = timedelta(seconds=30)


class HttpDestination(Destination):
    """An HTTP endpoint that takes JSON."""

    name = "http"

    def __init__(self, config: ConnectorConfig, credentials: ConnectorCredentials | None) -> None:
        assert isinstance(config, HttpConfig)
        assert credentials is None or isinstance(credentials, HttpCredentials)
        self.capabilities = http_capabilities(config)
        self._config = config
        self._credentials = credentials or HttpCredentials()
        self._redact = Redaction(_secrets(self._credentials))
        self._transport: Transport | None = None

    async def open(self, target: Target) -> None:
        config = self._config
        self._key = _key_fields(config, target)
        self._target = target
        self._calls: dict[str, tuple[Call, Reader]] = {}
        for operation in ("upsert", "delete") if target.mode == "mirror" else (target.mode,):
            self._call_of(operation)
        self._connect(target.timeout)
        if config.check_url is not None:
            await self._check(config.check_url)

    async def server(self) -> str:
        if self._config.check_url is not None:
            self._connect(CHECK_TIMEOUT)
            await self._check(self._config.check_url)
        return ""

    def _connect(self, timeout: timedelta) -> None:
        self._transport = Transport(timeout, headers=self._headers(), redact=self._redact)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        assert batch.payloads is not None
        call, reader = self._call_of(batch.operation)
        try:
            request = call.request(batch)
        except ValueError as error:
            return [Rejected("DESTINATION_VALIDATION", str(error))]
        reply = await self._send(call.name, call.method, request)
        now = datetime.now(UTC)
        if signal := _signal(reply, now):
            self.signal(signal)
        return reader.outcomes(reply, batch.payloads, now)

    async def close(self) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()

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
                    redact=self._redact,
                    operation=operation,
                    of_record=call.of_record,
                    repeatable=operation in self.capabilities.repeatable,
                ),
            )
        return self._calls[operation]

    async def _check(self, url: str) -> None:
        where = Call("GET", url, "", (b"", b""), None).name
        try:
            reply = await self._send(where, "GET", Request(url, {}, None))
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        if reply.status in (401, 403):
            raise LoginRefused(f"{where} refused the credentials with status {reply.status}")
        if reply.status >= 500:
            raise DestinationUnavailable(f"{where} answered {reply.status}")
        if not 200 <= reply.status < 300:
            raise DestinationError(f"{where} answered {reply.status}; correct config.checkUrl")

    async def _send(self, where: str, method: str, request: Request) -> Reply:
        assert self._transport is not None, "open comes first"
        return await self._transport.send(where, method, request)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
        }
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


def _signal(reply: Reply, now: datetime) -> RateSignal | None:
    """What a reply says of the rate; one that was refused for it says at least when to come back."""
    signal = rate_signal(reply.headers, now)
    wait = retry_after(reply.headers, now) if reply.status == 429 else None
    return signal if wait is None else replace(signal or RateSignal(), remaining=0, reset=wait)


def _secrets(login: HttpCredentials) -> list[str]:
    """What must never be seen in a message."""
    token, username, password = (
        value.get_secret_value() if value else "" for value in (login.token, login.username, login.password)
    )
    bearer = f"Bearer {token}" if token else ""
    return [token, bearer, password, f"{username}:{password}" if password else ""]


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
