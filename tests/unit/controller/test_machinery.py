"""Cache, queue, alarm and routing: what is looked at, when, and from which version."""

import asyncio
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes.aio.client import ApiClient, Configuration

from retl.apiserver.endpoints import JOB, POD
from retl.apiserver.transport import Call, Transport
from retl.controller.apiserver import access
from retl.controller.apiserver.kube import KubeError
from retl.controller.cache import Cache
from retl.controller.clock import Alarm
from retl.controller.kinds import Key
from retl.controller.queue import Queue
from retl.controller.routing import concerned
from retl.controller.settings import RetryPolicy
from retl.controller.telemetry.health import answering
from retl.errors import InvalidInput
from retl.resources.kinds import DESTINATION, MODEL, RUN, SOURCE, SYNC
from retl.resources.marks import RUN_LABEL
from tests.unit.controller.views import API, NOON, connection_manifest, run_manifest, sync_manifest


def versioned(manifest: dict[str, Any], version: int, uid: str | None = None) -> dict[str, Any]:
    changes = {"resourceVersion": str(version)} | ({"uid": uid} if uid else {})
    return manifest | {"metadata": manifest["metadata"] | changes}


def child(kind: str, name: str, run: str = "accounts-1") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "growth", "uid": name, "resourceVersion": "5", "labels": {RUN_LABEL: run}}
    return {"metadata": metadata, "status": {}}


@pytest.fixture
def heard() -> list[Key]:
    return []


@pytest.fixture
def cache(heard: list[Key]) -> Cache:
    return Cache(lambda key, before, now: heard.append(key))


RUN_KEY = Key(RUN, "growth", "accounts-1")


def test_an_older_version_does_not_replace_a_newer_one(cache: Cache, heard: list[Key]) -> None:
    for version in (7, 6, 7):
        cache.put(RUN, versioned(run_manifest(), version))
    found = cache.get(RUN_KEY)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "7"
    assert heard == [RUN_KEY]


def test_an_object_that_is_gone_does_not_come_back_but_another_of_its_name_may(cache: Cache) -> None:
    cache.put(RUN, versioned(run_manifest(), 5, "first"))
    cache.remove(RUN, versioned(run_manifest(), 6, "first"))
    cache.put(RUN, versioned(run_manifest(), 5, "first"))
    assert cache.get(RUN_KEY) is None
    assert cache.was_deleted(RUN_KEY)
    assert not cache.was_deleted(RUN_KEY, of="sync-uid")  # it was somebody's own, whatever its name
    cache.put(RUN, versioned(run_manifest(), 9, "second"))
    cache.remove(RUN, versioned(run_manifest(), 8, "first"))
    assert cache.get(RUN_KEY) is not None


def test_a_list_drops_what_it_lacks_but_not_what_is_newer_than_it(cache: Cache) -> None:
    for name, version in (("old", 3), ("listed", 4), ("new", 30)):
        cache.put(RUN, versioned(run_manifest(name), version, name))
    cache.retain(RUN, "growth", [Key(RUN, "growth", "listed")], "20")
    assert {run["metadata"]["name"] for run in cache.children(RUN, "growth", "accounts")} == {"listed", "new"}


def test_nothing_of_a_secret_nature_or_bulk_is_kept(cache: Cache) -> None:
    job = child(JOB, "j") | {"spec": {"template": "large"}}
    job["metadata"] |= {"managedFields": [1], "annotations": {"reverseetl.io/run-spec": "large"}}
    cache.put(JOB, job)
    kept = cache.get(Key(JOB, "growth", "j"))
    assert kept is not None
    assert set(kept) == {"metadata", "status"}
    assert not {"managedFields", "annotations"} & set(kept["metadata"])


def test_the_last_word_of_a_deleted_pod_is_remembered(cache: Cache) -> None:
    cache.put(POD, child(POD, "p"))
    cache.remove(POD, child(POD, "p") | {"status": {"phase": "Failed"}})
    assert [pod["status"] for pod in cache.children(POD, "growth", "accounts-1")] == [{"phase": "Failed"}]


def test_a_change_reaches_everyone_it_concerns() -> None:
    queue: list[Key] = []
    known = Cache(lambda key, before, now: queue.extend(concerned(known, key, before, now)))
    inline, by_model = sync_manifest(), sync_manifest(query=None, modelRef={"name": "m"})
    by_model["metadata"] = by_model["metadata"] | {"name": "by-model", "uid": "2"}
    model = {
        "apiVersion": API,
        "kind": MODEL,
        "metadata": {"name": "m", "namespace": "growth", "uid": "m", "resourceVersion": "1"},
        "spec": {"sourceRef": {"name": "warehouse"}, "table": "t"},
    }

    def heard(kind: str, manifest: dict[str, Any]) -> set[str]:
        queue.clear()
        known.put(kind, manifest)
        return {str(key) for key in queue}

    sync, other = "ReverseETLSync growth/accounts", "ReverseETLSync growth/by-model"
    run, crm, warehouse = "SyncRun growth/accounts-1", "SyncDestination growth/crm", "SyncSource growth/warehouse"
    assert heard(SYNC, inline) == {sync, crm, warehouse}
    assert heard(SYNC, by_model) == {other, crm}
    assert heard(MODEL, model) == {"SyncModel growth/m", other, warehouse}
    source = connection_manifest(SOURCE, "warehouse")
    assert heard(SOURCE, source) == {warehouse, "SyncModel growth/m", other, sync}
    assert heard(DESTINATION, connection_manifest(DESTINATION, "crm")) == {crm, sync, other}
    assert heard(SOURCE, versioned(source, 2) | {"status": {"x": 1}}) == {warehouse}
    assert heard(RUN, versioned(run_manifest(), 1)) == {run, sync}
    assert heard(SYNC, versioned(inline, 11)) == {sync, run}
    assert heard(JOB, child(JOB, "j")) == {run}
    assert heard(POD, child(POD, "p")) == {run}


def test_a_bounded_destination_hears_of_its_runs_and_a_run_of_its_slot() -> None:
    queue: list[Key] = []
    known = Cache(lambda key, before, now: queue.extend(concerned(known, key, before, now)))
    crm = connection_manifest(DESTINATION, "crm", maxConcurrentRuns=1)
    known.put(DESTINATION, crm)
    known.put(SYNC, sync_manifest())
    queue.clear()
    known.put(RUN, run_manifest())
    assert Key(DESTINATION, "growth", "crm") in queue
    queue.clear()
    slots = [{"run": "accounts-1", "uid": "u", "since": "2026-05-04T12:00:00Z"}]
    known.put(DESTINATION, versioned(crm, 2) | {"status": {"slots": slots}})
    assert queue == [Key(DESTINATION, "growth", "crm"), RUN_KEY]


def test_a_run_that_was_over_before_it_was_seen_is_not_looked_at() -> None:
    queue: list[Key] = []
    known = Cache(lambda key, before, now: queue.extend(concerned(known, key, before, now)))
    known.put(RUN, run_manifest() | {"status": {"phase": "Succeeded"}})
    assert queue == [Key(SYNC, "growth", "accounts")]


def test_who_has_read_a_spec_need_not_read_it_again_when_only_the_status_changes(cache: Cache) -> None:
    key = Key(SYNC, "growth", "accounts")
    for version, labels in ((10, "one"), (11, "one"), (12, "two")):
        cache.put(SYNC, versioned(sync_manifest(object=labels), version))
        seen = cache.get(key)
        assert seen is not None
        if version == 10:
            first = seen["spec"]
        assert (seen["spec"] is first) == (labels == "one")


async def test_a_key_is_never_in_two_hands_and_never_lost() -> None:
    queue, key = Queue(), Key(SYNC, "growth", "accounts")
    in_hand: list[Key] = []
    most, seen = 0, asyncio.Queue[Key]()
    release = asyncio.Event()

    async def reconcile(of: Key) -> None:
        nonlocal most
        in_hand.append(of)
        most = max(most, len(in_hand))
        await release.wait()
        in_hand.remove(of)
        seen.put_nowait(of)

    workers = [asyncio.create_task(queue.work(reconcile)) for _ in range(3)]
    for _ in range(3):
        queue.add(key)
        await asyncio.sleep(0)
    queue.add(key)
    release.set()
    handed = [await asyncio.wait_for(seen.get(), 5) for _ in range(2)]
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert (handed, most, len(queue)) == ([key, key], 1, 0)
    assert seen.empty()


class HandClock:
    """A clock that a test sets."""

    patience = timedelta(milliseconds=1)

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


async def test_an_alarm_rings_once_at_the_earliest_time_that_was_asked_for() -> None:
    clock, rung = HandClock(), asyncio.Queue[Key]()
    alarm = Alarm(clock, rung.put_nowait)
    early, late, dropped = (Key(SYNC, "growth", name) for name in ("early", "late", "dropped"))
    alarm.set(early, NOON + timedelta(hours=2))
    alarm.set(early, NOON + timedelta(hours=1))
    alarm.set(early, NOON + timedelta(hours=3))
    alarm.set(late, NOON + timedelta(hours=2))
    alarm.set(dropped, NOON + timedelta(hours=1))
    alarm.forget(dropped)
    running = asyncio.create_task(alarm.run())
    clock.time = NOON + timedelta(hours=1)
    assert await asyncio.wait_for(rung.get(), 5) == early
    clock.time = NOON + timedelta(hours=9)
    assert await asyncio.wait_for(rung.get(), 5) == late
    alarm.set(early, clock.time)
    assert await asyncio.wait_for(rung.get(), 5) == early
    assert rung.empty()
    running.cancel()


async def test_probes_are_told_what_is_wrong_and_readiness_is_another_question() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    doubts, obstacles = ["the watch of SyncRun has told nothing for 300 s"], ["the cache is not filled yet"]
    async with answering(port, lambda: doubts, lambda: obstacles), httpx.AsyncClient() as client:
        healthy, ready = f"http://127.0.0.1:{port}/healthz", f"http://127.0.0.1:{port}/readyz"
        answer = await client.get(healthy)
        assert (answer.status_code, answer.text) == (500, f"{doubts[0]}\n")
        doubts.clear()
        assert (await client.get(healthy)).status_code == 200
        assert (await client.get(ready)).status_code == 500
        obstacles.clear()
        assert (await client.get(ready)).status_code == 200


@pytest.mark.parametrize(
    ("in_a_pod", "wanted", "namespace", "held_in"),
    [
        (True, None, None, "system"),
        (True, None, "elsewhere", "elsewhere"),
        (True, False, None, None),
        (False, None, None, None),
        (False, None, "elsewhere", "elsewhere"),
        (False, True, "elsewhere", "elsewhere"),
    ],
)
def test_in_a_pod_a_lease_is_held_unless_it_is_declined(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    in_a_pod: bool,
    wanted: bool | None,
    namespace: str | None,
    held_in: str | None,
) -> None:
    monkeypatch.setattr("retl.apiserver.access._OWN_NAMESPACE", tmp_path / "namespace")
    if in_a_pod:
        (tmp_path / "namespace").write_text("system")
    settings = access.lease_settings(wanted, namespace, "retl-controller")
    assert (settings and settings.namespace) == held_in


def test_outside_of_a_pod_a_lease_needs_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("retl.apiserver.access._OWN_NAMESPACE", tmp_path / "namespace")
    with pytest.raises(InvalidInput, match="--lease-namespace"):
        access.lease_settings(True, None, "retl-controller")


def test_pauses_between_attempts_double_up_to_a_limit() -> None:
    policy = RetryPolicy()
    assert [policy.pause(n).total_seconds() for n in (1, 2, 3, 4, 5, 6, 90)] == [10, 20, 40, 80, 160, 300, 300]


async def test_a_server_that_never_answers_is_complained_of_in_words() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(ignore, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{port}"))
    transport = Transport(client, timedelta(milliseconds=50))
    with pytest.raises(KubeError, match=r"no answer from the API server: \w*Timeout"):
        await transport.exchange(Call("list", SYNC, "/apis"))
    await transport.close()
    silent.close()
