"""What the state database remembers: past runs and dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
import typer

from retl.cli import tables
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter, RunRecord, StateReader

T = TypeVar("T")


def list_dead_letters(
    state_url: str, namespace: str, sync: str | None, *, resolved: bool, limit: int, as_json: bool
) -> None:
    """Print dead letters, newest first; JSON is one object a line.

    Raises:
        StateError: the state database cannot be used.
    """

    async def ask(reader: StateReader) -> list[DeadLetter]:
        return await reader.dead_letters(namespace=namespace, sync=sync, resolved=resolved, limit=limit)

    letters = asyncio.run(_reading(state_url, ask))
    if as_json:
        _print_lines(tables.dead_letter_object(letter) for letter in letters)
    elif letters:
        typer.echo(tables.dead_letter_table(letters))
    else:
        typer.echo("no resolved dead letters" if resolved else "no open dead letters", err=True)


def list_runs(state_url: str, namespace: str, sync: str | None, *, limit: int, as_json: bool) -> None:
    """Print runs, newest first; JSON is one object a line.

    Raises:
        StateError: the state database cannot be used.
    """

    async def ask(reader: StateReader) -> list[RunRecord]:
        return await reader.runs(namespace=namespace, sync=sync, limit=limit)

    runs = asyncio.run(_reading(state_url, ask))
    if as_json:
        _print_lines(tables.run_object(run) for run in runs)
    elif runs:
        typer.echo(tables.run_table(runs))
    else:
        typer.echo("no runs yet", err=True)


async def _reading(url: str, ask: Callable[[StateReader], Awaitable[T]]) -> T:
    store = await SqlStateStore.open(url)
    try:
        return await ask(store)
    finally:
        await store.close()


def _print_lines(objects: Iterable[dict[str, Any]]) -> None:
    for each in objects:
        typer.echo(orjson.dumps(each).decode())
