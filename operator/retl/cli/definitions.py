"""`retl crds`: the CustomResourceDefinitions, to stdout, into a directory, or compared with one."""

from pathlib import Path

import typer

from retl.errors import InvalidInput
from retl.resources import crds
from retl.runspec.pod import EXIT_FAILED, EXIT_SUCCEEDED


def print_crds() -> None:
    """All definitions as one YAML stream, for `kubectl apply -f -`."""
    typer.echo("---\n".join(crds.crds().values()), nl=False)


def write_crds(directory: Path) -> None:
    """Write one file a definition."""
    for path in crds.write(directory):
        typer.echo(path)


def check_crds(directory: Path | None) -> int:
    """Name the files that differ from what the models say; exit code 1 if there are any.

    Raises:
        InvalidInput: no directory was given.
    """
    if directory is None:
        raise InvalidInput("crds --check: name the directory to check")
    stale = crds.stale(directory)
    for name in stale:
        typer.echo(f"{directory / name}: differs from the models; run: retl crds {directory}", err=True)
    return EXIT_FAILED if stale else EXIT_SUCCEEDED
