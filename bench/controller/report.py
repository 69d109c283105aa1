"""`python -m bench controller`: the phases one after the other, and the table."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.controller.api import Api
from bench.controller.objects import CRONJOBS, SYNCS
from bench.controller.phases import Bench, Latency, Sizes, Start
from tests.cluster.cluster import Cluster, project_crds
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.controlplane import ControlPlane

SYNCS_FULL, SYNCS_QUICK = 10_000, 1_000


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(prog="python -m bench controller", description=__doc__)
    options.add_argument("--syncs", type=int, metavar="N", help=f"and as many CronJobs; {SYNCS_FULL:,} if not given")
    options.add_argument("--quick", action="store_true", help=f"{SYNCS_QUICK:,} syncs, fewer ticks")
    given = options.parse_args(argv)
    syncs = given.syncs or (SYNCS_QUICK if given.quick else SYNCS_FULL)
    counted, together, seconds = (20, 200, 12) if given.quick else (50, 1_000, 60)
    sizes = Sizes(syncs, counted, together, rate=50, seconds=seconds)
    if syncs < counted + together + sizes.spread:
        options.error(f"--syncs must be at least {counted + together + sizes.spread:,}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and stop the servers on the way out
    with ControlPlane(crds=project_crds()) as plane, tempfile.TemporaryDirectory(prefix="retl-bench-") as directory:
        cluster = Cluster(plane.kubeconfig, plane.kubectl, plane)
        account = service_account_kubeconfig(cluster, "retl-controller", Path(directory))
        asyncio.run(_measure(plane, account, Path(directory), sizes))


async def _measure(plane: ControlPlane, account: Path, directory: Path, sizes: Sizes) -> None:
    api = Api(plane.kubeconfig)
    bench = Bench(plane, api, account, directory, sizes)
    try:
        created, cronjobs = await bench.fill()
        _say(f"{sizes.syncs:,} syncs made in {created:.1f} s, {sizes.syncs:,} CronJobs in {cronjobs:.1f} s")
        first = await bench.start()
        bench.controller.stop()
        listed = min([await bench.plain_list() for _ in range(3)])
        again = await bench.start()
        _start("never seen before", first, listed)
        _start("started again", again, listed)
        runs, requests = await bench.requests_of_a_run()
        _requests(runs, requests)
        print(_LATENCIES)
        ours = await bench.together(SYNCS)
        print(_latency(f"{ours.due:,} in one minute", "**retl**", ours, ours), flush=True)
        sustained = await bench.sustained()
        print(_latency(f"{sizes.rate} a second for {sizes.seconds} s", "**retl**", sustained, sustained), flush=True)
        now, peak = bench.controller.resident_mb()
        bench.controller.stop()
        theirs = await bench.together(CRONJOBS)
        print(_latency(f"{theirs.due:,} in one minute", "CronJob", theirs, ours), flush=True)
        their_now, their_peak = bench.cronjob_controller_mb()
        print(
            f"\nMemory at the end, MB: retl {now:.0f} (peak {peak:.0f}); kube-controller-manager, which has the Job",
            end="",
        )
        print(f" controller in it, {their_now:.0f} (peak {their_peak:.0f}).")
    finally:
        bench.controller.stop()
        await api.close()


_LATENCIES = """
| due | controller | Jobs | p50 s | p99 s | all s | CPU s | p99, ours = 1 |
|---|---|---:|---:|---:|---:|---:|---:|"""


def _start(case: str, start: Start, listed: float) -> None:
    took = f"schedules armed after {start.armed:.1f} s (a plain paged LIST: {listed:.1f} s), at rest after"
    weighs = f"{start.cpu:.1f} s of CPU; memory {start.rest_mb:.0f} MB, peak {start.peak_mb:.0f} MB"
    print(f"\nSyncs {case}: {took} {start.rested:.1f} s with {weighs}.", flush=True)


def _requests(runs: int, requests: Counter[str]) -> None:
    each = ", ".join(f"{what} {number / runs:.2g}" for what, number in requests.most_common())
    print(f"\nRequests for a run from tick to end, mean of {runs}: {requests.total() / runs:.1f} ({each}).", flush=True)


def _latency(case: str, who: str, found: Latency, ours: Latency) -> str:
    quantiles = [found.quantile(share) for share in (0.5, 0.99, 1)]
    shown = " | ".join("never" if value == float("inf") else f"{value:.2f}" for value in quantiles)
    beside = "" if found is ours else _times(found, ours)
    jobs = f"{len(found.seconds):,}"
    return f"| {case} | {who} | {jobs} | {shown} | {f'{found.cpu:.1f}' if found.cpu else ''} | {beside} |"


def _times(found: Latency, ours: Latency) -> str:
    """Their p99 beside ours; where too few of their Jobs came, the last one that did."""
    theirs = found.quantile(0.99)
    if theirs < float("inf"):
        return f"{theirs / ours.quantile(0.99):.1f}"
    return f"> {max(found.seconds, default=0) / ours.quantile(0.99):.1f}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
