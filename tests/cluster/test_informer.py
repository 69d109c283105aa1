"""The informer on a real API server that goes dead, away and back; the controller with rights in one namespace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver import access
from retl.apiserver.transport import Call
from retl.controller.apiserver.informer import Informer
from retl.controller.apiserver.kube import Kube
from retl.controller.cache import Cache
from retl.controller.kinds import Key
from retl.resources.kinds import SYNC, Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.controllers import ControllerProcess, running, service_account_kubeconfig
from tests.cluster.controlplane import ControlPlane
from tests.cluster.objects import EVERY_MINUTE, Namespace, free, ready, sync
from tests.cluster.processes import free_ports

PATIENCE = 30.0


class Road:
    """The way to the API server: it can be cut, or left open without anything going along it."""

    def __init__(self, server: str) -> None:
        self._host, _, port = server.removeprefix("https://").partition(":")
        self._port = int(port)
        self._connections: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._connections.add(me)
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(self._relay(reader, back, me), self._relay(there, writer, me))
        finally:
            self._connections.discard(me)
            writer.close()
            back.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, road: object) -> None:
        while data := await reader.read(65536):
            if road not in self._dead:
                writer.write(data)
                await writer.drain()
        writer.close()

    def fall_silent(self) -> None:
        """From now on nothing goes along the connections that there are; they stay open. New ones work."""
        self._dead |= self._connections

    def cut(self) -> None:
        """Break the connections that there are."""
        for connection in self._connections:
            connection.cancel()


class Counting(Kube):
    """A Kube that remembers what it was asked."""

    verbs: list[str]

    async def _request(self, call: Call) -> Manifest:
        self.verbs.append(call.verb)
        return await super()._request(call)


@pytest.fixture
async def road(control_plane: ControlPlane) -> AsyncIterator[tuple[Road, int]]:
    way, (port,) = Road(control_plane.server), free_ports(1)
    async with await asyncio.start_server(way.carry, "127.0.0.1", port):
        yield way, port
        way.cut()


class Eyes:
    """The syncs of a namespace as an informer sees them, and the names of those it saw go."""

    def __init__(self) -> None:
        self.cache = Cache(self._changed)
        self.gone: list[str] = []
        self._news = asyncio.Event()

    async def see(self, *names: str) -> float:
        """Seconds until these and no others are there."""
        started = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while {key.name for key in self.cache.keys(SYNC)} != set(names):
                self._news.clear()
                await self._news.wait()
        return time.monotonic() - started

    def _changed(self, key: Key, before: Manifest | None, now: Manifest | None) -> None:
        if now is None:
            self.gone.append(key.name)
        self._news.set()


@asynccontextmanager
async def informed(cluster: Cluster, namespace: str, port: int) -> AsyncIterator[tuple[Eyes, Counting]]:
    """An informer at work along the road."""
    eyes = Eyes()
    configuration = await access.load(cluster.kubeconfig, None)
    configuration.host = f"https://127.0.0.1:{port}"
    kube = Counting(ApiClient(configuration), timedelta(seconds=5))
    kube.verbs = []
    following = asyncio.create_task(Informer(eyes.cache, kube, SYNC, namespace, random.Random(1)).run())
    try:
        yield eyes, kube
        assert not following.done()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await kube.close()


async def kubectl(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


async def test_a_watch_that_goes_dead_without_a_word_is_noticed_and_nothing_is_lost(
    cluster: Cluster, namespace: str, road: tuple[Road, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retl.controller.apiserver.informer.SILENCE", timedelta(seconds=2))
    way, port = road
    shop = Namespace(cluster, namespace)
    await kubectl(lambda: shop.apply(sync("a"), sync("b")))
    async with informed(cluster, namespace, port) as (eyes, kube):
        await eyes.see("a", "b")
        await kubectl(lambda: shop.apply(sync("c")))
        await eyes.see("a", "b", "c")
        way.fall_silent()
        await kubectl(lambda: shop.delete("retl", "b"))
        await kubectl(lambda: shop.apply(sync("d")))
        assert await eyes.see("a", "c", "d") < 5
    assert eyes.gone == ["b"]
    assert kube.verbs == ["list"]


async def test_after_a_restart_of_the_api_server_what_was_deleted_in_the_gap_is_found_missing(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, road: tuple[Road, int]
) -> None:
    way, port = road
    shop = Namespace(cluster, namespace)
    await kubectl(lambda: shop.apply(sync("a"), sync("b")))
    async with informed(cluster, namespace, port) as (eyes, kube):
        await eyes.see("a", "b")
        way.fall_silent()
        await kubectl(lambda: shop.delete("retl", "b"))
        await kubectl(lambda: shop.apply(sync("c")))
        # An API server that has just started knows nothing of the versions before: it answers 410.
        await asyncio.to_thread(control_plane.restart, "kube-apiserver")
        way.cut()
        await eyes.see("a", "c")
        await kubectl(lambda: shop.apply(sync("e")))
        assert await eyes.see("a", "c", "e") < 2
    assert eyes.gone == ["b"]
    assert kube.verbs.count("list") == 2


@pytest.fixture
def scoped(cluster: Cluster, namespace: str, account: Path, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of an account with the controller's rights in one namespace alone, and to a Lease."""
    name = namespace
    cluster.kubectl("create", "serviceaccount", name, "-n", "retl-system")
    subject = f"--serviceaccount=retl-system:{name}"
    cluster.kubectl("create", "rolebinding", name, "-n", namespace, "--clusterrole=retl-controller", subject)
    cluster.kubectl("create", "rolebinding", name, "-n", "retl-system", "--role=retl-controller", subject)
    yield service_account_kubeconfig(cluster, name, tmp_path)
    cluster.kubectl("delete", "serviceaccount,rolebinding", name, "-n", "retl-system")


def test_in_chosen_namespaces_no_right_beyond_them_is_used(
    cluster: Cluster, control_plane: ControlPlane, scoped: Path, shop: Namespace, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    controller = ControllerProcess(tmp_path, scoped, [shop.name], lease=shop.name, name=shop.name, health_port=port)
    with running(controller):
        shop.apply(sync("accounts", schedule=EVERY_MINUTE))
        shop.until("retl", "accounts", ready)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").text == "ok\n"
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        controller.advance(60)
        shop.until("retl", "accounts", free)
    asked = [
        event
        for event in control_plane.audit_events()
        if event["user"]["username"] == f"system:serviceaccount:retl-system:{shop.name}" and "objectRef" in event
    ]
    kinds = {event["objectRef"]["resource"] for event in asked}
    assert kinds >= {"reverseetlsyncs", "syncruns", "jobs", "pods", "syncsources", "leases", "events"}
    assert {event["objectRef"].get("namespace") for event in asked} == {shop.name, "retl-system"}
    assert {event["objectRef"]["resource"] for event in asked if event["objectRef"]["namespace"] == "retl-system"} == {
        "leases"
    }
    refused = [event["requestURI"] for event in asked if event["responseStatus"]["code"] in (401, 403)]
    assert refused == []
