"""The commands on a cluster and their options. Each imports what carries it out only when it is called."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from retl.cli.cluster.options import (
    OPERATOR_NAMESPACE,
    Context,
    Kubeconfig,
    Namespace,
    OperatorNamespace,
    OptionalSync,
    RunName,
    StateUrl,
    SyncName,
    complete_connections,
    means_cluster,
    place,
    reach,
)
from retl.cli.options import ClusterOutput, Output, OutputOption, Yes

Form = Annotated[ClusterOutput, typer.Option("--output", "-o", help="Form of the result on stdout.")]


def status(
    sync: OptionalSync = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Syncs of all namespaces.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Form = ClusterOutput.text,
) -> None:
    """Show the cluster's syncs, or all of one."""
    from retl.cli.cluster.status import show

    show(reach(kubeconfig, context, namespace), sync, everywhere=everywhere, form=output)


def why(
    sync: SyncName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: OutputOption = Output.text,
) -> None:
    """Say why a sync runs, waits or does not run, and what to do."""
    from retl.cli.cluster.why import explain

    explain(reach(kubeconfig, context, namespace), sync, as_json=output is Output.json)


def next_ticks(
    ctx: typer.Context,
    sync: OptionalSync = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Manifests, in place of a cluster; - reads stdin."),
    ] = None,
    number: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many ticks.")] = 10,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: OutputOption = Output.text,
) -> None:
    """Show when a sync's schedule fires next, and which ticks a blackout covers."""
    from retl.cli.cluster import upcoming

    as_json = output is Output.json
    if means_cluster(ctx, sync, files, local=(), cluster=("namespace", "context", "kubeconfig")):
        upcoming.of_cluster(reach(kubeconfig, context, namespace), str(sync), number, as_json=as_json)
    else:
        upcoming.of_files(files or [], number, as_json=as_json)


def pause(
    sync: SyncName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    output: Form = ClusterOutput.text,
) -> None:
    """Let no tick run a sync, until it is resumed; runs by hand still do."""
    from retl.cli.cluster.edits import set_state

    set_state(reach(kubeconfig, context, namespace), sync, "Paused", yes=yes, form=output)


def resume(
    sync: SyncName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    output: Form = ClusterOutput.text,
) -> None:
    """Let the ticks of a sync run it."""
    from retl.cli.cluster.edits import set_state

    set_state(reach(kubeconfig, context, namespace), sync, "Active", yes=yes, form=output)


def cancel(
    run: RunName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Form = ClusterOutput.text,
) -> None:
    """End a run; what the destination has acknowledged is kept."""
    from retl.cli.cluster.edits import cancel

    cancel(reach(kubeconfig, context, namespace), run, form=output)


def approve(
    run: RunName,
    plan_hash: Annotated[
        str | None, typer.Option("--plan-hash", metavar="HASH", help="The plan that is meant, instead of asking back.")
    ] = None,
    yes: Yes = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Form = ClusterOutput.text,
) -> None:
    """Show what a run that a guard holds would write, and let it go on."""
    from retl.cli.cluster.runs import approve

    where = place(state_url, operator_namespace)
    chosen = reach(kubeconfig, context, namespace)
    raise typer.Exit(approve(chosen, run, where, plan_hash=plan_hash, yes=yes, form=output))


def logs(
    run: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt ends.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which one; the newest if not set.")] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, metavar="LINES", help="Only the last lines.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what the runner of an attempt has written."""
    from retl.cli.cluster.logs import show

    show(reach(kubeconfig, context, namespace), run, follow=follow, attempt=attempt, tail=tail)


def check(
    connection: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE|DESTINATION",
            help="A SyncSource or SyncDestination; source/NAME or destination/NAME where both have the name.",
            autocompletion=complete_connections,
        ),
    ],
    timeout: Annotated[int, typer.Option("--timeout", min=1, metavar="SECONDS", help="Longest wait.")] = 300,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Form = ClusterOutput.text,
) -> None:
    """Have the cluster log in at a source or destination now, and say what it finds.

    Exit codes: 0 it can be used, 1 it cannot, or nothing was found in time.
    """
    from retl.cli.cluster.edits import check

    chosen = reach(kubeconfig, context, namespace)
    raise typer.Exit(check(chosen, connection, patience=timedelta(seconds=timeout), form=output))
