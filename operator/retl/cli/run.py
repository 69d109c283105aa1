"""`retl run`, `retl plan` and replays: the syncs of some manifests, here and now, without a cluster."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from retl.cli import exits, failures, letters, local, plans, tables
from retl.cli.options import PlanOutput, command
from retl.cli.progress import Watched, showing_progress
from retl.cli.stopping import Stopping
from retl.cli.stores import opened
from retl.cli.text import terminal_width, wrapped
from retl.engine import pipeline
from retl.engine.progress import Step
from retl.errors import InvalidInput, RetlError, StateError
from retl.runner.connect import connectors
from retl.runspec.pod import ENV_STAGING_DIR
from retl.runspec.result import RunResult
from retl.runspec.spec import RunSpec
from retl.state.owner import this_process
from retl.state.sql import SqlStateStore

STAGING = ".retl/staging"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says besides the request."""

    files: Sequence[Path]
    sync: str | None
    state: str
    secrets_dir: Path
    output: PlanOutput = PlanOutput.text


def resolved(request: local.Request, options: Options) -> list[RunSpec]:
    """The runs that are asked for, in file order; none, unless all of them are valid.

    Raises:
        InvalidInput: the manifests or options are wrong.
    """
    objects = local.read(options.files)
    syncs = local.choose(objects, options.sync, request)
    if request.approve and len(syncs) > 1:
        raise InvalidInput("--approve: names the plan of one sync; choose it with --sync")
    for sync in syncs:
        local.check_schedule(sync)
    return [local.run_spec(sync, objects, request) for sync in syncs]


def run_syncs(request: local.Request, options: Options) -> int:
    """Run the chosen syncs one after the other; the exit code.

    One that fails does not keep the others from running.

    Raises:
        InvalidInput: the manifests or options are wrong; nothing was run.
    """
    return asyncio.run(_run_all(resolved(request, options), options))


async def _run_all(specs: Sequence[RunSpec], options: Options) -> int:
    codes = []
    async with Stopping() as stopping:
        try:
            async with opened(options.state) as store:
                for spec in specs:
                    if stopping.by is None:
                        result, step = await run_one(spec, store, stopping.asked, options)
                        await _tell(spec, result, step, store, options)
                        codes.append(exits.of_result(result))
        except StateError as error:
            for spec in specs[len(codes) :]:
                result = _failed(spec, error)
                await _tell(spec, result, None, None, options)
                codes.append(exits.of_result(result))
    return exits.SIGNAL_BASE + stopping.by if stopping.by is not None else exits.worst(codes)


async def run_one(
    spec: RunSpec, store: SqlStateStore, stop: asyncio.Event, options: Options
) -> tuple[RunResult, Step | None]:
    """One run, and the step that it came to; a failure is a result too."""
    with showing_progress(spec) as progress:
        watched = Watched(progress)
        try:
            source, destination = connectors(spec, options.secrets_dir)
            result = await pipeline.run(
                spec,
                source,
                destination,
                store,
                staging=Path(os.environ.get(ENV_STAGING_DIR, STAGING)),
                owner=this_process(),
                stop=stop,
                progress=watched,
            )
        except RetlError as error:
            result = _failed(spec, error)
    return result, watched.at


def _failed(spec: RunSpec, error: RetlError) -> RunResult:
    return RunResult(run=spec.run.name, sync=spec.sync.name, status="Failed", reason=error.reason, message=str(error))


async def _tell(
    spec: RunSpec, result: RunResult, step: Step | None, store: SqlStateStore | None, options: Options
) -> None:
    """Say how a run ended: the result on stdout, why it failed on stderr."""
    plan = None
    if store is not None and (spec.run.mode == "Plan" or result.status == "AwaitingApproval"):
        plan = await store.plan(namespace=spec.sync.namespace, run=spec.run.name)
    if options.output == "json":
        document = {"plan": orjson.Fragment(plan) if plan else None} if spec.run.mode == "Plan" else {}
        typer.echo(orjson.dumps(tables.result_object(result) | document).decode())
    elif options.output == "markdown":
        typer.echo(_markdown(spec, result, plan, options))
    elif result.status != "Failed" or plan is not None:
        await _explain(spec, result, plan, store, options)
    if result.status == "Failed":
        tell_failure(result, step, as_text=options.output == "text")


def tell_failure(result: RunResult, step: Step | None, *, as_text: bool) -> None:
    """Say on stderr why a run failed: in one line, or for a person with what to do."""
    if not as_text:
        return typer.echo(f"retl: {result.sync}: {result.message}", err=True)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    headline = failures.headline(result, step)
    typer.echo(typer.style(headline, fg="red", bold=True) if coloured else headline, err=True)
    return typer.echo(failures.story(result, terminal_width()), err=True)


async def _explain(
    spec: RunSpec, result: RunResult, plan: bytes | None, store: SqlStateStore | None, options: Options
) -> None:
    """What a person may want to know and to do next."""
    width = terminal_width()
    if plan is None or result.status == "AwaitingApproval":
        typer.echo(tables.result_line(result, width))
    if result.message and result.status != "Failed":
        typer.echo(wrapped(result.message, width, "  "))
    if plan is not None:
        typer.echo(plans.text(plans.read(plan), _approval(spec, result, options), width))
    if result.dead_letters and store is not None:
        await show_letters(spec, result, store, options)


async def show_letters(spec: RunSpec, result: RunResult, store: SqlStateStore, options: Options) -> None:
    """Print the first open dead letters of a sync."""
    name, namespace = spec.sync.name, spec.sync.namespace
    listing = command("dlq list", state=options.state, sync=name, namespace=namespace)
    first = await store.dead_letters(namespace=namespace, sync=name, limit=letters.SAMPLE)
    typer.echo(letters.sample(result, first, listing, terminal_width()))


def _markdown(spec: RunSpec, result: RunResult, plan: bytes | None, options: Options) -> str:
    if plan is None:
        return plans.no_plan(result.sync, result.reason or result.status, result.message) + "\n"
    return plans.markdown(plans.read(plan), _approval(spec, result, options)) + "\n"


def _approval(spec: RunSpec, result: RunResult, options: Options) -> str:
    approve = ("--approve", result.plan_hash or "")
    return command(
        "run",
        *approve,
        state=options.state,
        files=options.files,
        secrets_dir=options.secrets_dir,
        sync=spec.sync.name,
    )
