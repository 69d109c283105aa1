"""One HTTP call: made within its time, to an address that may be called, its reply read whole and unpacked.

A call that fails says whether it may have been carried out: that is what the engine needs to know.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from httpx_aiohttp import AiohttpTransport

from retl import __version__
from retl.destinations.base import TryLater
from retl.destinations.web.egress import Egress, EgressRefused, literal
from retl.errors import DestinationError

MAX_CONNECTIONS = 64
"""As many as a sync may have calls in flight."""
MAX_REPLY = 16 * 1024 * 1024
"""Bytes of a reply that are read, before and after it is unpacked."""
CONNECT_SECONDS = 10.0
ANY_ZLIB = 47
"""Window bits with which zlib takes gzip and deflate."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, besides what all of them share. No body if `content` is None."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came.

    Attributes:
        headers: names in lower case.
        whole: False if it was too long to be read to its end.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True


class Transport:
    """Connections of one connector.

    Args:
        timeout: longest wait for one call.
        headers: of all requests.
        redact: takes secrets out of what is said of a call that failed.
        egress: which addresses may be called; as the environment says if not set.
        verify: whom to trust; the machine's certificates if not set.
        setting: what to correct when the URL is wrong, for messages.
        max_reply: bytes of a reply that are read.
    """

    def __init__(
        self,
        timeout: timedelta,
        *,
        headers: Mapping[str, str],
        redact: Callable[[str], str],
        egress: Egress | None = None,
        verify: ssl.SSLContext | None = None,
        setting: str = "config.url",
        max_reply: int = MAX_REPLY,
    ) -> None:
        self._timeout = timeout.total_seconds()
        self._redact = redact
        self._egress = egress or Egress.of_environment()
        self._context = verify or httpx.create_ssl_context(trust_env=False)
        self._setting = setting
        self._max_reply = max_reply
        self._client = httpx.AsyncClient(
            # Three to five times the requests of httpx's own transport at 4 to 8 calls in flight, measured.
            transport=AiohttpTransport(client=self._session),
            headers={
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": f"reverse-etl-operator/{__version__}",
                **headers,
            },
            # Shorter than the whole call, so that nobody wonders whether a call was carried out that never began.
            timeout=httpx.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout * 0.75)),
            follow_redirects=False,
            trust_env=False,
        )

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, ssl=self._context, keepalive_timeout=5.0, resolver=_Guarded(self._egress)
            )
        )

    async def send(self, where: str, method: str, request: Request) -> Reply:
        """Make one call (raises TryLater, or DestinationError for a URL that is none or leads where none may go).

        Args:
            where: how messages name the call: without login, query and values.
        """
        try:
            url = httpx.URL(request.url)
            if url.userinfo:
                raise DestinationError(
                    f"{where}: the URL has a login in it; put that into the Secret, not {self._setting}"
                )
            # As the client itself reads it: the dots of other scripts make an address, too, such as 127。0。0。1.
            host = url.raw_host.decode()
            if (address := literal(host)) is not None:
                self._egress.check(host, address)
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(method, url, content=request.content, headers=request.headers) as response,
            ):
                body, whole = await self._body(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise DestinationError(f"{where}: {self._redact(str(error))}; correct {self._setting}") from None
        except EgressRefused as error:
            raise DestinationError(f"{where}: {error}") from None
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, zlib.error) as error:
            # The transport calls every lost connection one that timed out; what it was told says whether there was one.
            cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
            if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                unreachable = f"{where} cannot be reached: {self._redact(str(cause))}"
                raise TryLater("DESTINATION_UNAVAILABLE", unreachable.rstrip(": ")) from None
            raise TryLater("OUTCOME_UNKNOWN", f"{where} {_trouble(cause)}") from None
        return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body, whole)

    async def close(self) -> None:
        """Release the connections; safe to call twice."""
        await self._client.aclose()

    async def _body(self, response: httpx.Response) -> tuple[bytes, bool]:
        """What a reply holds, unpacked, and whether that is all of it (raises zlib.error, httpx.DecodingError)."""
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        if packing not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError(packing)
        unpack = zlib.decompressobj(ANY_ZLIB) if packing not in ("identity", "") else None
        body, read, most = bytearray(), 0, self._max_reply
        async for chunk in response.aiter_raw():
            read += len(chunk)
            body += unpack.decompress(chunk, most + 1 - len(body)) if unpack else chunk
            if max(read, len(body)) > most:
                return bytes(body[:most]), False
        if unpack and read and not unpack.eof:
            raise zlib.error
        return bytes(body), True


class _Guarded(AbstractResolver):
    """Resolves names as ever, and refuses addresses that may not be called."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._egress.check(host, each["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _trouble(cause: BaseException) -> str:
    """What happened to a call that was begun."""
    if isinstance(cause, TimeoutError):
        return "did not answer in time"
    if isinstance(cause, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return "broke off before it had answered in full"
    return "answered in a way that cannot be read"
