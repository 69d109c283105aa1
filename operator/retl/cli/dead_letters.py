"""`retl dlq list|show|stats|resolve|erase`: looking at dead letters, and closing or forgetting them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import typer

from retl.cli import letters, local, stores
from retl.cli.options import command
from retl.cli.text import count, terminal_width
from retl.errors import InvalidInput
from retl.resources import ReverseETLSync
from retl.resources.fields import parse_duration
from retl.state.sql import SqlStateStore
from retl.state.store import DeadLetter

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Which dead letters are meant, as the options say."""

    state: str
    namespace: str
    sync: str | None = None
    code: str | None = None


def list_letters(
    scope: Scope, *, since: str | None, resolved: bool, limit: int, after: str | None, as_json: bool
) -> None:
    """Print a page, last seen first; JSON is one object a line.

    Raises:
        InvalidInput: there is no such database, or `since` or `after` is wrong.
        StateError: the database cannot be used.
    """
    begin = moment(since, datetime.now(UTC)) if since else None
    found = stores.ask(
        scope.state,
        lambda store: store.dead_letters(
            namespace=scope.namespace,
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
    letter = stores.ask(scope.state, lambda store: _found(store, scope, letter_id))
    kept = letter.payload
    if files and kept is not None:
        kept = letters.redacted(kept, _sensitive(letter, files))
    shown = kept if files or payload else None
    if as_json:
        whole = {"payload": orjson.Fragment(shown)} if shown is not None else {}
        return typer.echo(orjson.dumps(letters.letter_object(letter) | whole).decode())
    typer.echo(letters.letter_page(letter, shown, terminal_width()))
    if letter.resolved_at is None:
        again = command("dlq replay", letter.id, state=scope.state, files=files or [Path("FILES")], sync=letter.sync)
        typer.echo(f"\nto send it again: {again}")
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
    numbers = stores.ask(scope.state, lambda store: store.statistics(namespace=scope.namespace, sync=scope.sync))
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

    async def dismiss(store: SqlStateStore) -> int:
        numbers = await store.statistics(namespace=scope.namespace, sync=scope.sync)
        chosen = len(ids) or (numbers.open if everything else numbers.by_code.get(scope.code or "", 0))
        if chosen > 1 and not yes:
            raise InvalidInput(
                f"dlq resolve: this would dismiss {count(chosen, 'entry', 'entries')}, whose rows are left out until "
                "they change; add --yes to do so"
            )
        if ids:
            return await store.resolve(namespace=scope.namespace, ids=ids)
        return await _dismiss_pages(store, scope)

    done = stores.ask(scope.state, dismiss)
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
    done = stores.ask(
        scope.state,
        lambda store: store.erase(namespace=scope.namespace, field=field, value=value, sync=scope.sync),
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


async def _found(store: SqlStateStore, scope: Scope, letter_id: str) -> DeadLetter:
    letter = await store.dead_letter(namespace=scope.namespace, id=letter_id)
    if letter is None:
        raise InvalidInput(
            f"no dead letter {letter_id!r} in namespace {scope.namespace!r}; retl dlq list shows those there are"
        )
    return letter


async def _dismiss_pages(store: SqlStateStore, scope: Scope) -> int:
    """Page after page, so that a million entries need no more memory than a thousand."""
    done, after = 0, None
    while page := await store.dead_letters(
        namespace=scope.namespace, sync=scope.sync, code=scope.code, limit=PAGE, after=after
    ):
        done += await store.resolve(namespace=scope.namespace, ids=[letter.id for letter in page])
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
    return command(verb, *words, state=scope.state, sync=scope.sync, namespace=scope.namespace)
