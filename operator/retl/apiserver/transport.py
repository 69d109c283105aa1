"""HTTP exchanges with one API server: one pool of connections, bytes out and bytes in.

The Kubernetes client says how the server is reached and who we are. Its own way of making a request is not used: it
walks through every body to find models in it, and knows no streams.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient
from yarl import URL

from retl.apiserver.media import JSON
from retl.apiserver.refusals import KubeError
from retl.resources.kinds import Manifest

_USER_AGENT = "reverse-etl-operator"
_LINE_MAX = 2**21
"""Bytes that are read ahead of a stream; objects are at most 1.5 MiB."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        verb: as RBAC names it: get, list, watch, create, update, patch, delete.
        accept: media type of the answer.
        sends: media type of the body.
        headers: further ones, such as the credentials of whoever it is made for.
    """

    verb: str
    kind: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Manifest | None = None
    accept: str = JSON
    sends: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def method(self) -> str:
        """The HTTP method."""
        methods = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
        return methods.get(self.verb, "GET")

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: by their names, whatever the case.
        text: the body.
    """

    status: int
    headers: Mapping[str, str]
    text: bytes


class Transport:
    """Connections to one API server."""

    def __init__(self, client: ApiClient, timeout: timedelta, connections: int = 100) -> None:
        self._client = client
        self._timeout = timeout
        self._connections = connections
        self._opened: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def exchange(self, call: Call) -> Answer:
        """Send a request and read the whole answer, whatever its status (raises KubeError if there is none)."""
        timeout = aiohttp.ClientTimeout(total=self._timeout.total_seconds())
        try:
            async with self._send(call, timeout) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(call, error) from error

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send a request whose answer goes on: its head (with the text if it was refused), and its lines as they come.

        Raises:
            KubeError: there is no answer, or it broke off.
        """
        patience = self._timeout.total_seconds()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience)
        try:
            async with self._send(call, timeout) as response:
                text = b"" if response.ok else await response.read()
                yield Answer(response.status, response.headers, text), _lines(response.content)
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(call, error) from error

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        if self._opened:
            await self._opened.close()
        await self._client.close()  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _send(self, call: Call, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        access = self._client.configuration
        headers = {
            "Accept": call.accept,
            "Content-Type": call.sends,
            "User-Agent": _USER_AGENT,
            "Accept-Encoding": "identity",
        }
        # Asked anew each time: a ServiceAccount's token is exchanged while the process runs.
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], call.path, call.method, call.body)
        headers |= call.headers
        session = self._session()
        async with session.request(
            call.method,
            URL(access.host + call.path, encoded=True).with_query(call.query),
            headers=headers,
            data=None if call.body is None else orjson.dumps(call.body),
            timeout=timeout,
            server_hostname=access.tls_server_name,
            proxy=self._proxy,
            proxy_headers=access.proxy_headers,
        ) as response:
            yield response

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._client.rest_client.ssl_context)
            self._opened = aiohttp.ClientSession(connector=connector, read_bufsize=_LINE_MAX)
            self._proxy = self._client.configuration.proxy or _proxy_of_environment(self._client.configuration.host)
        return self._opened


def _proxy_of_environment(server: str) -> str | None:
    """What HTTPS_PROXY and NO_PROXY say of the server; asked once, where aiohttp would ask for each request."""
    url = URL(server)
    return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a body that are not empty; one that is cut off at the end is left out."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _no_answer(call: Call, error: Exception) -> KubeError:
    return KubeError(f"{call}: no answer from the API server: {str(error) or type(error).__name__}")
