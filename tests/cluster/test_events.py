"""Events as people see them with kubectl, and metrics as Prometheus scrapes them, of the real control plane."""

from __future__ import annotations

import asyncio
import gzip
import urllib.request
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient
from prometheus_client.parser import text_string_to_metric_families

from retl.apiserver import access
from retl.controller.apiserver.kube import Kube
from retl.controller.clock import SystemClock
from retl.controller.decision import Event
from retl.controller.kinds import Key
from retl.controller.telemetry.events import Recorder
from retl.resources.kinds import SYNC
from tests.cluster.controllers import MINUTE, ControllerProcess, running
from tests.cluster.objects import EVERY_MINUTE, PATIENCE, Namespace, free, only_run, ready, sync
from tests.cluster.processes import free_ports, wait_until

FAILED = Event("Warning", "DestinationFailed", "the table accounts is not there; create it")


@pytest.fixture
async def kube(account: Path) -> AsyncIterator[Kube]:
    opened = Kube(ApiClient(await access.load(account, None)), timedelta(seconds=10))
    yield opened
    await opened.close()


def described(shop: Namespace, kind: str, name: str, reason: str) -> list[str]:
    """What kubectl describe shows of the Events of one reason."""
    lines = shop.cluster.kubectl("describe", kind, name, "-n", shop.name).splitlines()
    return [line.strip() for line in lines[lines.index("Events:") :] if reason in line.split()[1:2]]


async def test_kubectl_shows_an_event_below_its_object_and_its_repetitions_as_one(kube: Kube, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    key = Key(SYNC, shop.name, "accounts")
    observed = await kube.get(key)
    assert observed is not None
    outcomes: asyncio.Queue[str] = asyncio.Queue()
    recorder = Recorder(kube, SystemClock(), "controller-0", outcomes.put_nowait, lambda: False)
    posting = asyncio.create_task(recorder.run())
    async with asyncio.timeout(20):
        for outcome in ("posted", "repeated"):
            recorder.record(key, observed, [FAILED])
            assert await outcomes.get() == outcome
    posting.cancel()
    [line] = described(shop, "retl", "accounts", "DestinationFailed")
    assert line.startswith("Warning")
    assert "(x2 over" in line
    assert line.endswith("the table accounts is not there; create it")
    [event] = shop.list("events.v1.events.k8s.io", "--field-selector=regarding.kind=ReverseETLSync")
    assert (event["series"]["count"], event["reportingController"]) == (2, "reverseetl.io/controller")
    assert "reverseetlsync/accounts" in shop.cluster.kubectl("get", "events", "-n", shop.name)


async def test_an_event_that_nobody_can_take_is_lost_and_nothing_else(kube: Kube, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    observed = await kube.get(Key(SYNC, shop.name, "accounts"))
    assert observed is not None
    outcomes: list[str] = []
    recorder = Recorder(kube, SystemClock(), "controller-0", outcomes.append, lambda: False)
    recorder.record(Key(SYNC, "no-such-namespace", "accounts"), observed, [FAILED])
    recorder.record(Key(SYNC, shop.name, "accounts"), observed, [Event("Normal", "Scheduled", "it is armed")])
    await recorder.flush(timedelta(seconds=10))
    assert outcomes == ["refused", "posted"]


def scraped(port: int, encoding: str) -> dict[tuple[str, frozenset[str]], float]:
    """Samples by name and the values of their labels."""
    url = f"http://127.0.0.1:{port}/metrics"
    asked = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        body = gzip.decompress(answer.read()) if encoding == "gzip" else answer.read()
    families = text_string_to_metric_families(body.decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def test_a_failed_run_is_told_by_events_and_metrics(controller: ControllerProcess, shop: Namespace) -> None:
    [controller.metrics_port] = free_ports(1)
    with running(controller):
        shop.apply(sync("accounts", "wrong", schedule=EVERY_MINUTE))
        shop.until("retl", "accounts", ready)
        controller.advance(MINUTE)
        run = only_run(shop, "accounts", "Failed")["metadata"]["name"]
        shop.until("retl", "accounts", free)

        def told() -> bool:
            return bool(described(shop, "syncrun", run, "Failed"))

        assert wait_until(told, PATIENCE, every=0.2), controller.log()
        found = scraped(controller.metrics_port, "gzip")
        assert scraped(controller.metrics_port, "identity").keys() == found.keys()
    [line] = described(shop, "syncrun", run, "Failed")
    assert line.startswith("Warning")
    assert "no such table" in line
    own: dict[str, Any] = {"namespace": shop.name, "sync": "accounts"}
    names = frozenset(own.values())
    assert found["retl_sync_runs_total", names | {"Failed"}] == 1
    assert found["retl_sync_rows_total", names | {"created"}] == 3
    assert found["retl_sync_ticks_total", names | {"Ran", "Failed"}] == 1
    assert found["retl_sync_last_run_succeeded", names] == 0
    assert found["retl_sync_next_run_timestamp_seconds", names] > 0
    assert found["retl_leader", frozenset()] == 1
    assert found["retl_events_total", frozenset({"posted"})] >= 1
