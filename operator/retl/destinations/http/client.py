"""Calls to one endpoint: logged in, signed, over TLS as configured, and what replies say of the rate passed on."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

from retl.destinations.base import RateSignal
from retl.destinations.http.access import HttpCredentials, HttpOAuth2
from retl.destinations.http.calls import endpoint_name, with_query
from retl.destinations.http.config import HttpConfig
from retl.destinations.http.failures import ended
from retl.destinations.http.rules import means
from retl.destinations.http.templates import OF_TEXT
from retl.destinations.web.login import Bearer, Fixed, Login, grant
from retl.destinations.web.rates import rate_signal, retry_after
from retl.destinations.web.signature import Signature, signing_key
from retl.destinations.web.tls import tls_context
from retl.destinations.web.transport import Reply, Request, Transport
from retl.destinations.web.words import Redaction, parsed
from retl.errors import DestinationError, InvalidInput


class Client:
    """Connections to one endpoint.

    Args:
        signal: is told what replies say of the rate.
    Raises:
        InvalidInput: a setting needs a key that the Secret does not have, or one that is none.
    """

    def __init__(
        self,
        config: HttpConfig,
        credentials: HttpCredentials,
        timeout: timedelta,
        signal: Callable[[RateSignal], None],
    ) -> None:
        self._signature = _signature(config, credentials)
        self._query = {config.token_query: credentials.plain("token")} if config.token_query else {}
        self._headers = {name: held for name, held in config.headers.items() if not OF_TEXT.search(held)}
        self._rules = config.rules
        self._signal = signal
        self._login = self._login_of(config, credentials)
        self._hidden: tuple[str, ...] = ()
        self._redaction = Redaction(())
        context = tls_context(
            config.tls.minimum_version,
            authorities=credentials.plain("ca_certificate"),
            certificate=credentials.plain("client_certificate"),
            key=credentials.plain("client_key"),
        )
        self._transport = Transport(timeout, headers={}, redact=self.redact, verify=context)

    def redact(self, text: str) -> str:
        """The text without secrets, those included that were fetched."""
        secrets = tuple(self._login.secrets())
        if secrets != self._hidden:
            self._hidden, self._redaction = secrets, Redaction(secrets)
        return self._redaction(text)

    async def log_in(self) -> None:
        """Fetch a token, if one is needed (raises LoginRefused, TryLater, DestinationError)."""
        await self._login.headers()

    async def send(self, where: str, method: str, request: Request) -> Reply:
        """Make a call, once more with a new token if the first was refused (raises as `Transport.send`, LoginRefused).

        Args:
            where: how messages name the call.
        """
        login = await self._login.headers()
        reply = await self._sent(where, method, replace(request, headers={**request.headers, **login}))
        if reply.status == 401 and await self._login.renew(login):
            login = await self._login.headers()
            reply = await self._sent(where, method, replace(request, headers={**request.headers, **login}))
        return reply

    async def read(
        self,
        where: str,
        url: str,
        method: str = "GET",
        content: bytes | None = None,
        *,
        setting: str,
        may_miss: bool = False,
    ) -> Reply:
        """Read something that is no record's matter; a reply of 2xx.

        Args:
            where: how messages name the call.
            setting: what to correct.
            may_miss: a reply of 404 or 410 is one, too.
        Raises:
            TryLater, LoginRefused, DestinationError: as `Destination.write`.
        """
        headers = {"Accept": "application/json", **self._headers}
        if content is not None:
            headers["Content-Type"] = "application/json"
        reply = await self.send(where, method, Request(url, headers, content))
        now, status = datetime.now(UTC), reply.status
        verdict = means(self._rules, "reply", status, parsed(reply.body)) if self._rules else None
        if error := ended(verdict, reply, where, self.redact, now):
            raise error
        if not 200 <= status < 300 and not (may_miss and status in (404, 410)):
            raise DestinationError(f"{where} answered {status}; correct {setting}")
        if not reply.whole:
            raise DestinationError(f"{where} answered with more than can be read; correct {setting}")
        return reply

    async def close(self) -> None:
        """Release the connections; safe to call twice."""
        await self._transport.close()

    async def _sent(self, where: str, method: str, request: Request) -> Reply:
        if self._query:
            request = replace(request, url=with_query(request.url, self._query))
        now = datetime.now(UTC)
        if self._signature is not None:
            request = replace(request, headers={**request.headers, **self._signature.headers(method, request, now)})
        reply = await self._transport.send(where, method, request)
        if (signal := _said_of_rate(reply, datetime.now(UTC))) is not None:
            self._signal(signal)
        return reply

    def _login_of(self, config: HttpConfig, credentials: HttpCredentials) -> Login:
        hidden = _secrets(credentials)
        if config.oauth2 is not None:
            return self._fetched(config.oauth2, credentials, hidden)
        if token := credentials.plain("token"):
            name = config.token_header
            value = f"Bearer {token}" if name.lower() == "authorization" else token
            return Fixed({} if config.token_query else {name: value}, hidden)
        if config.token_query:
            raise InvalidInput("config.tokenQuery needs the key token in the Secret")
        if credentials.password is not None:
            return Fixed(
                {"Authorization": _basic(credentials.plain("username"), credentials.plain("password"))}, hidden
            )
        return Fixed({}, hidden)

    def _fetched(self, oauth2: HttpOAuth2, credentials: HttpCredentials, hidden: Sequence[str]) -> Login:
        if credentials.client_id is None:
            raise InvalidInput("config.oauth2 needs the keys client_id and client_secret in the Secret")
        form = {"grant_type": "client_credentials", **oauth2.parameters}
        if oauth2.scope:
            form["scope"] = oauth2.scope
        headers = {}
        if oauth2.client == "header":
            # As forms write them, says RFC 6749, 2.3.1.
            name, secret = (quote_plus(credentials.plain(key)) for key in ("client_id", "client_secret"))
            headers["Authorization"] = _basic(name, secret)
        else:
            form |= {"client_id": credentials.plain("client_id"), "client_secret": credentials.plain("client_secret")}

        async def send(where: str, method: str, request: Request) -> Reply:
            return await self._transport.send(where, method, replace(request, headers={**request.headers, **headers}))

        fetch = grant(send, endpoint_name("POST", oauth2.token_url), oauth2.token_url, lambda: form)
        return Bearer(fetch, hidden)


def _signature(config: HttpConfig, credentials: HttpCredentials) -> Signature | None:
    settings = config.signature
    if settings is None:
        return None
    if credentials.signing_key is None:
        raise InvalidInput("config.signature needs the key signing_key in the Secret")
    return Signature(
        signing_key(credentials.plain("signing_key"), settings.key),
        settings.header,
        settings.value,
        settings.content,
        settings.algorithm,
        settings.encoding,
        settings.timestamp_header,
    )


def _said_of_rate(reply: Reply, now: datetime) -> RateSignal | None:
    """What a reply says of the rate; one that was refused for it says at least when to come back."""
    signal = rate_signal(reply.headers, now)
    wait = retry_after(reply.headers, now) if reply.status == 429 else None
    return signal if wait is None else replace(signal or RateSignal(), remaining=0, reset=wait)


def _basic(name: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


def _secrets(credentials: HttpCredentials) -> list[str]:
    """What must never be seen in a message."""
    hidden = [credentials.plain(name) for name in ("token", "password", "client_secret", "signing_key")]
    if token := credentials.plain("token"):
        hidden.append(f"Bearer {token}")
    for name, secret in (("username", "password"), ("client_id", "client_secret")):
        if credentials.plain(secret):
            hidden.append(f"{credentials.plain(name)}:{credentials.plain(secret)}")
    return hidden
