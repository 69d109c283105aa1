"""`retl dlq replay`: sends dead letters again, here and now, and says what became of them."""

import asyncio
from collections.abc import Sequence

import orjson
import typer

from retl.cli import exits, local, tables
from retl.cli.dead_letters import Choice
from retl.cli.run import Options, resolved, run_one, show_letters, tell_failure
from retl.cli.stopping import Stopping
from retl.cli.stores import opened
from retl.cli.text import count, terminal_width
from retl.errors import InvalidInput
from retl.runspec.pod import EXIT_SUCCEEDED
from retl.runspec.spec import RunSpec
from retl.state.sql import SqlStateStore


def replay(choice: Choice, options: Options) -> int:
    """Send the chosen entries of one sync again; the exit code.

    Raises:
        InvalidInput: the manifests or options are wrong, or an id is not one of an open entry; nothing was sent.
        StateError: the state database cannot be used.
    """
    specs = resolved(local.Request("Replay", replay=choice.replay()), options)
    if len(specs) > 1:
        names = ", ".join(spec.sync.name for spec in specs)
        raise InvalidInput(f"dlq replay: these files hold several syncs; choose one with --sync: {names}")
    return asyncio.run(_replay(specs[0], choice, options))


async def _replay(spec: RunSpec, choice: Choice, options: Options) -> int:
    namespace, sync = spec.sync.namespace, spec.sync.name
    async with Stopping() as stopping, opened(options.state) as store:
        before = await store.statistics(namespace=namespace, sync=sync)
        chosen = len(choice.ids) or (before.by_code.get(choice.code, 0) if choice.code else before.open)
        await _check_open(store, spec, choice.ids)
        if not chosen:
            typer.echo(f"{sync}: no such open dead letters, nothing to send", err=True)
            return EXIT_SUCCEEDED
        result, step = await run_one(spec, store, stopping.asked, options)
        settled = before.open - (await store.statistics(namespace=namespace, sync=sync)).open
        if options.output == "json":
            entries = {"entries": chosen, "settled": settled}
            typer.echo(orjson.dumps(tables.result_object(result) | entries).decode())
        else:
            typer.echo(tables.result_line(result, terminal_width()))
            typer.echo(f"  of {count(chosen, 'entry', 'entries')}, {settled:,} settled")
            if result.dead_letters:
                await show_letters(spec, result, store, options)
        if result.status == "Failed":
            tell_failure(result, step, as_text=options.output != "json")
    return exits.SIGNAL_BASE + stopping.by if stopping.by is not None else exits.of_result(result)


async def _check_open(store: SqlStateStore, spec: RunSpec, ids: Sequence[str]) -> None:
    """Raise InvalidInput for ids that are not of open entries of the sync."""
    for each in ids:
        letter = await store.dead_letter(namespace=spec.sync.namespace, id=each)
        if letter is None or letter.sync != spec.sync.name:
            raise InvalidInput(f"dlq replay: {spec.sync.name} has no dead letter {each!r}")
        if letter.resolved_at is not None:
            raise InvalidInput(f"dlq replay: {each} is resolved already ({letter.resolution})")
