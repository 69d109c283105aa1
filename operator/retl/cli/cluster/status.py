"""`retl status`: all syncs in a table, or all of one sync on a page. The text is built by pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import typer

from retl.cli import text as plain_text
from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.client import Cluster
from retl.cli.cluster.objects import runs_of, the_sync
from retl.cli.cluster.text import MACHINE, Form, exact, machine, now, say, span, when
from retl.cli.tables import accounting
from retl.cli.text import count, indented, plain, table, terminal_width, wrapped
from retl.resources.conditions import find
from retl.resources.kinds import RUN, SYNC
from retl.resources.run import RunProgress, RunStep
from retl.resources.sync import SyncStatus
from retl.resources.views import UNFINISHED, Run, Sync

_STEPS: Mapping[RunStep, str] = {
    "extract": "reading",
    "diff": "comparing",
    "deliver": "sending",
    "commit": "finishing",
}
_LABEL = 14
_SHOWN = 10
"""Runs and ticks on a page."""


def show(reach: Reach, name: str | None, *, everywhere: bool, form: Form) -> None:
    """Print the table, or with a name the page."""
    if name is None:
        syncs, runs, nothing = ask(reach, lambda cluster: _all(cluster, everywhere))
        if form in MACHINE:
            typer.echo(machine(form, [sync.manifest for sync in syncs]))
        elif syncs:
            say(overview(syncs, runs, now(), several_namespaces=everywhere, wide=form is Form.wide))
        else:
            typer.echo(nothing, err=True)
        return
    sync, runs = ask(reach, lambda cluster: _one(cluster, name))
    if form in MACHINE:
        typer.echo(machine(form, sync.manifest))
    else:
        say(page(sync, runs, now(), terminal_width(), wide=form is Form.wide))


async def _all(cluster: Cluster, everywhere: bool) -> tuple[list[Sync], list[Run], str]:
    """Syncs, runs under way, and what to say if there are no syncs."""
    syncs = [Sync.read(each) for each in await cluster.list(SYNC, everywhere=everywhere)]
    if not syncs:
        return [], [], await _nothing(cluster, everywhere)
    unfinished = await cluster.list(RUN, everywhere=everywhere, fields=UNFINISHED)
    return syncs, [Run.read(each) for each in unfinished], ""


async def _nothing(cluster: Cluster, everywhere: bool) -> str:
    if everywhere:
        return f"no syncs in any namespace of {cluster.where}"
    what = "there is no namespace" if await cluster.lacks_namespace() else "no syncs in namespace"
    return f"{what} {cluster.namespace!r} of {cluster.where}; -n chooses another, -A shows all"


async def _one(cluster: Cluster, name: str) -> tuple[Sync, list[Run]]:
    sync = await the_sync(cluster, name)
    return sync, await runs_of(cluster, sync)


def overview(
    syncs: Sequence[Sync], unfinished: Sequence[Run], now: datetime, *, several_namespaces: bool, wide: bool
) -> str:
    """A line a sync."""
    runs = {(run.meta.namespace, run.name): run for run in unfinished}
    header = ["name", "ready", "last run", "next tick", "active run", "dead letters"]
    rows = []
    for sync in syncs:
        active = sync.status.active_run
        run = runs.get((sync.meta.namespace, active.name)) if active else None
        status = sync.status
        row: list[str | int | None] = [
            sync.name,
            readiness(sync),
            _last(status, now, wide=wide),
            upcoming(sync, now, wide=wide),
            _active(sync, run),
            status.dead_letters,
        ]
        if wide:
            row += [
                str(sync.schedule.get("cron", "")) or None,
                str(sync.schedule.get("timeZone", "UTC")) if sync.schedule else None,
                f"{sync.spec.get('object')} in {sync.spec['destinationRef']['name']}",
                exact(status.last_success_time),
            ]
        rows.append([sync.meta.namespace, *row] if several_namespaces else row)
    header += ["schedule", "time zone", "writes", "last success"] * wide
    return table(["namespace"] * several_namespaces + header, rows)


def readiness(sync: Sync) -> str:
    """`True`, `Paused`, `Stalled: SecretNotFound`."""
    if stalled := sync.stalled:
        return f"Stalled: {stalled.reason}"
    if sync.state != "Active":
        return sync.state
    ready = find(sync.status.conditions, "Ready")
    if ready is None:
        return "not looked at yet"
    return ready.status if ready.status == "True" else f"{ready.status}: {ready.reason}"


def upcoming(sync: Sync, now: datetime, *, wide: bool = False) -> str | None:
    """When the next tick is, or what one that is due waits for."""
    status = sync.status
    if status.waiting_tick:
        return f"waits: {status.waiting_tick.reason}"
    if sync.schedule.get("cron") == "@after" and sync.state == "Active":
        return f"after {', '.join(sync.dependencies)}"
    if wide:
        return exact(status.next_run_time)
    due = status.next_run_time is not None and status.next_run_time <= now
    return "due" if due else when(status.next_run_time, now)


def progress(run: Run) -> str:
    """`sending 1,200 of 4,000 rows (30 %)`, or the phase with its reason."""
    told = run.status.progress
    if run.phase == "Running" and told and run.reason in ("Running", ""):
        return _step(told)
    phase = run.phase or "not looked at yet"
    return phase if run.reason in ("", phase) else f"{phase}: {run.reason}"


def page(sync: Sync, runs: Sequence[Run], now: datetime, width: int, *, wide: bool = False) -> str:
    """All of one sync."""
    title = f"{sync.name} in namespace {sync.meta.namespace}"
    if sync.spec.get("displayName"):
        title += f": {plain(str(sync.spec['displayName']))}"
    lines = [title]
    for name, value in _facts(sync, runs, now, wide=wide):
        if value:
            lines.append(wrapped(plain(value), width, f"  {name:<{_LABEL}}", " " * (_LABEL + 2)))
    blocks = ["\n".join(lines)]
    ticks = sync.status.recent_ticks[-_SHOWN:][::-1]
    if ticks:
        rows = [[_moment(tick.at, now, wide=wide), tick.verdict, tick.reason or "Succeeded"] for tick in ticks]
        blocks.append("Recent ticks\n" + indented(table(["tick", "verdict", "reason"], rows)))
    if runs:
        blocks.append("Recent runs\n" + indented(_runs(runs[:_SHOWN], now, wide=wide)))
    return "\n\n".join(blocks)


def _facts(sync: Sync, runs: Sequence[Run], now: datetime, *, wide: bool) -> list[tuple[str, str]]:
    status, spec = sync.status, sync.spec
    ready = find(status.conditions, "Ready")
    query = spec.get("query") or {}
    model = (spec.get("modelRef") or {}).get("name")
    facts = [
        ("ready", readiness(sync)),
        ("because", ready.message if ready and ready.status != "True" else ""),
        ("reads", f"SyncModel {model}" if model else f"a query of SyncSource {query['sourceRef']['name']}"),
        ("writes", f"{spec.get('object')} in SyncDestination {spec['destinationRef']['name']}, {_mode(sync)}"),
        ("schedule", _schedule(sync)),
        ("next tick", _next(sync, now)),
    ]
    if waiting := status.waiting_tick:
        facts.append(("waiting", f"the tick of {exact(waiting.at)}: {waiting.reason}: {waiting.message}"))
    if active := status.active_run:
        run = next((run for run in runs if run.name == active.name), None)
        told = progress(run) if run else "its SyncRun is about to be created"
        told += f", attempt {run.status.attempt}" if run and run.status.attempt else ""
        facts += [("active run", f"{active.name}: {told}, since {span((now - active.since).total_seconds())}")]
        facts += [("", run.message if run else "")]
    if last := status.last_run:
        told = f"{last.name}: {last.phase}"
        told += f" ({last.reason})" if last.reason not in ("", last.phase) else ""
        told += f" {_moment(last.finished_at, now, wide=wide)}" if last.finished_at else ""
        facts += [("last run", told), ("", last.message), ("", accounting(last.counts) if last.counts else "")]
    if status.last_success_time:
        facts.append(("last success", _moment(status.last_success_time, now, wide=wide) or ""))
    codes = ", ".join(f"{code} {number:,}" for code, number in status.dead_letters_by_code.items())
    facts.append(("dead letters", f"{status.dead_letters:,} open" + (f": {codes}" if codes else "")))
    return facts


def _mode(sync: Sync) -> str:
    return f"mode {sync.spec.get('mode', 'upsert')}"


def _schedule(sync: Sync) -> str:
    schedule = sync.schedule
    if not schedule:
        return "none: it runs when a SyncRun is created"
    if schedule.get("cron") == "@after":
        return f"after each success of {', '.join(sync.dependencies)}"
    more = [f"after {', '.join(sync.dependencies)}"] if sync.dependencies else []
    blackouts = len(schedule.get("blackouts") or [])
    more += [count(blackouts, "blackout")] if blackouts else []
    more += ["only when the source is fresh"] if schedule.get("freshness") else []
    return ", ".join([f"{schedule['cron']} in {schedule.get('timeZone', 'UTC')}", *more])


def _next(sync: Sync, now: datetime) -> str:
    moment = sync.status.next_run_time
    return f"{plain_text.minute(moment)} ({when(moment, now)})" if moment else ""


def _runs(runs: Sequence[Run], now: datetime, *, wide: bool) -> str:
    rows = [
        [
            run.name,
            run.mode,
            progress(run) if not run.ended else run.phase,
            _moment(run.status.started_at, now, wide=wide),
            _took(run),
            accounting(run.status.counts) if run.status.counts else None,
        ]
        for run in runs
    ]
    return table(["run", "mode", "phase", "started", "took", "rows"], rows)


def _took(run: Run) -> str | None:
    started, finished = run.status.started_at, run.status.finished_at
    return span((finished - started).total_seconds()) if started and finished else None


def _last(status: SyncStatus, now: datetime, *, wide: bool) -> str | None:
    last = status.last_run
    if last is None:
        return None
    return " ".join(filter(None, [last.phase, _moment(last.finished_at, now, wide=wide)]))


def _active(sync: Sync, run: Run | None) -> str | None:
    if sync.status.active_run is None:
        return None
    return f"{sync.status.active_run.name}: {progress(run)}" if run else sync.status.active_run.name


def _step(told: RunProgress) -> str:
    if not told.total:
        return f"{_STEPS[told.step]}, {told.rows:,} rows"
    return f"{_STEPS[told.step]} {told.rows:,} of {told.total:,} rows ({100 * told.rows // told.total} %)"


def _moment(moment: datetime | None, now: datetime, *, wide: bool) -> str | None:
    return exact(moment) if wide else when(moment, now)
