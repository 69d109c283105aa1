"""What the state database remembers: past runs and dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import typer

from retl.cli import tables
from retl.errors import InvalidInput
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter, RunRecord, StateReader

T = TypeVar("T")
_SQLITE = "sqlite:///"


def list_dead_letters(
    state_url: str, namespace: str, sync: str | None, *, resolved: bool, limit: int, as_json: bool
) -> None:
    """Print dead letters, newest first; JSON is one object a line.

    Raises:
        InvalidInput: there is no such database.
        StateError: it cannot be used.
    """

    async def ask(reader: StateReader) -> list[DeadLetter]:
        return await reader.dead_letters(namespace=namespace, sync=sync, resolved=resolved, limit=limit)

    letters = _ask(state_url, ask)
    if as_json:
        _print_lines(tables.dead_letter_object(letter) for letter in letters)
    elif letters:
        typer.echo(tables.dead_letter_table(letters))
    else:
        typer.echo("no resolved dead letters" if resolved else "no open dead letters", err=True)


def list_runs(state_url: str, namespace: str, sync: str | None, *, limit: int, as_json: bool) -> None:
    """Print runs, newest first; JSON is one object a line.

    Raises:
        InvalidInput: there is no such database.
        StateError: it cannot be used.
    """

    async def ask(reader: StateReader) -> list[RunRecord]:
        return await reader.runs(namespace=namespace, sync=sync, limit=limit)

    runs = _ask(state_url, ask)
    if as_json:
        _print_lines(tables.run_object(run) for run in runs)
    elif runs:
        typer.echo(tables.run_table(runs))
    else:
        typer.echo("no runs yet", err=True)


def _ask(url: str, ask: Callable[[StateReader], Awaitable[T]]) -> T:
    file = Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and not file.exists():  # looking must not leave an empty database behind
        raise InvalidInput(f"state database {file}: there is none; give --state, or make one with retl run")
    return asyncio.run(_reading(url, ask))


async def _reading(url: str, ask: Callable[[StateReader], Awaitable[T]]) -> T:
    store = await SqlStateStore.open(url)
    try:
        return await ask(store)
    finally:
        await store.close()


def _print_lines(objects: Iterable[dict[str, Any]]) -> None:
    for each in objects:
        typer.echo(orjson.dumps(each).decode())
