"""How a connector says who it is: fixed headers, or a token that is fetched, shared by all calls and renewed in time.

Tokens follow OAuth 2.0 (RFC 6749 client credentials and refresh token, RFC 7523 JWT bearer).
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from retl.destinations.base import LoginRefused, TryLater
from retl.destinations.web.rates import retry_after
from retl.destinations.web.transport import Reply, Request
from retl.destinations.web.words import Redaction, message, parsed, printable
from retl.errors import InvalidInput

EARLY = 60.0
"""Seconds before its end that a token is renewed, or a tenth of its life if that is less."""
ERROR = re.compile(r"[\w.:/-]{1,100}", re.ASCII)
"""What servers call a kind of error, as `invalid_client`; everything else is words, which may repeat anything."""

SECRET = ("assertion", "client_secret", "refresh_token")
"""Fields of a request for a token that an endpoint may repeat, and nobody may see."""

Send = Callable[[str, str, Request], Awaitable[Reply]]
"""Makes a call, as `Transport.send`."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        fresh_until: on the clock of time.monotonic; None if nobody said.
        said: the whole answer, for what vendors put beside it, such as Salesforce's instance_url.
    """

    value: str = field(repr=False)
    fresh_until: float | None = None
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Login(Protocol):
    """Says who it is in each call."""

    async def headers(self) -> Mapping[str, str]:
        """Headers of the next call (raises as `Destination.write`)."""

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401: whether there are other headers now than those that were refused."""

    def secrets(self) -> Sequence[str]:
        """What must never be seen in a message, as of now."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Headers that stay as they are: an API key, basic login, a token of a private app."""

    of: Mapping[str, str] = field(repr=False)
    hidden: Sequence[str] = field(repr=False)

    async def headers(self) -> Mapping[str, str]:
        """Those headers."""
        return self.of

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """There is nothing to renew."""
        return False

    def secrets(self) -> Sequence[str]:
        """Those that were given."""
        return self.hidden


class Bearer:
    """A token in the Authorization header. Whoever needs one first fetches it, and all others wait for that.

    Args:
        fetch: fetches a token (raises LoginRefused, TryLater).
        hidden: the secrets that it is fetched with.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Token]], hidden: Sequence[str]) -> None:
        self._fetch = fetch
        self._hidden = hidden
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def token(self) -> Token:
        """One that is fresh."""
        async with self._lock:
            held = self._token
            if held is None or (held.fresh_until is not None and time.monotonic() >= held.fresh_until):
                self._token = held = await self._fetched()
            return held

    async def _fetched(self) -> Token:
        """A new token (raises LoginRefused, without secrets that the endpoint repeats; TryLater)."""
        try:
            return await self._fetch()
        except LoginRefused as refused:
            hide = Redaction(self._hidden)
            raise LoginRefused(printable(hide(str(refused))), said=printable(hide(refused.said))) from None

    async def headers(self) -> Mapping[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {(await self.token()).value}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Fetch another token, unless another call has done so since."""
        async with self._lock:
            if self._token is not None and refused.get("Authorization") == f"Bearer {self._token.value}":
                self._token = None
        return await self.headers() != refused

    def secrets(self) -> Sequence[str]:
        """What it is fetched with, and the token itself."""
        held = [self._token.value, f"Bearer {self._token.value}"] if self._token else []
        return [*self._hidden, *held]


def grant(send: Send, where: str, url: str, form: Callable[[], Mapping[str, str]]) -> Callable[[], Awaitable[Token]]:
    """Fetches tokens from an OAuth 2.0 token endpoint. What it says when it gives none, Bearer takes the secrets from.

    Args:
        where: how messages name the call.
        form: the fields, made anew for each request: `grant_type` and what belongs to it.
    """

    async def fetch() -> Token:
        fields = form()
        content = urlencode(fields).encode()
        request = Request(url, {"Content-Type": "application/x-www-form-urlencoded"}, content)
        try:
            reply = await send(where, "POST", request)
        except TryLater as later:  # fetching a token twice does no harm
            raise TryLater("DESTINATION_UNAVAILABLE", later.message, later.retry_after) from None
        said = parsed(reply.body)
        if reply.status in (408, 425, 429) or reply.status >= 500:
            raise TryLater(
                "RATE_LIMIT" if reply.status == 429 else "DESTINATION_UNAVAILABLE",
                f"{where} answered {reply.status}",
                retry_after(reply.headers, datetime.now(UTC)),
            )
        if not 200 <= reply.status < 300 or not isinstance(said, dict) or not said.get("access_token"):
            hide = Redaction(fields[name] for name in SECRET if name in fields)
            error, description = (
                (said.get("error"), said.get("error_description")) if isinstance(said, dict) else ("", "")
            )
            named = f" ({hide(error)})" if isinstance(error, str) and ERROR.fullmatch(error) else ""
            words = printable(
                hide(description if isinstance(description, str) and description else message(reply.body))
            )
            raise LoginRefused(
                f"{where} gave no token: status {reply.status}{named}; check the Secret",
                said=f": {words}" if words else "",
            )
        return Token(str(said["access_token"]), _fresh_until(said.get("expires_in")), said)

    return fetch


def signed_jwt(key_pem: str, claims: Mapping[str, Any], header: Mapping[str, str] | None = None) -> str:
    """A JWT signed with RS256 (RFC 7515, 7518).

    Args:
        key_pem: RSA private key in PEM.
    Raises:
        InvalidInput: it is no such key.
    """
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    except (ValueError, TypeError):
        raise InvalidInput(
            "the private key is no unencrypted RSA key in PEM; put it into the Secret as it is"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidInput("the private key is no RSA key; RS256 needs one")
    parts = [{"alg": "RS256", "typ": "JWT", **(header or {})}, dict(claims)]
    signing = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = key.sign(signing, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signing, _base64url(signature))).decode()


def _fresh_until(expires_in: object) -> float | None:
    if not isinstance(expires_in, int | float | str):
        return None
    try:
        seconds = float(expires_in)
    except ValueError:
        return None
    return time.monotonic() + seconds - min(EARLY, seconds / 10)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
