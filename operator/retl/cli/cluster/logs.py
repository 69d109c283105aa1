"""`retl logs`: what the runner of an attempt has written."""

import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import typer

from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.client import Cluster, Refused
from retl.cli.cluster.findings import pod_problem
from retl.cli.cluster.objects import the_run
from retl.errors import InvalidInput, Unresolved
from retl.resources.kinds import RUN, Manifest
from retl.resources.views import Run


def show(reach: Reach, name: str, *, follow: bool, attempt: int | None, tail: int | None) -> None:
    """Print the log of a run's newest attempt, or of another one.

    Raises:
        InvalidInput: the attempt has no pod, or its container does not run yet and `follow` is not set.
    """

    async def shown(cluster: Cluster) -> None:
        run = await the_run(cluster, name)
        if run.name != name:
            typer.echo(f"log of {run.name}", err=True)
        await copy(cluster, run, attempt or run.status.attempt, follow=follow, tail=tail)

    with suppress(KeyboardInterrupt):
        ask(reach, shown)


async def copy(cluster: Cluster, run: Run, attempt: int, *, follow: bool, tail: int | None = None) -> None:
    """Write the log of an attempt to stdout, and with `follow` go on until its pod ends."""
    if follow and not attempt:
        typer.echo(f"{run.name} has not started yet: {run.message or 'it waits'}", err=True)
        run = await _begun(cluster, run)
        attempt = run.status.attempt
    pod = await _pod(cluster, run, attempt, wait=follow)
    async for line in _log(cluster, pod, follow=follow, tail=tail):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


async def _log(cluster: Cluster, pod: Manifest, *, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
    try:
        async for line in cluster.log(pod["metadata"]["name"], follow=follow, tail=tail):
            yield line
    except Refused as error:
        raise InvalidInput(f"{error}{'; ' if (why := pod_problem(pod)) else ''}{why}") from None


async def _begun(cluster: Cluster, run: Run) -> Run:
    """The run, once it has an attempt or has ended without one."""
    async for manifest in cluster.watch(RUN, run.name):
        if manifest is None:
            raise InvalidInput(f"SyncRun {run.name} was deleted meanwhile")
        run = Run.read(manifest)
        if run.status.attempt or run.ended:
            return run
    return run


async def _pod(cluster: Cluster, run: Run, attempt: int, *, wait: bool) -> Manifest:
    """The newest pod of an attempt; with `wait` once its container has begun."""
    if not attempt or attempt > run.status.attempt:
        told = f"{run.phase or 'Pending'}: {run.reason}: {run.message}".rstrip(": ")
        had = f"it has had {run.status.attempt} so far" if run.status.attempt else f"it has had none yet ({told})"
        which = f"attempt {attempt}" if attempt else "attempt to show the log of"
        raise InvalidInput(f"SyncRun {run.name} has no {which}; {had}")
    pods = await cluster.list("Pod", labels=f"batch.kubernetes.io/job-name={run.job(attempt)}")
    if not pods and wait and not run.ended:
        pods = [await cluster.first("Pod", f"batch.kubernetes.io/job-name={run.job(attempt)}")]
    if not pods:
        raise Unresolved(
            f"SyncRun {run.name}: the pod of attempt {attempt} is not there any more, and its log went with it; "
            f"it ended: {run.reason}: {run.message}",
            reason="PodNotFound",
        )
    pod = max(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]))
    if not wait:
        return pod
    async for manifest in cluster.watch("Pod", pod["metadata"]["name"]):
        if manifest is None:
            raise InvalidInput(f"pod {pod['metadata']['name']} was deleted before it had begun")
        if (manifest.get("status") or {}).get("phase") not in (None, "Pending"):
            return manifest
    return pod
