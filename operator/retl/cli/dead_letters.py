"""`retl dlq list|show|stats|resolve|erase`: looking at dead letters, and closing or forgetting them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import orjson
import typer

from retl.cli import letters, local
from retl.cli.options import DEFAULT_NAMESPACE, command, program
from retl.cli.text import count, terminal_width
from retl.errors import InvalidInput
from retl.resources import ReverseETLSync
from retl.resources.fields import parse_duration
from retl.resources.run import Replay
from retl.state.store import DeadLetter, StateReader

PAGE = 1_000
IDS_MAX = 1_000
"""Entries that one replay can name."""
T = TypeVar("T")
FILES = Path("FILES")


class Queue(Protocol):
    """The dead letters of one namespace, wherever they are kept."""

    def ask(self, question: Callable[[StateReader, str], Awaitable[T]]) -> T:
        """The answer to a question about them; it is told the namespace (raises InvalidInput, StateError)."""

    def command(self, verb: str, *words: str, sync: str | None = None) -> str:
        """A command on the same entries that a person can copy."""

    def replay(self, letter: DeadLetter, files: Sequence[Path]) -> str:
        """The command that sends an entry again."""


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """Those of a state database."""

    state: str
    namespace: str = DEFAULT_NAMESPACE

    def ask(self, question: Callable[[StateReader, str], Awaitable[T]]) -> T:
        from retl.cli import stores  # a cluster's queue has no need of a database's driver

        return stores.ask(self.state, lambda store: question(store, self.namespace))

    def command(self, verb: str, *words: str, sync: str | None = None) -> str:
        return command(verb, *words, state=self.state, sync=sync, namespace=self.namespace)

    def replay(self, letter: DeadLetter, files: Sequence[Path]) -> str:
        return command("dlq replay", letter.id, state=self.state, files=files or [FILES], sync=letter.sync)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which dead letters are meant, as the options say."""

    queue: Queue
    sync: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries to send again: those of these ids, or of this code, or all."""

    ids: Sequence[str] = ()
    code: str | None = None
    stored: bool = False

    def replay(self) -> Replay:
        """What the run is told (raises InvalidInput for a choice that contradicts itself)."""
        if self.ids and self.code:
            raise InvalidInput("dlq replay: choose entries by their ids or by --code, not both")
        if len(self.ids) > IDS_MAX:
            raise InvalidInput(f"dlq replay: {len(self.ids):,} ids, and one replay takes {IDS_MAX:,}; choose by --code")
        codes = [self.code] if self.code else []
        return Replay(entries=list(self.ids), codes=codes, payload="Stored" if self.stored else "Fresh")


def list_letters(
    scope: Scope, *, since: str | None, resolved: bool, limit: int, after: str | None, as_json: bool
) -> None:
    """Print a page, last seen first; JSON is one object a line.

    Raises:
        InvalidInput: there is no such database, or `since` or `after` is wrong.
        StateError: the database cannot be used.
    """
    begin = moment(since, datetime.now(UTC)) if since else None
    found = scope.queue.ask(
        lambda store, namespace: store.dead_letters(
            namespace=namespace,
            sync=scope.sync,
            resolved=resolved,
            code=scope.code,
            since=begin,
            limit=limit + 1,
            after=after,
        ),
    )
    page = found[:limit]
    if as_json:
        for letter in page:
            typer.echo(orjson.dumps(letters.letter_object(letter)).decode())
    elif page:
        typer.echo(letters.letter_table(page, terminal_width()))
    else:
        typer.echo("no resolved dead letters" if resolved else "no open dead letters", err=True)
    if len(found) > limit and not as_json:
        more = ["--resolved"] * resolved
        for option, value in (("--code", scope.code), ("--since", since), ("--after", page[-1].cursor)):
            more += [option, value] if value else []
        typer.echo(f"more: {_command('dlq list', scope, *more, '--limit', str(limit))}")


def show(scope: Scope, letter_id: str, files: Sequence[Path], *, payload: bool, as_json: bool) -> None:
    """Print all of one entry; its payload where that was asked for, or where manifests say what is sensitive in it.

    Raises:
        InvalidInput: there is no such entry, or the manifests do not hold its sync.
        StateError: the database cannot be used.
    """
    letter = scope.queue.ask(lambda store, namespace: _found(store, namespace, letter_id))
    kept = letter.payload
    if files and kept is not None:
        kept = letters.redacted(kept, _sensitive(letter, files))
    shown = kept if files or payload else None
    if as_json:
        whole = {"payload": orjson.Fragment(shown)} if shown is not None else {}
        return typer.echo(orjson.dumps(letters.letter_object(letter) | whole).decode())
    typer.echo(letters.letter_page(letter, shown, terminal_width()))
    if letter.resolved_at is None:
        typer.echo(f"\nto send it again: {scope.queue.replay(letter, files)}")
        typer.echo(f"to leave it out:  {_command('dlq resolve', scope, letter.id)}")
    if shown is None and letter.payload is not None:
        typer.echo(f"its payload:      {_command('dlq show', scope, letter.id, '--payload')}")
    return None


def show_statistics(scope: Scope, *, as_json: bool) -> None:
    """Print the numbers.

    Raises:
        InvalidInput: there is no such database.
        StateError: it cannot be used.
    """
    numbers = scope.queue.ask(lambda store, namespace: store.statistics(namespace=namespace, sync=scope.sync))
    if as_json:
        typer.echo(orjson.dumps(letters.statistics_object(numbers)).decode())
    else:
        typer.echo(letters.statistics_text(numbers, terminal_width()))


def resolve(scope: Scope, ids: Sequence[str], *, everything: bool, yes: bool) -> None:
    """Dismiss entries: their rows are left out until they change.

    Raises:
        InvalidInput: nothing, or two things at once, were chosen; several entries were, and `yes` is not set.
        StateError: the database cannot be used.
    """
    if sum((bool(ids), scope.code is not None, everything)) != 1:
        raise InvalidInput("dlq resolve: choose entries by their ids, by --code, or all of them with --all")

    async def dismiss(store: StateReader, namespace: str) -> int:
        numbers = await store.statistics(namespace=namespace, sync=scope.sync)
        chosen = len(ids) or (numbers.open if everything else numbers.by_code.get(scope.code or "", 0))
        if chosen > 1 and not yes:
            raise InvalidInput(
                f"dlq resolve: this would dismiss {count(chosen, 'entry', 'entries')}, whose rows are left out until "
                "they change; add --yes to do so"
            )
        if ids:
            return await store.resolve(namespace=namespace, ids=ids)
        return await _dismiss_pages(store, namespace, scope)

    done = scope.queue.ask(dismiss)
    passed = f"; {len(ids) - done:,} had no open entry" if ids and done < len(ids) else ""
    typer.echo(f"dismissed {count(done, 'dead letter')}{passed}")


def erase(scope: Scope, subject: str, *, yes: bool) -> None:
    """Forget what entries hold of a person.

    Raises:
        InvalidInput: the subject is not `field=value`, or `yes` is not set.
        StateError: the database cannot be used.
    """
    field, equals, value = subject.partition("=")
    if not field or not equals or not value:
        raise InvalidInput("--subject: write a destination field and its value, such as email=ada@example.com")
    if not yes:
        raise InvalidInput("dlq erase: what is erased cannot be replayed or looked at again; add --yes to do so")
    done = scope.queue.ask(
        lambda store, namespace: store.erase(namespace=namespace, field=field, value=value, sync=scope.sync)
    )
    typer.echo(f"erased {count(done, 'dead letter')}")


def moment(text: str, now: datetime) -> datetime:
    """The moment that `--since` names: so long ago (2h, 7d), or a date or time (UTC unless it says).

    Raises:
        InvalidInput: it is neither.
    """
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--since: {text!r} is no moment; write 2h, 7d, 2026-01-31 or 2026-01-31T23:59:00Z"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


async def _found(store: StateReader, namespace: str, letter_id: str) -> DeadLetter:
    letter = await store.dead_letter(namespace=namespace, id=letter_id)
    if letter is None:
        raise InvalidInput(
            f"no dead letter {letter_id!r} in namespace {namespace!r}; {program()} dlq list shows those there are"
        )
    return letter


async def _dismiss_pages(store: StateReader, namespace: str, scope: Scope) -> int:
    """Page after page, so that a million entries need no more memory than a thousand."""
    done, after = 0, None
    while page := await store.dead_letters(
        namespace=namespace, sync=scope.sync, code=scope.code, limit=PAGE, after=after
    ):
        done += await store.resolve(namespace=namespace, ids=[letter.id for letter in page])
        after = page[-1].cursor
    return done


def _sensitive(letter: DeadLetter, files: Sequence[Path]) -> Collection[str]:
    """Destination fields of the entry's sync that must not be shown."""
    for each in local.read(files):
        if isinstance(each, ReverseETLSync) and (each.metadata.namespace, each.metadata.name) == (
            letter.namespace,
            letter.sync,
        ):
            return [mapping.destination for mapping in each.spec.mappings if mapping.sensitive]
    raise InvalidInput(f"-f: these files do not hold ReverseETLSync {letter.sync!r}, which the entry belongs to")


def _command(verb: str, scope: Scope, *words: str) -> str:
    return scope.queue.command(verb, *words, sync=scope.sync)
