"""Options of the commands that speak to a cluster, and names to complete them with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retl.errors import InvalidInput

if TYPE_CHECKING:
    from retl.cli.cluster.access import Reach
    from retl.cli.cluster.state import StatePlace

ENV_STATE_URL = "RETL_STATE_URL"
"""As the controller's."""
ENV_OPERATOR_NAMESPACE = "RETL_OPERATOR_NAMESPACE"
OPERATOR_NAMESPACE = "retl-system"


def _names(ctx: typer.Context, incomplete: str, *kinds: str) -> list[str]:
    """Names of the cluster's objects; nothing at all where anything goes wrong, and after two seconds."""
    try:
        from retl.cli.cluster.completion import names_like

        return names_like(
            reach(**{key: ctx.params.get(key) for key in ("kubeconfig", "context", "namespace")}), kinds, incomplete
        )
    except Exception:
        return []


def complete_syncs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of syncs."""
    return _names(ctx, incomplete, "ReverseETLSync")


def complete_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs and of syncs."""
    return _names(ctx, incomplete, "ReverseETLSync", "SyncRun")


def complete_connections(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of sources and destinations."""
    return _names(ctx, incomplete, "SyncSource", "SyncDestination")


Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="How to reach the cluster. Default: KUBECONFIG, ~/.kube/config."),
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace. Default: the context's.")
]
StateUrl = Annotated[
    str | None,
    typer.Option(
        "--state-url",
        metavar="URL",
        envvar=ENV_STATE_URL,
        help="The cluster's state service. Default: the API pod, through the API server.",
    ),
]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace", metavar="NAME", envvar=ENV_OPERATOR_NAMESPACE, help="Where the operator's API pod is."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the cluster's run ends; exit as it did.")]
SyncName = Annotated[
    str, typer.Argument(metavar="SYNC", help="A ReverseETLSync of the cluster.", autocompletion=complete_syncs)
]
OptionalSync = Annotated[
    str | None, typer.Argument(metavar="SYNC", help="A ReverseETLSync of the cluster.", autocompletion=complete_syncs)
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN|SYNC",
        help="A SyncRun; of a ReverseETLSync the run that is under way, else the newest.",
        autocompletion=complete_runs,
    ),
]


def reach(kubeconfig: Path | None, context: str | None, namespace: str | None) -> "Reach":
    """The options as a value."""
    from retl.cli.cluster.access import Reach

    return Reach(kubeconfig, context, namespace)


def place(state_url: str | None, operator_namespace: str) -> "StatePlace":
    """The options as a value."""
    from retl.cli.cluster.state import StatePlace

    return StatePlace(state_url, operator_namespace)


def means_cluster(
    ctx: typer.Context, name: str | None, files: Any, *, local: tuple[str, ...], cluster: tuple[str, ...]
) -> bool:
    """Whether a command is for a sync of a cluster, which it names, or for those of files, here.

    Args:
        local, cluster: options that make sense with the one or the other only.
    Raises:
        InvalidInput: both are named, or neither, or an option is not for what is named.
    """
    verb = ctx.info_name
    if bool(name) == bool(files):
        choose = "give one of them, not both" if name else "give one of them"
        raise InvalidInput(
            f"{verb}: SYNC names a sync of a cluster, -f the files of syncs to {verb} here, without a cluster: {choose}"
        )
    foreign = local if name else cluster
    given = [option for option in foreign if was_given(ctx, option)]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        kind = "the syncs of files (-f), without a cluster" if name else "a sync of a cluster (SYNC)"
        raise InvalidInput(f"{verb}: {option} is for {kind}")
    return bool(name)


def was_given(ctx: typer.Context, option: str) -> bool:
    """Whether a person has typed the option."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
