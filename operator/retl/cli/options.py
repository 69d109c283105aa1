"""Options that several commands share, and the commands that a person is told to type next."""

import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retl.errors import InvalidInput

DEFAULT_NAMESPACE = "default"
DEFAULT_STATE = "sqlite:///.retl/state.db"
DEFAULT_SECRETS = Path(".retl/secrets")


class Output(StrEnum):
    """How results are written to stdout."""

    text = "text"
    json = "json"


class ClusterOutput(StrEnum):
    """How a cluster's objects are written to stdout."""

    text = "text"
    wide = "wide"
    json = "json"
    yaml = "yaml"
    name = "name"


class PlanOutput(StrEnum):
    """How plans are written to stdout."""

    text = "text"
    json = "json"
    markdown = "markdown"
    yaml = "yaml"
    name = "name"


Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", metavar="FILE", help="Manifest file or directory; - reads stdin. May be repeated."),
]
OptionalFiles = Annotated[
    list[Path] | None,
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
Approve = Annotated[
    str | None,
    typer.Option("--approve", metavar="PLAN_HASH", help="Write what this plan says, or nothing if rows changed."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most entries to show.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking back.")]


def local_output(form: StrEnum) -> PlanOutput:
    """The form of a local run's result (raises InvalidInput for one that only a cluster's objects have)."""
    if form in ("text", "json", "markdown"):
        return PlanOutput(form)
    raise InvalidInput(f"-o {form}: is for the objects of a cluster; without one there are text and json")


def program() -> str:
    """What a person types to call this program: it is installed as a plugin of kubectl, too."""
    return "kubectl retl" if Path(sys.argv[0]).name == "kubectl-retl" else "retl"


def command(
    verb: str,
    *words: str,
    state: str = DEFAULT_STATE,
    files: Sequence[Path] = (),
    secrets_dir: Path = DEFAULT_SECRETS,
    sync: str | None = None,
    namespace: str = DEFAULT_NAMESPACE,
) -> str:
    """A command that a person can copy; without the state URL where that may hold a password."""
    line = [word for file in files for word in ("-f", str(file))]
    if state.startswith("sqlite:") and state != DEFAULT_STATE:
        line += ["--state", state]
    if secrets_dir != DEFAULT_SECRETS:
        line += ["--secrets-dir", str(secrets_dir)]
    if sync is not None:
        line += ["--sync", sync]
    if namespace != DEFAULT_NAMESPACE:
        line += ["-n", namespace]
    return f"{program()} {verb} {shlex.join([*line, *words])}".rstrip()
