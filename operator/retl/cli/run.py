"""`retl run` and `retl plan`: the syncs of some manifests, here and now, without a cluster."""

import asyncio
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from retl.cli import exits, local, tables
from retl.cli.progress import showing_progress
from retl.cli.stopping import Stopping
from retl.engine import pipeline
from retl.errors import InvalidInput, RetlError, StateError
from retl.runner.connect import connectors
from retl.runspec.pod import ENV_STAGING_DIR
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore

STAGING = ".retl/staging"
_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says besides the files."""

    request: local.Request
    sync: str | None
    state: str
    secrets_dir: Path
    as_json: bool


def run_syncs(files: Sequence[Path], options: Options) -> int:
    """Run the chosen syncs one after the other; the exit code.

    Nothing runs unless all of them are valid; one that fails does not keep the others from running.

    Raises:
        InvalidInput: the manifests or options are wrong.
        StateError: the state database cannot be used.
    """
    objects = local.read(files)
    syncs = local.choose(objects, options.sync, options.request)
    if options.request.approve and len(syncs) > 1:
        raise InvalidInput("--approve: names the plan of one sync; choose it with --sync")
    for sync in syncs:
        local.check_schedule(sync)
    return asyncio.run(_run_all([local.run_spec(sync, objects, options.request) for sync in syncs], files, options))


async def _run_all(specs: Sequence[RunSpec], files: Sequence[Path], options: Options) -> int:
    results: list[RunResult] = []
    async with Stopping() as stopping:
        try:
            store = await SqlStateStore.open(options.state)
        except StateError as error:
            return exits.worst(exits.of_result(_told(_failed(spec, error), options)) for spec in specs)
        try:
            for spec in specs:
                if stopping.by is None:
                    result = await _run_one(spec, store, stopping.asked, options)
                    results.append(_told(result, options))
            if not options.as_json:
                typer.echo(tables.result_table(results))
                for spec, result in zip(specs, results, strict=False):
                    await _explain(spec, result, store, files, options)
        finally:
            await store.close()
    if stopping.by is not None:
        return exits.SIGNAL_BASE + stopping.by
    return exits.worst(map(exits.of_result, results))


async def _run_one(spec: RunSpec, store: SqlStateStore, stop: asyncio.Event, options: Options) -> RunResult:
    """One run; a failure is a result too."""
    try:
        source, destination = connectors(spec, options.secrets_dir)
        with showing_progress(spec) as progress:
            return await pipeline.run(
                spec,
                source,
                destination,
                store,
                staging=Path(os.environ.get(ENV_STAGING_DIR, STAGING)),
                owner=this_process(),
                stop=stop,
                progress=progress,
            )
    except RetlError as error:
        return _failed(spec, error)


def _failed(spec: RunSpec, error: RetlError) -> RunResult:
    return RunResult(run=spec.run.name, sync=spec.sync.name, status="Failed", reason=error.reason, message=str(error))


def _told(result: RunResult, options: Options) -> RunResult:
    """The result, once it is said: as JSON where that is wanted, and why it failed on stderr in any case."""
    if options.as_json:
        typer.echo(orjson.dumps(tables.result_object(result)).decode())
    if result.status == "Failed":
        typer.echo(f"retl: {result.sync}: {result.message}", err=True)
    return result


async def _explain(
    spec: RunSpec, result: RunResult, store: SqlStateStore, files: Sequence[Path], options: Options
) -> None:
    """What a person may want to do next."""
    if result.status == "AwaitingApproval":
        approve = _command("run", files, options, "--sync", spec.sync.name, "--approve", result.plan_hash or "")
        typer.echo(f"\n{result.sync}: {result.message}\n  to go on: {approve}")
    elif result.plan_hash and spec.run.mode == "Plan":
        typer.echo(f"\n{result.sync}: plan {result.plan_hash}")
    if result.dead_letters:
        letters = await store.dead_letters(namespace=spec.sync.namespace, sync=spec.sync.name, limit=_SAMPLE)
        elsewhere = () if spec.sync.namespace == "default" else ("-n", spec.sync.namespace)
        listing = _command("dlq list", (), options, "--sync", spec.sync.name, *elsewhere)
        typer.echo("\n" + tables.dead_letter_sample(result, letters, listing))


def _command(verb: str, files: Sequence[Path], options: Options, *more: str) -> str:
    """A command that a person can copy; without the state URL if that may hold a password."""
    from retl.cli.app import DEFAULT_SECRETS, DEFAULT_STATE

    words = [word for file in files for word in ("-f", str(file))]
    if options.state.startswith("sqlite:") and options.state != DEFAULT_STATE:
        words += ["--state", options.state]
    if verb == "run" and options.secrets_dir != DEFAULT_SECRETS:
        words += ["--secrets-dir", str(options.secrets_dir)]
    return f"retl {verb} {shlex.join([*words, *more])}"
