"""`retl runs list`: the runs that the state database remembers."""

import orjson
import typer

from retl.cli import stores, tables
from retl.cli.text import terminal_width


def list_runs(state_url: str, namespace: str, sync: str | None, *, limit: int, as_json: bool) -> None:
    """Print runs, newest first; JSON is one object a line.

    Raises:
        InvalidInput: there is no such database.
        StateError: it cannot be used.
    """
    runs = stores.ask(state_url, lambda store: store.runs(namespace=namespace, sync=sync, limit=limit))
    if as_json:
        for run in runs:
            typer.echo(orjson.dumps(tables.run_object(run)).decode())
    elif runs:
        typer.echo(tables.run_table(runs, terminal_width()))
    else:
        typer.echo("no runs yet", err=True)
