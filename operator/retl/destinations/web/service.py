"""A vendor's HTTP API as its connector sees it: calls that are logged in, and errors of the call as such told apart.

What a reply says of single records is the connector's to read; everything else that can go wrong is told here in the
words of the engine, so that one vendor's 429 is treated as any other's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from retl.destinations.base import LoginRefused, RateSignal, TryLater
from retl.destinations.web.login import Login
from retl.destinations.web.rates import rate_signal, retry_after
from retl.destinations.web.transport import MAX_REPLY, Reply, Request, Transport
from retl.destinations.web.words import Redaction, message, parsed, printable
from retl.errors import DestinationError, DestinationUnavailable

LATER_STATUSES = frozenset({408, 420, 425})

Judge = Callable[[Reply], Exception | None]
"""A vendor's own word on a reply: the error that the call as such ended with; None for what all vendors mean by it."""


class Service:
    """Calls to one vendor's API.

    Args:
        base_url: stands before paths.
        judge: is asked first what a reply that is no 2xx means.
        headers: of all calls.
        signal: is told what replies say of the rate.
        read_rate: reads the vendor's own headers; None where it has those that many have.
    """

    def __init__(
        self,
        base_url: str,
        login: Login,
        *,
        timeout: timedelta,
        judge: Judge = lambda reply: None,
        headers: Mapping[str, str] | None = None,
        signal: Callable[[RateSignal], None] = lambda signal: None,
        read_rate: Callable[[Mapping[str, str], datetime], RateSignal | None] = rate_signal,
        setting: str = "config.baseUrl",
        max_reply: int = MAX_REPLY,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.login = login
        self._judge = judge
        self._signal = signal
        self._read_rate = read_rate
        self._transport = Transport(
            timeout, headers=headers or {}, redact=self.redact, setting=setting, max_reply=max_reply
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        refused_as_reply: frozenset[int] = frozenset(),
    ) -> Reply:
        """Make a call; the reply, which is 2xx, or a 4xx that speaks of the records.

        Args:
            path: below base_url, or a whole URL.
            json: is sent as JSON.
            refused_as_reply: statuses that are never taken for the call's own failure.
        Raises:
            TryLater, LoginRefused, DestinationError: as `Destination.write`.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.base_url}{path}"
        sent = dict(headers or {})
        if json is not None:
            content, sent = orjson.dumps(json), {"Content-Type": "application/json", **sent}
        reply = await self._logged_in(method, url, content, sent)
        if not 200 <= reply.status < 300 and reply.status not in refused_as_reply:
            self._raise_for(reply, name(method, url))
        if not reply.whole:
            raise TryLater("OUTCOME_UNKNOWN", f"{name(method, url)} answered with a body that is too long to be read")
        return reply

    async def send(self, where: str, method: str, request: Request) -> Reply:
        """A call without login, such as one that fetches a token."""
        return await self._transport.send(where, method, request)

    async def ask(self, method: str, path: str, *, json: Any = None) -> Any:
        """What an API says before anything is written, as JSON.

        Raises:
            DestinationUnavailable: it cannot be reached, or is overloaded.
            LoginRefused.
            DestinationError: any other refusal, in its words.
        """
        try:
            reply = await self.call(method, path, json=json)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        if not 200 <= reply.status < 300:
            raise DestinationError(f"{name(method, self.base_url + path)} answered {reply.status}{self.words(reply)}")
        return parsed(reply.body)

    def words(self, reply: Reply) -> str:
        """What the vendor said, as `: …`, without secrets; empty if nothing in words. It may repeat values."""
        text = printable(self.redact(message(reply.body)))
        return f": {text}" if text else ""

    def redact(self, text: str) -> str:
        """The text without secrets, those included that were fetched."""
        return Redaction(self.login.secrets())(text)

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._transport.close()

    async def _logged_in(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Make the call, once more with a new token if the first was refused: such a call was not carried out."""
        login = await self.login.headers()
        reply = await self._sent(method, url, content, {**headers, **login})
        if reply.status == 401 and await self.login.renew(login):
            reply = await self._sent(method, url, content, {**headers, **await self.login.headers()})
        return reply

    async def _sent(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        reply = await self._transport.send(name(method, url), method, Request(url, headers, content))
        now = datetime.now(UTC)
        signal = self._read_rate(reply.headers, now)
        wait = retry_after(reply.headers, now) if reply.status == 429 else None
        if wait is not None:
            signal = replace(signal or RateSignal(), remaining=0, reset=wait)
        if signal is not None:
            self._signal(signal)
        return reply

    def _raise_for(self, reply: Reply, where: str) -> None:
        """Raise what the call as such ended with, if it did."""
        if (error := self._judge(reply)) is not None:
            raise error
        said, answered = self.words(reply), f"{where} answered {reply.status}"
        if reply.status in (401, 403):
            raise LoginRefused(f"{where} refused the credentials with status {reply.status}", said=said)
        if reply.status == 429 or reply.status in LATER_STATUSES or reply.status >= 500:
            raise TryLater(
                "RATE_LIMIT" if reply.status == 429 else "DESTINATION_UNAVAILABLE",
                answered,
                retry_after(reply.headers, datetime.now(UTC)),
                said=said,
            )
        if 300 <= reply.status < 400:
            raise DestinationError(f"{answered}, a redirect, and redirects are not followed; correct the URL")


def name(method: str, url: str) -> str:
    """How messages name a call: without login, query and values."""
    parts = urlsplit(url)
    return f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
