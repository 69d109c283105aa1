"""`retl api`: opens the state database, listens on both ports, and leaves without dropping a request."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from kubernetes.aio import client

from retl.apiserver import access
from retl.apiserver.transport import Transport
from retl.errors import InvalidInput, StateError
from retl.rest.app import Public, create_apps
from retl.rest.auth import TokenReviewer
from retl.rest.callers.identify import Identify
from retl.rest.callers.namespaces import Namespaces
from retl.rest.callers.rights import Review
from retl.rest.certificate import Certificate, CertificateFiles
from retl.rest.requests.entry import Door
from retl.rest.requests.limits import BURST, RATE, Limits
from retl.rest.service.workspaces import ClusterWorkspaces
from retl.state import blobs, sealing
from retl.state.migrate import NewerDatabase
from retl.state.sql import SqlStateStore

_log = logging.getLogger(__name__)

LAST_REQUESTS_SECONDS = 25
"""How long requests in flight may take after SIGTERM; below a pod's usual 30 s of grace."""
REOPEN_SECONDS = 2.0
MAX_HEADERS = 16 * 1024
"""Bytes; a credential has at most half of that."""
API_SERVER_PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What `retl api` is told.

    Attributes:
        state_url: of the state database.
        host: address to listen on.
        port: of the public app; 0 lets the system choose.
        internal_port: of the state service; 0 lets the system choose.
        kubeconfig: how to reach the API server; None means from within the cluster.
        controller_account: NAMESPACE/NAME of the controller's ServiceAccount; it reads catalogs and progress.
        keys_namespace: where API keys are kept; None: the pod's own namespace, or nowhere outside of a pod.
        rate: requests of one caller a second.
        burst: requests of one caller at once.
        cors_origins: pages of these origins may ask.
        certificate: of the state service; None serves it without TLS.
    """

    state_url: str
    host: str = "0.0.0.0"  # noqa: S104 - a pod's ports are meant to be reached
    port: int = 8080
    internal_port: int = 8081
    kubeconfig: Path | None = None
    controller_account: str | None = None
    keys_namespace: str | None = None
    rate: float = RATE
    burst: int = BURST
    cors_origins: tuple[str, ...] = ()
    certificate: CertificateFiles | None = None


class StateDatabase:
    """The state store once it is open. The pod listens before that, so that it is seen as alive and not yet ready."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: SqlStateStore | None = None
        self._failure = "it is being opened"

    def store(self) -> SqlStateStore:
        """The open store (raises StateError with the reason while it is not open)."""
        if self._store is None:
            raise StateError(f"the state database is not open: {self._failure}")
        return self._store

    async def open(self) -> None:
        """Try until it opens (raises InvalidInput and NewerDatabase, which no waiting mends)."""
        while self._store is None:
            try:
                self._store = await SqlStateStore.open(
                    self._url, key=sealing.from_environment(), blobs=blobs.from_environment()
                )
            except NewerDatabase:
                raise
            except StateError as error:
                if self._failure != str(error):
                    _log.warning("%s; trying again", error)
                self._failure = str(error)
                await asyncio.sleep(REOPEN_SECONDS)
        if not self._store.seals:
            _log.warning(
                "%s is not set: dead letters are kept in plain text, and mode mirror is refused", sealing.ENV_KEY
            )
        _log.info("the state database is open")

    async def close(self) -> None:
        """Release its connections, if it was opened."""
        if self._store is not None:
            await self._store.close()


async def serve(settings: ApiSettings, listening: Callable[[int, int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        listening: told both ports once they accept connections.
    Raises:
        InvalidInput: the state URL, kubeconfig or certificate is wrong, or a port is taken.
        NewerDatabase: the database was written by a newer version.
    """
    certificate = Certificate(settings.certificate) if settings.certificate else None
    async with AsyncExitStack() as stack:
        configuration = await access.load(settings.kubeconfig, None)
        kubernetes = await stack.enter_async_context(client.ApiClient(configuration))
        database = StateDatabase(settings.state_url)
        stack.push_async_callback(database.close)
        reviewer = TokenReviewer(client.AuthenticationV1Api(kubernetes))
        own, bare = await _connections(configuration, stack)
        namespaces = Namespaces(own, Review(own, bare))
        public = Public(_door(own, bare, namespaces, database, settings), settings.cors_origins)
        apps = create_apps(database.store, reviewer.identify, namespaces.made, public, settings.controller_account)
        sockets = [_bind(settings.host, port) for port in (settings.port, settings.internal_port)]
        servers = [_Server(_config(apps.public)), _Server(_config(apps.internal, certificate))]
        _stop_on_signals(servers, public.stopping)
        ports = [found.getsockname()[1] for found in sockets]
        _log.info("listening on %s, ports %d (public) and %d (internal)", settings.host, *ports)
        opening = asyncio.create_task(database.open())
        opening.add_done_callback(lambda _: _stop_if_failed(opening, servers))
        async with asyncio.TaskGroup() as group:
            for server, listener in zip(servers, sockets, strict=True):
                group.create_task(server.serve(sockets=[listener]))
            if listening is not None:
                listening(*ports)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening


async def _connections(configuration: client.Configuration, stack: AsyncExitStack) -> tuple[Transport, Transport]:
    """Connections of this pod, and others that are nobody's."""
    own, bare = (
        Transport(client.ApiClient(each), API_SERVER_PATIENCE)
        for each in (configuration, access.anonymous(configuration))
    )
    stack.push_async_callback(own.close)
    stack.push_async_callback(bare.close)
    return own, bare


def _door(
    own: Transport, bare: Transport, namespaces: Namespaces, database: StateDatabase, settings: ApiSettings
) -> Door:
    """What leads people to their workspaces."""
    workspaces = ClusterWorkspaces(own, bare, database.store, namespaces, Review(own, bare))
    keys_namespace = settings.keys_namespace or access.own_namespace()
    return Door(Identify(own, bare, keys_namespace), workspaces, Limits(settings.rate, settings.burst))


def run_api(settings: ApiSettings) -> None:
    """`serve`, for a process of its own (raises as it does)."""
    asyncio.run(serve(settings))


class _Server(uvicorn.Server):
    """Two servers share a process here, so signals are handled once, outside of both."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: FastAPI, certificate: Certificate | None = None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # an address is who is on the line, not what a header says
        lifespan="off",
        timeout_graceful_shutdown=LAST_REQUESTS_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    if certificate:
        config.load()
        config.ssl = certificate.context
    return config


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio sends small answers at once (TCP_NODELAY) on sockets alone that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.listen(2048)
    return listener


def _stop_on_signals(servers: list[_Server], stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()  # ends streams: all other requests end by themselves
        _stop(servers)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def _stop_if_failed(opening: "asyncio.Task[None]", servers: list[_Server]) -> None:
    if not opening.cancelled() and opening.exception() is not None:
        _stop(servers)
