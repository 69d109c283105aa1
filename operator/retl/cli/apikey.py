"""The commands on API keys and their options. Each imports what carries it out only when it is called."""

from enum import StrEnum
from typing import Annotated

import typer

from retl.cli.cluster.options import OPERATOR_NAMESPACE, Context, Kubeconfig, Namespace, reach
from retl.cli.options import Output, OutputOption

app = typer.Typer(
    help="Keys of the REST API, for programs that have no Kubernetes token.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Role(StrEnum):
    """What the ServiceAccount of a key may do in its namespace."""

    viewer = "viewer"
    operator = "operator"
    admin = "admin"


KeysNamespace = Annotated[
    str,
    typer.Option(
        "--keys-namespace", metavar="NAME", envvar="RETL_KEYS_NAMESPACE", help="Where the operator keeps its keys."
    ),
]


@app.command()
def create(
    role: Annotated[
        Role | None,
        typer.Option("--role", help="Speak for the ServiceAccount NAME-ROLE, which is made if need be, with its role."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--service-account", metavar="NAME", help="Or speak for this one, with the rights that it has."),
    ] = None,
    operator_name: Annotated[
        str,
        typer.Option(
            "--operator-name",
            metavar="NAME",
            envvar="RETL_OPERATOR_NAME",
            help="The NAME of NAME-ROLE: what the chart's nameOverride is.",
        ),
    ] = "retl",
    expires: Annotated[
        str, typer.Option("--expires", metavar="DURATION", help="For how long it is good, at most 366d.")
    ] = "90d",
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help="Who uses it, for `retl apikey list`.")
    ] = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    keys_namespace: KeysNamespace = OPERATOR_NAMESPACE,
    output: OutputOption = Output.text,
) -> None:
    """Make a key for a ServiceAccount of a namespace, and print it; it is shown this once."""
    from retl.cli.cluster.apikeys import Wish, create

    wish = Wish(f"{operator_name}-{role}" if role else None, account, expires, description)
    create(reach(kubeconfig, context, namespace), keys_namespace, wish, as_json=output is Output.json)


@app.command("list")
def list_(
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    keys_namespace: KeysNamespace = OPERATOR_NAMESPACE,
    output: OutputOption = Output.text,
) -> None:
    """List keys: those of a namespace, or without -n all."""
    from retl.cli.cluster.apikeys import show

    show(reach(kubeconfig, context, namespace), keys_namespace, as_json=output is Output.json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as retl apikey list shows it.")],
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    keys_namespace: KeysNamespace = OPERATOR_NAMESPACE,
) -> None:
    """Make a key worthless, at once."""
    from retl.cli.cluster.apikeys import revoke

    revoke(reach(kubeconfig, context, None), keys_namespace, key_id)
