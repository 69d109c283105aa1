"""The commands and their options. Each imports what carries it out only when it is called."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retl import __version__
from retl.cli import processes

EXIT_CODES = """\b
Exit codes:
  0    succeeded
  1    failed
  2    the manifests or options are wrong; nothing was run
  3    succeeded, but the sync has open dead letters (retl dlq list)
  4    a guard holds the run until its plan is approved (--approve)
  130  stopped by Ctrl-C, 143 by SIGTERM: what the destination acknowledged is kept
With several syncs, the worst of them."""

DEFAULT_STATE = "sqlite:///.retl/state.db"
DEFAULT_SECRETS = Path(".retl/secrets")


class Output(StrEnum):
    """How results are written to stdout."""

    text = "text"
    json = "json"


Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", metavar="FILE", help="Manifest file or directory; - reads stdin. May be repeated."),
]
Sync = Annotated[str | None, typer.Option("--sync", metavar="NAME", help="Only this ReverseETLSync.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the manifests.")]
State = Annotated[str, typer.Option("--state", metavar="URL", envvar="RETL_STATE_DATABASE_URL", help="State database.")]
SecretsDir = Annotated[
    Path,
    typer.Option(
        "--secrets-dir", metavar="DIR", envvar="RETL_SECRETS_DIR", help="Holds one directory a Secret, one file a key."
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the result on stdout.")]
FullRefresh = Annotated[bool, typer.Option("--full-refresh", help="Send every row again, also unchanged ones.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most entries to show.")]

app = typer.Typer(
    help="Reverse ETL: rows of a warehouse into the tools that people work in; only what changed, nothing lost.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help needs no 0.4 s of imports
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
dlq = typer.Typer(help="Dead letters: records that could not be written.", no_args_is_help=True, rich_markup_mode=None)
runs = typer.Typer(help="Runs that the state database remembers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dlq, name="dlq")
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
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Also log in at both ends of each sync and look for its columns and fields."),
    ] = False,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: OutputOption = Output.text,
) -> None:
    """Check manifests and say what to change.

    Fields, references, schedules, connector settings and mappings are checked without connecting to anything. Exit
    codes: 0 all is well, 1 an end cannot be reached or lacks something, 2 a manifest is wrong.
    """
    from retl.cli.validate import report

    raise typer.Exit(report(files, connect=connect, secrets_dir=secrets_dir, as_json=output is Output.json))


@app.command(epilog=EXIT_CODES)
def plan(
    files: Files,
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: OutputOption = Output.text,
    full_refresh: FullRefresh = False,
) -> None:
    """Count what a run would write, and write nothing."""
    from retl.cli.local import Request
    from retl.cli.run import Options, run_syncs

    options = Options(Request("Plan", full_refresh), sync, state, secrets_dir, output is Output.json)
    raise typer.Exit(run_syncs(files, options))


@app.command(epilog=EXIT_CODES)
def run(
    files: Files,
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: OutputOption = Output.text,
    full_refresh: FullRefresh = False,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="PLAN_HASH", help="Let the run go on if this is what it is about to write."),
    ] = None,
) -> None:
    """Run syncs here and now, without a cluster.

    All syncs of the files run one after the other in file order, or the one named by --sync; nothing runs unless all
    manifests are right. Ctrl-C stops cleanly, a second one at once.
    """
    from retl.cli.local import Request
    from retl.cli.run import Options, run_syncs

    options = Options(Request("Sync", full_refresh, approve), sync, state, secrets_dir, output is Output.json)
    raise typer.Exit(run_syncs(files, options))


@dlq.command("list")
def dlq_list(
    state: State = DEFAULT_STATE,
    sync: Sync = None,
    namespace: Namespace = "default",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Those that are resolved, instead of open ones.")
    ] = False,
    limit: Limit = 50,
    output: OutputOption = Output.text,
) -> None:
    """Show the records that could not be written, each with its reason, newest first."""
    from retl.cli.history import list_dead_letters

    list_dead_letters(state, namespace, sync, resolved=resolved, limit=limit, as_json=output is Output.json)


@runs.command("list")
def runs_list(
    state: State = DEFAULT_STATE,
    sync: Sync = None,
    namespace: Namespace = "default",
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


app.command()(processes.execute)
app.command()(processes.controller)
app.command()(processes.api)


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(__version__)
