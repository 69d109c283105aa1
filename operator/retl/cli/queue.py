"""The commands on dead letters and their options. Each imports what carries it out only when it is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retl.cli.cluster.commands import Form
from retl.cli.cluster.options import (
    OPERATOR_NAMESPACE,
    Context,
    Kubeconfig,
    Namespace,
    OperatorNamespace,
    OptionalSync,
    StateUrl,
    Wait,
    complete_syncs,
    means_cluster,
    place,
    reach,
    was_given,
)
from retl.cli.options import (
    DEFAULT_NAMESPACE,
    DEFAULT_SECRETS,
    DEFAULT_STATE,
    ClusterOutput,
    Limit,
    OptionalFiles,
    Output,
    OutputOption,
    SecretsDir,
    State,
    Sync,
    Yes,
    local_output,
    program,
)
from retl.errors import InvalidInput

if TYPE_CHECKING:
    from retl.cli.dead_letters import Queue

Code = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those with this code.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of entries, as retl dlq list shows them.")]

InCluster = Annotated[
    bool, typer.Option("--cluster", help="Those of the cluster, and not of a state database; so does any option of it.")
]

app = typer.Typer(help="Dead letters: records that could not be written.", no_args_is_help=True, rich_markup_mode=None)


def _queue(ctx: typer.Context, *, named: bool = False) -> "Queue":
    """Whose dead letters: the cluster's if it is named in any way or this is kubectl's plugin, else a database's."""
    given = ctx.params
    of_cluster = [option for option in _OF_CLUSTER if was_given(ctx, option)]
    if was_given(ctx, "state"):
        if named or of_cluster:
            raise InvalidInput(f"{ctx.info_name}: --state names a state database, not a cluster's: give one of them")
    elif named or of_cluster or program() != "retl":
        from retl.cli.cluster.dlq import ClusterQueue

        chosen = reach(given["kubeconfig"], given["context"], given["namespace"])
        return ClusterQueue(chosen, place(given["state_url"], given["operator_namespace"]))
    from retl.cli.dead_letters import LocalQueue

    return LocalQueue(given["state"], given["namespace"] or DEFAULT_NAMESPACE)


_OF_CLUSTER = ("cluster", "context", "kubeconfig", "state_url", "operator_namespace")


@app.command("list")
def list_(
    ctx: typer.Context,
    name: OptionalSync = None,
    sync: Sync = None,
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
    state: State = DEFAULT_STATE,
    cluster: InCluster = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
) -> None:
    """List them, last seen first, each with its reason: of a sync of the cluster, or of a state database."""
    from retl.cli.dead_letters import Scope, list_letters

    scope = Scope(_queue(ctx, named=name is not None), name or sync, code)
    list_letters(scope, since=since, resolved=resolved, limit=limit, after=after, as_json=output is Output.json)


@app.command()
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the entry, as retl dlq list shows it.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Manifests: show the record, without its sensitive fields."),
    ] = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show the record; all of it, unless -f says what is sensitive.")
    ] = False,
    output: OutputOption = Output.text,
    state: State = DEFAULT_STATE,
    cluster: InCluster = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
) -> None:
    """Show all of one entry."""
    from retl.cli.dead_letters import Scope, show

    show(Scope(_queue(ctx)), letter_id, files or (), payload=payload, as_json=output is Output.json)


@app.command()
def stats(
    ctx: typer.Context,
    name: OptionalSync = None,
    sync: Sync = None,
    output: OutputOption = Output.text,
    state: State = DEFAULT_STATE,
    cluster: InCluster = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
) -> None:
    """Count them, by code and by sync."""
    from retl.cli.dead_letters import Scope, show_statistics

    show_statistics(Scope(_queue(ctx, named=name is not None), name or sync), as_json=output is Output.json)


@app.command()
def resolve(
    ctx: typer.Context,
    ids: Ids = None,
    code: Code = None,
    everything: Annotated[bool, typer.Option("--all", help="All open entries.")] = False,
    sync: Sync = None,
    yes: Yes = False,
    state: State = DEFAULT_STATE,
    cluster: InCluster = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
) -> None:
    """Close entries without sending them.

    Their rows are left out until they change.
    """
    from retl.cli.dead_letters import Scope, resolve

    resolve(Scope(_queue(ctx), sync, code), ids or (), everything=everything, yes=yes)


@app.command()
def replay(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SYNC ID",
            help="A ReverseETLSync of the cluster (not with -f), and ids of entries, as retl dlq list shows them.",
            autocompletion=complete_syncs,
        ),
    ] = None,
    files: OptionalFiles = None,
    code: Code = None,
    sync: Sync = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Send the records as they were kept, not as the source has them now.")
    ] = False,
    state: State = DEFAULT_STATE,
    secrets_dir: SecretsDir = DEFAULT_SECRETS,
    wait: Wait = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Form = ClusterOutput.text,
) -> None:
    """Send entries of one sync again: with -f here and without a cluster, with SYNC in the cluster, by a SyncRun.

    All open ones, or those of some ids or of a code. The rows are read from the source again, and sent as they are
    now. Exit codes are those of retl run.
    """
    from retl.cli.dead_letters import Choice

    if files:
        from retl.cli.replay import replay
        from retl.cli.run import Options

        means_cluster(ctx, None, files, local=(), cluster=("wait", "namespace", "context", "kubeconfig"))
        options = Options(files, sync, state, secrets_dir, local_output(output))
        raise typer.Exit(replay(Choice(tuple(names or ()), code, stored), options))
    from retl.cli.cluster import dlq, waiting

    name, *ids = names or [""]
    means_cluster(ctx, name, files, local=("sync", "state", "secrets_dir"), cluster=())
    chosen = Choice(tuple(ids), code, stored)
    raise typer.Exit(dlq.replay(reach(kubeconfig, context, namespace), name, chosen, waiting.Watching(wait), output))


@app.command()
def erase(
    ctx: typer.Context,
    subject: Annotated[
        str, typer.Option("--subject", metavar="FIELD=VALUE", help="A destination field, and the value to forget.")
    ],
    sync: Sync = None,
    yes: Yes = False,
    state: State = DEFAULT_STATE,
    cluster: InCluster = False,
    state_url: StateUrl = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
) -> None:
    """Forget what entries hold of a person, open and resolved ones."""
    from retl.cli.dead_letters import Scope, erase

    erase(Scope(_queue(ctx), sync), subject, yes=yes)
