"""`retl next`: the next ticks of a schedule, in local time and UTC, and which of them a blackout covers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import typer
from pydantic import ValidationError

from retl.cli import local
from retl.cli.cluster.access import Reach, ask
from retl.cli.cluster.objects import the_sync
from retl.cli.cluster.text import exact, now, say, when
from retl.cli.text import plain, table
from retl.errors import InvalidInput
from retl.resources import ReverseETLSync
from retl.resources.fields import format_duration
from retl.resources.problems import describe
from retl.resources.sync import AFTER, Schedule
from retl.schedule import blackout_at, delay, next_tick, validate


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick to come.

    Attributes:
        start: when its run starts: later than the tick by the sync's jitter.
        blackout: why it will be skipped; None if it will not.
    """

    at: datetime
    start: datetime
    blackout: str | None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A sync with its schedule.

    Attributes:
        uid: of the cluster's object, which the jitter follows from; empty for a file's.
    """

    name: str
    state: str
    schedule: Schedule | None
    uid: str = ""


def of_cluster(reach: Reach, name: str, number: int, *, as_json: bool) -> None:
    """Print those of a sync of the cluster."""
    sync = ask(reach, lambda cluster: the_sync(cluster, name))
    try:
        schedule = Schedule.model_validate(sync.schedule) if sync.schedule else None
    except ValidationError as error:
        raise InvalidInput("\n".join(describe(error, f"{name}: spec.schedule", Schedule))) from None
    _show([Scheduled(name, sync.state, schedule, sync.meta.uid)], number, as_json=as_json)


def of_files(files: Sequence[Path], number: int, *, as_json: bool) -> None:
    """Print those of the syncs of manifests."""
    syncs = [each for each in local.read(files) if isinstance(each, ReverseETLSync)]
    if not syncs:
        raise InvalidInput("no ReverseETLSync in these files; add the file that holds it with -f")
    scheduled = [Scheduled(each.metadata.name, each.spec.state, each.spec.schedule) for each in syncs]
    _show(scheduled, number, as_json=as_json)


def _show(syncs: Sequence[Scheduled], number: int, *, as_json: bool) -> None:
    present = now()
    for position, sync in enumerate(syncs):
        try:
            found = list(ticks(sync, present, number))
        except InvalidInput as error:
            raise InvalidInput(f"{sync.name}: spec.{error}") from None
        if as_json:
            rows = [{"at": exact(t.at), "start": exact(t.start), "blackout": t.blackout} for t in found]
            typer.echo(orjson.dumps({"sync": sync.name, "ticks": rows}).decode())
        else:
            say(("\n" if position else "") + text(sync, found, present))


def ticks(sync: Scheduled, now: datetime, number: int) -> Iterator[Tick]:
    """The next ticks, also those that are skipped (raises InvalidSchedule)."""
    if sync.schedule is None:
        return
    validate(sync.schedule)
    wait = delay(sync.schedule, sync.uid) if sync.uid else timedelta()
    at = next_tick(sync.schedule, now)
    for _ in range(number):
        if at is None:
            return
        covered = blackout_at(sync.schedule, at)
        yield Tick(at, at + wait, (covered.blackout.reason or "blackout") if covered else None)
        at = next_tick(sync.schedule, at)


def text(sync: Scheduled, found: Sequence[Tick], now: datetime) -> str:
    """A table of them, below what else decides."""
    schedule = sync.schedule
    if schedule is None:
        return f"{sync.name} has no schedule: it runs when a SyncRun is created"
    if schedule.cron == AFTER:
        names = ", ".join(each.sync_ref.name for each in schedule.depends_on)
        return f"{sync.name} has no clock: it runs after each success of {names}"
    zone = ZoneInfo(schedule.time_zone)
    notes = [f"{sync.name}: {plain(schedule.cron)} in {schedule.time_zone}"]
    if sync.state != "Active":
        notes.append(f"it is {sync.state}: none of these ticks runs until spec.state is Active")
    if schedule.jitter and not sync.uid:
        notes.append(f"each starts up to {format_duration(schedule.jitter)} later, as jitter says")
    if schedule.depends_on:
        names = ", ".join(each.sync_ref.name for each in schedule.depends_on)
        notes.append(f"each runs only if {names} succeeded")
    later = any(tick.start != tick.at for tick in found)
    rows = [
        [
            tick.at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M %Z"),
            exact(tick.at),
            when(tick.at, now),
            *([exact(tick.start)] * later),
            f"Skipped: {plain(tick.blackout)}" if tick.blackout else None,
        ]
        for tick in found
    ]
    header = ["local time", "utc", "", *(["starts"] * later), "blackout"]
    if not any(tick.blackout for tick in found):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return "\n".join([*notes, table(header, rows)])
