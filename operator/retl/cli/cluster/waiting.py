"""Waiting for a run of a cluster: how it goes is told on stderr, until it ends or a person must approve it."""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import typer

from retl.cli.cluster import logs
from retl.cli.cluster.access import Reach, connected
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.client import Cluster
from retl.cli.cluster.status import progress
from retl.cli.text import plain
from retl.errors import InvalidInput, RetlError
from retl.resources.kinds import RUN
from retl.resources.views import Run

_TAKEN_UP_SECONDS = 15
"""How long a controller may take to notice a run before a person is told that none did."""


@dataclass(frozen=True, slots=True)
class Watching:
    """How a run is waited for.

    Attributes:
        follow: also print the logs of its attempts.
    """

    wait: bool = False
    follow: bool = False


def finished(reach: Reach, run: Run, watching: Watching) -> Run:
    """The run once it has ended or waits for approval."""
    try:
        return asyncio.run(_finished(reach, run, watching))
    except KeyboardInterrupt:
        stop = Commands(reach, run.meta.namespace).retl("cancel", run.name)
        typer.echo(f"\n{run.name} goes on in the cluster; to end it: {stop}", err=True)
        raise typer.Exit(130) from None


async def _finished(reach: Reach, run: Run, watching: Watching) -> Run:
    tell = _Progress(run.name)
    async with connected(reach) as cluster:
        following: asyncio.Task[None] | None = None
        attempt = 0
        try:
            async for manifest in cluster.watch(RUN, run.name):
                if manifest is None:
                    raise InvalidInput(f"SyncRun {run.name} was deleted meanwhile")
                run = Run.read(manifest)
                if watching.follow and run.status.attempt > attempt:
                    attempt = run.status.attempt
                    following = asyncio.create_task(_follow(cluster, run, attempt, following))
                else:
                    tell.now(run)
                if run.ended or run.held:
                    break
            if following is not None:
                await following
        finally:
            tell.close()
    return run


async def _follow(cluster: Cluster, run: Run, attempt: int, before: "asyncio.Task[None] | None") -> None:
    """The log of one attempt after that of the one before."""
    if before is not None:
        await before
    with suppress(RetlError):  # a pod that never began has no log; the run says why
        await logs.copy(cluster, run, attempt, follow=True)


class _Progress:
    """Says on stderr how a run goes: on a terminal in one line that changes, else a line for each change of state."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = ""
        self._status: Any = None
        self._silence = asyncio.get_running_loop().call_later(_TAKEN_UP_SECONDS, self._not_taken_up)
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"{name}: waiting for the controller")
            self._status.start()

    def now(self, run: Run) -> None:
        """It has changed."""
        if run.phase is None:
            return
        self._silence.cancel()
        told = f"{run.name}: {progress(run)}" + (f": {plain(run.message)}" if run.message and not run.ended else "")
        if self._status is not None:
            self._status.update(told)
        elif not run.ended and (state := f"{run.phase}{run.reason}{run.status.attempt}") != self._said:
            self._said = state
            typer.echo(told, err=True)

    def close(self) -> None:
        """It has ended, or nobody waits any more."""
        self._silence.cancel()
        if self._status is not None:
            self._status.stop()

    def _not_taken_up(self) -> None:
        look = "see whether it is at work: kubectl get pods -n retl-system"
        typer.echo(f"{self._name}: no controller has taken it up yet; {look}", err=True)
