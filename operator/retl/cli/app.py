"""The commands and their options. Each imports what carries it out only when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from retl import __version__
from retl.cli import apikey, processes, queue
from retl.cli.cluster import commands
from retl.cli.cluster import options as of_cluster
from retl.cli.options import (
    DEFAULT_NAMESPACE,
    DEFAULT_SECRETS,
    DEFAULT_STATE,
    Approve,
    ClusterOutput,
    Files,
    FullRefresh,
    Limit,
    Namespace,
    OptionalFiles,
    Output,
    OutputOption,
    PlanOutput,
    SecretsDir,
    State,
    Sync,
    local_output,
)

EXIT_CODES = """\b
Exit codes:
  0    succeeded
  1    failed
  2    the manifests or options are wrong; nothing was run
  3    succeeded, but the sync has open dead letters (retl dlq list)
  4    a guard holds the run until its plan is approved (--approve)
  130  stopped by Ctrl-C, 143 by SIGTERM: what the destination acknowledged is kept
With several syncs, the worst of them."""

app = typer.Typer(
    help="Reverse ETL: rows of a warehouse into the tools that people work in; only what changed, nothing lost.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help needs no 0.4 s of imports
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
runs = typer.Typer(help="Runs that the state database remembers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(queue.app, name="dlq")
app.add_typer(apikey.app, name="apikey")
app.add_typer(runs, name="runs")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def validate(
    files: Files,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also log in at both ends of each sync and look for its columns and fields."),
    ] = False,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: OutputOption = Output.text,
) -> None:
    """Check manifests and say what to change.

    Fields, references, schedules, connector settings and mappings are checked without connecting to anything. Exit
    codes: 0 all is well, 1 an end cannot be reached or lacks something, 2 a manifest is wrong.
    """
    from retl.cli.validate import report

    raise typer.Exit(report(files, check=check, secrets_dir=secrets_dir, as_json=output is Output.json))


@app.command("test")
def check_mappings(
    files: Files,
    output: OutputOption = Output.text,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,
) -> None:
    """Test mappings: rows given in a file against the records that they should become.

    Needs no source, no destination and no secrets. Exit codes: 0 all passed, 1 a test failed, 2 a file is wrong.
    """
    from retl.cli.test import report

    raise typer.Exit(report(files, junit=junit, as_json=output is Output.json))


@app.command(epilog=EXIT_CODES)
def plan(
    ctx: typer.Context,
    name: of_cluster.OptionalSync = None,
    files: OptionalFiles = None,
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: Annotated[PlanOutput, typer.Option("--output", "-o", help="Form of the plan on stdout.")] = PlanOutput.text,
    full_refresh: FullRefresh = False,
    state_url: of_cluster.StateUrl = None,
    operator_namespace: of_cluster.OperatorNamespace = of_cluster.OPERATOR_NAMESPACE,
    namespace: of_cluster.Namespace = None,
    context: of_cluster.Context = None,
    kubeconfig: of_cluster.Kubeconfig = None,
) -> None:
    """Say what a run would write, and write nothing.

    With -f the syncs of files, here and without a cluster; with SYNC that of a cluster, there. A plan that a guard
    would hold says so and still exits with 0.
    """
    if of_cluster.means_cluster(ctx, name, files, local=_LOCAL, cluster=(*_CLUSTER, "state_url", "operator_namespace")):
        from retl.cli.cluster.runs import plan, spec_of

        reach = of_cluster.reach(kubeconfig, context, namespace)
        place = of_cluster.place(state_url, operator_namespace)
        raise typer.Exit(plan(reach, str(name), spec_of(fullRefresh=full_refresh), place, output))
    from retl.cli.local import Request
    from retl.cli.run import Options, run_syncs

    options = Options(files or [], sync, state, secrets_dir, local_output(output))
    raise typer.Exit(run_syncs(Request("Plan", full_refresh), options))


@app.command(epilog=EXIT_CODES)
def run(
    ctx: typer.Context,
    name: of_cluster.OptionalSync = None,
    files: OptionalFiles = None,
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: commands.Form = ClusterOutput.text,
    full_refresh: FullRefresh = False,
    approve: Approve = None,
    wait: of_cluster.Wait = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait, and show the logs of its attempts.")] = False,
    namespace: of_cluster.Namespace = None,
    context: of_cluster.Context = None,
    kubeconfig: of_cluster.Kubeconfig = None,
) -> None:
    """Run syncs: with -f those of files, here and without a cluster; with SYNC that of a cluster, there.

    All syncs of the files run one after the other in file order, or the one named by --sync; nothing runs unless all
    manifests are right. Ctrl-C stops cleanly, a second one at once. In a cluster a SyncRun is created; with --wait or
    --follow its end is awaited, and Ctrl-C ends the waiting only.
    """
    if of_cluster.means_cluster(ctx, name, files, local=_LOCAL, cluster=(*_CLUSTER, "wait", "follow")):
        from retl.cli.cluster.runs import spec_of, start
        from retl.cli.cluster.waiting import Watching

        approval = {"planHash": approve} if approve else None
        wanted = spec_of(fullRefresh=full_refresh, approval=approval)
        reach = of_cluster.reach(kubeconfig, context, namespace)
        raise typer.Exit(start(reach, str(name), wanted, Watching(wait, follow), output))
    from retl.cli.local import Request
    from retl.cli.run import Options, run_syncs

    options = Options(files or [], sync, state, secrets_dir, local_output(output))
    raise typer.Exit(run_syncs(Request("Sync", full_refresh, approve), options))


_LOCAL = ("sync", "state", "secrets_dir")
_CLUSTER = ("namespace", "context", "kubeconfig")


app.command()(commands.status)
app.command()(commands.why)
app.command("next")(commands.next_ticks)
app.command()(commands.cancel)
app.command()(commands.approve)
app.command()(commands.logs)
app.command()(commands.pause)
app.command()(commands.resume)
app.command()(commands.check)


@runs.command("list")
def runs_list(
    state: State = DEFAULT_STATE,
    sync: Sync = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Limit = 50,
    output: OutputOption = Output.text,
) -> None:
    """Show past runs, newest first."""
    from retl.cli.history import list_runs

    list_runs(state, namespace, sync, limit=limit, as_json=output is Output.json)


@app.command()
def crds(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Directory to write to or check; without it, stdout.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file differs.")] = False,
) -> None:
    """Write the CustomResourceDefinitions."""
    from retl.cli.definitions import check_crds, print_crds, write_crds

    if check:
        raise typer.Exit(check_crds(directory))
    if directory is None:
        print_crds()
    else:
        write_crds(directory)


@app.command()
def connectors(output: OutputOption = Output.text) -> None:
    """Show the connectors that are installed, third parties' included, and what they can do."""
    from retl.cli.connectors import show

    show(as_json=output is Output.json)


@app.command()
def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A kind, such as SyncDestination, or a connector.")],
    credentials: Annotated[
        bool, typer.Option("--credentials", help="Of a connector: the schema of its Secret's keys instead.")
    ] = False,
) -> None:
    """Write the JSON Schema that an editor checks a manifest with.

    Of a connector it is that of the SyncSource or SyncDestination which uses it, or both, with its own settings.
    """
    from retl.cli.schemas import show

    show(name, credentials=credentials)


app.command()(processes.execute)
app.command()(processes.controller)
app.command()(processes.api)
app.command()(processes.migrate)


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(__version__)
