"""`python -m bench rest`: a workspace with many syncs and a long history, each endpoint timed, and the table."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.controller.api import IN_FLIGHT, Api, Manifest
from bench.controller.process import resident_mb
from bench.rest.data import SPAN, Amount, SeedSync, seed
from bench.rest.load import Asked, Took, one_by_one, together
from tests.cluster.cluster import Cluster, project_crds
from tests.cluster.controlplane import ControlPlane
from tests.cluster.objects import object_of
from tests.cluster.rest_api import Rest, serving
from tests.postgres import postgres

SYNCS = 1_000
CLIENTS = 8
HEADER = """
| request | answer kB | p50 ms | p99 ms | goal, p50 ms |
|---|---:|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table; the goal is for the median, in milliseconds."""

    name: str
    asked: Asked
    goal: int | None
    times: int


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(prog="python -m bench rest", description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the history, less often, 20 s of load")
    options.add_argument("--load", type=int, metavar="SECONDS", help="how long many clients ask; 300 if not given")
    given = options.parse_args(argv)
    amount = Amount(10_000, 100_000) if given.quick else Amount()
    times, load = (30, 20) if given.quick else (200, 300)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and stop the servers on the way out
    with (
        ControlPlane(crds=project_crds()) as plane,
        postgres() as server,
        tempfile.TemporaryDirectory(prefix="retl-bench-") as directory,
    ):
        server.create_database("state")
        cluster = Cluster(plane.kubeconfig, plane.kubectl, plane)
        with serving(cluster, Path(directory), state_url=server.url("state")) as rest:
            asyncio.run(_measure(rest, plane, server.url("state"), amount, times, given.load or load))


async def _measure(rest: Rest, plane: ControlPlane, state_url: str, amount: Amount, times: int, load: int) -> None:
    names = await _fill(plane, rest.namespace.name)
    # From now on: what is older than the namespace is not shown.
    await seed(state_url, rest.namespace.name, names, amount, datetime.now(UTC) + SPAN)
    print(
        f"{SYNCS:,} syncs, {amount.runs:,} runs, {amount.letters:,} dead letters; load average {os.getloadavg()[0]:.1f}"
    )
    print(HEADER, flush=True)
    async with rest.as_("admin") as client:
        shown = (await client.get("/api/reverse-etl/syncs?limit=200")).json()["data"]
        for case in _cases(rest.namespace.name, names[0].uid, [each["id"] for each in shown], times):
            print(_line(case.name, await one_by_one(client, case.asked, case.times), case.goal), flush=True)
        print(_line("`kubectl get reverseetlsyncs -o json`", _kubectl(rest), None), flush=True)
        await _under_load(rest, client, [each["id"] for each in shown], load)


async def _fill(plane: ControlPlane, namespace: str) -> list[SeedSync]:
    """Many syncs; what they are called, and their uids."""
    api = Api(plane.kubeconfig)
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def make(number: int) -> SeedSync:
        async with gate:
            made = await api.request(
                "POST", f"/apis/reverseetl.io/v1alpha1/namespaces/{namespace}/reverseetlsyncs", _sync(number)
            )
        return SeedSync(made["metadata"]["name"], made["metadata"]["uid"])

    try:
        return await asyncio.gather(*(make(number) for number in range(SYNCS)))
    finally:
        await api.close()


def _sync(number: int) -> Manifest:
    mappings = [{"source": f"column_{n}", "destination": f"Field_{n}__c", "key": n == 0} for n in range(10)]
    spec = {
        "displayName": f"Accounts of region {number}",
        "modelRef": {"name": "active-accounts"},
        "destinationRef": {"name": "sf-prod"},
        "object": "Account",
        "mappings": mappings,
        "schedule": {"cron": "15 */4 * * *", "timeZone": "UTC"},
    }
    return object_of("ReverseETLSync", f"accounts-{number:04}", spec)


def _cases(namespace: str, uid: str, syncs: Sequence[str], times: int) -> Iterator[Case]:
    first, reverse_etl = f"/api/v1/workspaces/{namespace}", "/api/reverse-etl"
    yield Case(f"GET /api/v1/…/syncs, all {SYNCS:,}", Asked("GET", f"{first}/syncs"), 500, max(20, times // 4))
    yield Case("GET /api/reverse-etl/syncs, 50", Asked("GET", f"{reverse_etl}/syncs"), None, times)
    yield Case("GET /api/v1/…/syncs/{id}", Asked("GET", f"{first}/syncs/{uid}"), 15, times)
    yield Case("GET /api/reverse-etl/syncs/{id}", Asked("GET", f"{reverse_etl}/syncs/{syncs[0]}"), 15, times)
    yield Case(
        "POST /api/reverse-etl/sync/run", Asked("POST", f"{reverse_etl}/sync/run", {"syncId": syncs[0]}), 30, times
    )
    yield Case("GET /api/reverse-etl/runs, 50", Asked("GET", f"{reverse_etl}/runs"), 50, times)
    yield Case("the same of one sync", Asked("GET", f"{reverse_etl}/runs?sync_id={syncs[1]}"), 50, times)
    yield Case("GET /api/reverse-etl/dlq, 50", Asked("GET", f"{reverse_etl}/dlq"), 50, times)
    yield Case("the same of one sync", Asked("GET", f"{reverse_etl}/dlq?sync_id={syncs[1]}"), 50, times)
    yield Case("GET /api/reverse-etl/dlq/stats", Asked("GET", f"{reverse_etl}/dlq/stats"), None, times)


def _kubectl(rest: Rest) -> Took:
    seconds, size = [], 0
    for _ in range(5):
        started = time.perf_counter()
        size = len(rest.cluster.kubectl("get", "reverseetlsyncs", "-n", rest.namespace.name, "-o", "json"))
        seconds.append(time.perf_counter() - started)
    return Took(seconds, size)


async def _under_load(rest: Rest, client: httpx.AsyncClient, syncs: Sequence[str], seconds: int) -> None:
    """What many clients see together, and what the pod's memory comes to."""
    paths = ["/api/reverse-etl/syncs", "/api/reverse-etl/runs", "/api/reverse-etl/dlq"]
    paths += [f"/api/reverse-etl/syncs/{sync}" for sync in syncs[:5]]
    paths += [f"/api/v1/workspaces/{rest.namespace.name}/syncs"]
    before, _ = resident_mb(rest.program.pid)
    took = await together(client, lambda number: Asked("GET", paths[number % len(paths)]), CLIENTS, seconds)
    now, peak = resident_mb(rest.program.pid)
    print(f"\n{CLIENTS} clients for {seconds} s, one request in {len(paths)} for all syncs: ", end="")
    print(f"{len(took.seconds) / seconds:.0f} requests a second, ", end="")
    print(f"p50 {took.quantile(0.5) * 1000:.0f} ms, p99 {took.quantile(0.99) * 1000:.0f} ms. ", end="")
    print(f"Memory of the pod: {before:.0f} MB before, {now:.0f} MB after, {peak:.0f} MB at its peak; ", end="")
    print(f"load average {os.getloadavg()[0]:.1f}.")


def _line(name: str, took: Took, goal: int | None) -> str:
    p50, p99 = (took.quantile(share) * 1000 for share in (0.5, 0.99))
    return f"| {name} | {took.size / 1000:.1f} | {p50:.1f} | {p99:.1f} | {'' if goal is None else f'{goal}'} |"
