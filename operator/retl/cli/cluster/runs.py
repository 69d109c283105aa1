"""`retl run`, `plan`, `approve` and replays of a cluster's syncs: a SyncRun is created or approved, and told of."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import typer

from retl.cli import exits, plans, tables
from retl.cli.cluster import state
from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.advice import Commands
from retl.cli.cluster.client import Cluster, ClusterError
from retl.cli.cluster.objects import the_run, the_sync
from retl.cli.cluster.state import StatePlace
from retl.cli.cluster.text import MACHINE, Form, machine, say
from retl.cli.cluster.waiting import Watching, finished
from retl.cli.text import count, plain, terminal_width, wrapped
from retl.errors import InvalidInput, StateError
from retl.resources import requests
from retl.resources.kinds import RUN, Manifest
from retl.resources.reasons import RUN_REASONS
from retl.resources.run import RunCounts
from retl.resources.views import Run
from retl.runspec.pod import EXIT_AWAITING_APPROVAL, EXIT_FAILED, EXIT_SUCCEEDED
from retl.runspec.result import RunResult

_INVALID = frozenset({"InvalidInput", "InvalidSpec", "InvalidSync", "InvalidConfig", "InvalidSchedule", "SyncIsDraft"})


def start(reach: Reach, name: str, spec: Mapping[str, Any], watching: Watching, form: Form) -> int:
    """Create a run of a sync, and wait for its end where that is asked for; the exit code.

    Args:
        spec: of the SyncRun, beside the reference.
    Raises:
        InvalidInput: there is no such sync, or it is a Draft.
    """
    run = ask(reach, lambda cluster: create(cluster, name, spec))
    commands = Commands(reach, run.meta.namespace)
    if not watching.wait and not watching.follow:
        if form in MACHINE:
            typer.echo(machine(form, run.manifest))
        else:
            say(f"{run.name} created; to see how it goes: {commands.retl('status', name)}")
        return EXIT_SUCCEEDED
    if form not in MACHINE:
        typer.echo(f"{run.name} created", err=True)
    run = finished(reach, run, watching)
    tell(run, commands, form)
    return code_of(run)


def plan(reach: Reach, name: str, spec: Mapping[str, Any], place: StatePlace, form: str) -> int:
    """Have the cluster make a plan, wait for it, and print it; the exit code.

    Args:
        form: also `markdown`, for a pull request.
    """
    run = ask(reach, lambda cluster: create(cluster, name, {"mode": "Plan", **spec}))
    typer.echo(f"{run.name} created", err=True)
    run = finished(reach, run, Watching(wait=True))
    commands = Commands(reach, run.meta.namespace)
    if form in tuple(MACHINE):
        typer.echo(machine(Form(form), run.manifest))
    elif run.phase == "Succeeded":
        approve = commands.retl("run", name, "--approve", run.status.plan_hash or "")
        say(ask(reach, lambda cluster: plan_text(cluster, place, run, approve, markdown=form == "markdown")))
    if run.phase != "Succeeded":
        _explain_failure(run, commands)
    return EXIT_SUCCEEDED if run.phase == "Succeeded" else code_of(run)


def approve(reach: Reach, name: str, place: StatePlace, *, plan_hash: str | None, yes: bool, form: Form) -> int:
    """Show what a run would write, and let it go on; the exit code.

    Args:
        plan_hash: the plan that is meant; without it a person is asked, unless `yes` is set.
    Raises:
        InvalidInput: the run does not await approval, or not of that plan; or nobody can be asked.
    """
    run = ask(reach, lambda cluster: the_run(cluster, name))
    requests.check_approvable(run, plan_hash)
    commands = Commands(reach, run.meta.namespace)
    if form not in MACHINE:
        again = commands.retl("approve", run.name, "--plan-hash", run.status.plan_hash or "")
        say(f"{run.name} is held: {run.reason}: {plain(run.message)}\n")
        say(ask(reach, lambda cluster: plan_text(cluster, place, run, again, markdown=False)))
    if plan_hash is None and not yes:
        if not sys.stdin.isatty():
            raise InvalidInput("approve: say which plan with --plan-hash, or that this one is meant with --yes")
        if not typer.confirm(f"Write exactly this (plan {run.status.plan_hash})?", err=True):
            return EXIT_AWAITING_APPROVAL
    change = requests.approve(run, run.status.plan_hash or "")
    after = ask(reach, lambda cluster: cluster.patch(RUN, run.name, change))
    if form in MACHINE:
        typer.echo(machine(form, after))
    else:
        say(f"{run.name} approved, plan {run.status.plan_hash}")
        say(f"  to see how it goes: {commands.retl('logs', run.name, '-f')}")
    return EXIT_SUCCEEDED


async def create(cluster: Cluster, name: str, spec: Mapping[str, Any]) -> Run:
    """Create a run under a name of its own."""
    manifest = requests.run_of(await the_sync(cluster, name), spec)
    return Run.read(await cluster.create(RUN, manifest))


async def plan_text(cluster: Cluster, place: StatePlace, run: Run, approve: str, *, markdown: bool) -> str:
    """The plan that a run has saved; where it cannot be read, its figures and why."""
    try:
        async with state.reader(cluster, place) as reader:
            document = await reader.plan(namespace=run.meta.namespace, run=run.name)
        trouble = "the state service has none of this run"
    except (ClusterError, StateError) as error:
        document, trouble = None, str(error)
    if document is not None:
        found = plans.read(document)
        return plans.markdown(found, approve) if markdown else plans.text(found, approve, terminal_width())
    figures = tables.accounting(run.status.counts or RunCounts())
    lines = [
        f"Plan of {run.sync}: {figures}",
        wrapped(f"  its samples cannot be shown: {trouble}", terminal_width(), hanging="    "),
    ]
    return "\n".join([*lines, "", f"To write exactly this: {approve}"])


def tell(run: Run, commands: Commands, form: Form) -> None:
    """Say how a run ended: the result on stdout, why it failed on stderr."""
    if form in MACHINE:
        typer.echo(machine(form, run.manifest))
        return
    result = result_of(run)
    if run.held:
        say(f"{run.sync}: AwaitingApproval, {tables.accounting(result.counts)}")
        say(wrapped(f"{run.reason}: {plain(run.message)}", terminal_width(), "  "))
        say(f"  to look at it and let it go on: {commands.retl('approve', run.name)}")
        say(f"  to drop it:                     {commands.retl('cancel', run.name)}")
    elif result.status == "Failed":
        _explain_failure(run, commands)
    else:
        say(tables.result_line(result, terminal_width()))
        if result.message:
            say(wrapped(plain(result.message), terminal_width(), "  "))
    if result.dead_letters:
        say(f"{run.sync}: {count(result.dead_letters, 'open dead letter')}")
        say(f"  to see them: {commands.dlq('list', run.sync)}")


def _explain_failure(run: Run, commands: Commands) -> None:
    reason = f" ({run.reason})" if run.reason else ""
    meaning = RUN_REASONS.get(run.reason)
    parts = {"cause": plain(run.message), "to do": meaning.do if meaning else ""}
    lines = [f"retl: {run.sync}: {(run.phase or 'Pending').lower()}{reason}"]
    lines += [
        wrapped(words, terminal_width(), f"  {name}: ".ljust(9), " " * 9) for name, words in parts.items() if words
    ]
    if run.status.attempt:
        lines.append(f"  log:   {commands.retl('logs', run.name)}")
    say("\n".join(lines), err=True)


def result_of(run: Run) -> RunResult:
    """The run's record in the form in which a local run has it."""
    status = run.status
    took = status.finished_at - status.started_at if status.finished_at and status.started_at else timedelta()
    return RunResult(
        run=run.name,
        sync=run.sync,
        status=run.phase if run.phase in ("Succeeded", "Cancelled", "AwaitingApproval") else "Failed",
        reason=run.reason,
        message=run.message[:2000],
        counts=status.counts or RunCounts(),
        dead_letters=status.dead_letters or 0,
        plan_hash=status.plan_hash,
        duration_seconds=max(0.0, took.total_seconds()),
    )


def code_of(run: Run) -> int:
    """Exit code, as of a local run."""
    if run.phase == "Failed" and run.reason in _INVALID:
        return exits.code_of(InvalidInput())
    if run.phase is None:
        return EXIT_FAILED
    return exits.of_result(result_of(run))


def spec_of(**wanted: Any) -> Manifest:
    """Fields of a SyncRun's spec, without those that say nothing."""
    return {name: value for name, value in wanted.items() if value}
