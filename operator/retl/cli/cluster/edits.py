"""`retl pause`, `resume`, `cancel` and `check`: one field of one object, and what a person should know of it."""

import asyncio
from datetime import timedelta
from typing import Any

import typer

from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.client import Cluster, ClusterError
from retl.cli.cluster.objects import nowhere, the_run, the_sync
from retl.cli.cluster.text import MACHINE, Form, exact, machine, now, say
from retl.cli.text import count, plain, terminal_width, wrapped
from retl.errors import InvalidInput
from retl.resources import requests
from retl.resources.kinds import DESTINATION, RUN, SOURCE, SYNC, Manifest
from retl.resources.owners import owner
from retl.resources.source import LastCheck
from retl.resources.sync import SyncState
from retl.resources.views import Run, Sync
from retl.runspec.pod import EXIT_FAILED, EXIT_SUCCEEDED


def set_state(reach: Reach, name: str, state: SyncState, *, yes: bool, form: Form) -> None:
    """Pause or resume a sync.

    Raises:
        InvalidInput: a tool keeps the object as Git or a release has it, and `yes` is not set.
    """

    async def change(cluster: Cluster) -> tuple[Sync, Manifest]:
        sync = await the_sync(cluster, name)
        if sync.state == state:
            return sync, sync.manifest
        keeper = owner(sync.manifest)
        if keeper is not None and not yes:
            raise InvalidInput(
                f"ReverseETLSync {name} is kept by {keeper.name}, which will set spec.state back to {sync.state}: "
                f"{keeper.instead}; or add --yes to change it until then"
            )
        return sync, await cluster.patch(SYNC, name, requests.state(state))

    before, after = ask(reach, change)
    if form in MACHINE:
        typer.echo(machine(form, after))
    elif before.state == state:
        say(f"{name} is {state} already")
    elif state == "Paused":
        say(f"{name} is Paused: no tick runs it; {Commands(reach, '').retl('run', name)} still does")
        if before.status.active_run:
            say(f"  {before.status.active_run.name} goes on; to end it: {Commands(reach, '').retl('cancel', name)}")
    else:
        say(f"{name} is Active (it was {before.state}): it runs at its next tick, not at those it slept through")


def cancel(reach: Reach, name: str, *, form: Form) -> None:
    """Cancel a run, or the run of a sync that is under way.

    Raises:
        InvalidInput: it has ended, or nothing is under way.
    """

    async def change(cluster: Cluster) -> tuple[Run, Manifest]:
        run = await the_run(cluster, name)
        if run.ended and run.name != name:
            raise InvalidInput(f"ReverseETLSync {name} has no run under way; the last one, {run.name}, is {run.phase}")
        return run, await cluster.patch(RUN, run.name, requests.cancel(run))

    run, after = ask(reach, change)
    if form in MACHINE:
        typer.echo(machine(form, after))
    elif run.status.attempt:
        say(f"{run.name} is told to stop; what the destination has acknowledged is kept")
    else:
        say(f"{run.name} is cancelled before it started")


def check(reach: Reach, name: str, *, patience: timedelta, form: Form) -> int:
    """Have a source or destination looked at now, wait for what is found, and print it; the exit code.

    Args:
        name: of either, or `source/NAME`, `destination/NAME` where both have it.
    Raises:
        ClusterError: nothing was found within `patience`.
    """
    kind, found = ask(reach, lambda cluster: _checked(cluster, name, patience))
    last = LastCheck.model_validate(found["status"]["lastCheck"])
    if form in MACHINE:
        typer.echo(machine(form, found))
    else:
        say(check_text(kind, found["metadata"]["name"], last, terminal_width()))
    return EXIT_SUCCEEDED if last.succeeded else EXIT_FAILED


def check_text(kind: str, name: str, last: LastCheck, width: int) -> str:
    """What a check found."""
    if not last.succeeded:
        again = "it is tried again by itself" if last.retriable else "it is not tried again before something changes"
        told = f"{kind} {name}: the check failed: {last.reason}: {plain(last.message)}; {again}"
        return wrapped(told, width, hanging="  ")
    server = f", {plain(last.server)}" if last.server else ""
    catalog = f"; {count(last.objects, 'object')} with {count(last.fields, 'field')}" if last.objects else ""
    return wrapped(f"{kind} {name}: it can be used{server}{catalog}", width, hanging="  ")


async def _checked(cluster: Cluster, name: str, patience: timedelta) -> tuple[str, Manifest]:
    kind, name = await _connection(cluster, name)
    asked = exact(now()) or ""
    await cluster.patch(kind, name, requests.check(asked))
    try:
        async with asyncio.timeout(patience.total_seconds()):
            async for manifest in cluster.watch(kind, name):
                if manifest is None:
                    raise InvalidInput(f"{kind} {name} was deleted meanwhile")
                if _answered(manifest, asked):
                    return kind, manifest
    except TimeoutError:
        pass
    raise ClusterError(
        f"{kind} {name}: nothing was found within {patience.total_seconds():.0f} s; see whether the controller is at "
        f"work (kubectl get pods -n retl-system) and whether the check's pod starts (kubectl get pods -n "
        f"{cluster.namespace})"
    )


def _answered(manifest: Manifest, asked: str) -> bool:
    status: dict[str, Any] = manifest.get("status") or {}
    return status.get("lastHandledCheck") == asked and "lastCheck" in status and "activeCheck" not in status


async def _connection(cluster: Cluster, name: str) -> tuple[str, str]:
    """Kind and name of the source or destination that is meant."""
    prefix, _, rest = name.partition("/")
    kinds = {"source": [SOURCE], "destination": [DESTINATION]}.get(prefix, []) if rest else [SOURCE, DESTINATION]
    if not kinds:
        raise InvalidInput(f"{name}: write source/{rest} or destination/{rest}")
    found = [kind for kind in kinds if await cluster.find(kind, rest or name) is not None]
    if len(found) > 1:
        raise InvalidInput(f"{name}: there is a source and a destination; write source/{name} or destination/{name}")
    if not found:
        raise await nowhere(cluster, kinds[0], rest or name, *kinds[1:])
    return found[0], rest or name
