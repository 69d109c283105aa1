"""The commands on dead letters and their options. Each imports what carries it out only when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from retl.cli.options import (
    DEFAULT_NAMESPACE,
    DEFAULT_SECRETS,
    DEFAULT_STATE,
    Files,
    Limit,
    Namespace,
    Output,
    OutputOption,
    PlanOutput,
    SecretsDir,
    State,
    Sync,
    Yes,
)

Code = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those with this code.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of entries, as retl dlq list shows them.")
]

app = typer.Typer(help="Dead letters: records that could not be written.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(
    state: State = DEFAULT_STATE,
    sync: Sync = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    code: Code = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only those seen since: 2h, 7d, 2026-01-31.")
    ] = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Those that are resolved, instead of open ones.")
    ] = False,
    limit: Limit = 50,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="CURSOR", help="The page after this one, as the last page named it."),
    ] = None,
    output: OutputOption = Output.text,
) -> None:
    """List them, last seen first, each with its reason."""
    from retl.cli.dead_letters import Scope, list_letters

    scope = Scope(state, namespace, sync, code)
    list_letters(scope, since=since, resolved=resolved, limit=limit, after=after, as_json=output is Output.json)


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the entry, as retl dlq list shows it.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Manifests: show the record, without its sensitive fields."),
    ] = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show the record; all of it, unless -f says what is sensitive.")
    ] = False,
    state: State = DEFAULT_STATE,
    namespace: Namespace = DEFAULT_NAMESPACE,
    output: OutputOption = Output.text,
) -> None:
    """Show all of one entry."""
    from retl.cli.dead_letters import Scope, show

    show(Scope(state, namespace), letter_id, files or (), payload=payload, as_json=output is Output.json)


@app.command()
def stats(
    state: State = DEFAULT_STATE,
    sync: Sync = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    output: OutputOption = Output.text,
) -> None:
    """Count them, by code and by sync."""
    from retl.cli.dead_letters import Scope, show_statistics

    show_statistics(Scope(state, namespace, sync), as_json=output is Output.json)


@app.command()
def resolve(
    ids: Ids = None,
    code: Code = None,
    everything: Annotated[bool, typer.Option("--all", help="All open entries.")] = False,
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    namespace: Namespace = DEFAULT_NAMESPACE,
    yes: Yes = False,
) -> None:
    """Close entries without sending them.

    Their rows are left out until they change.
    """
    from retl.cli.dead_letters import Scope, resolve

    resolve(Scope(state, namespace, sync, code), ids or (), everything=everything, yes=yes)


@app.command()
def replay(
    files: Files,
    ids: Ids = None,
    code: Code = None,
    sync: Sync = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Send the records as they were kept, not as the source has them now.")
    ] = False,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    output: OutputOption = Output.text,
) -> None:
    """Send entries of one sync again.

    All open ones, or those of some ids or of a code. The rows are read from the source again, and sent as they are
    now. Exit codes are those of retl run.
    """
    from retl.cli.replay import Choice, replay
    from retl.cli.run import Options

    options = Options(files, sync, state, secrets_dir, PlanOutput(output))
    raise typer.Exit(replay(Choice(tuple(ids or ()), code, stored), options))


@app.command()
def erase(
    subject: Annotated[
        str, typer.Option("--subject", metavar="FIELD=VALUE", help="A destination field, and the value to forget.")
    ],
    sync: Sync = None,
    state: State = DEFAULT_STATE,
    namespace: Namespace = DEFAULT_NAMESPACE,
    yes: Yes = False,
) -> None:
    """Forget what entries hold of a person, open and resolved ones."""
    from retl.cli.dead_letters import Scope, erase

    erase(Scope(state, namespace, sync), subject, yes=yes)
