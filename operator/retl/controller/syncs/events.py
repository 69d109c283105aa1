"""What people are told of a sync: an Event for each change of its status that somebody may want to know of. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from retl.controller.decision import Event
from retl.controller.syncs.reservation import NOT_FRESH, end_of
from retl.controller.syncs.view import SyncView
from retl.resources.conditions import find
from retl.resources.reasons import TICK_REASONS
from retl.resources.run import RunCounts
from retl.resources.sync import SyncStatus, TickRecord

_QUIET = frozenset({"Blackout", "PreviousRunActive", NOT_FRESH, "Withdrawn"})
"""Reasons for which a tick is skipped as it was asked to be."""


def events(
    view: SyncView, after: SyncStatus, verdicts: Sequence[TickRecord], repairs: Sequence[str]
) -> tuple[Event, ...]:
    """The Events of one decision, in the order in which things came about."""
    before = view.status
    return (
        *_repaired(repairs),
        *_ended(view, after),
        *_answered(verdicts),
        *_started(before, after),
        *_skewed(before, after),
        *_readiness(before, after),
        *_dead_letters(before, after),
    )


def _repaired(repairs: Sequence[str]) -> Iterator[Event]:
    if repairs:
        note = f"the status was not as the controller writes it, and was put right: {'; '.join(repairs)}"
        yield Event("Warning", "StatusRepaired", note)


def _started(before: SyncStatus, after: SyncStatus) -> Iterator[Event]:
    active = after.active_run
    if active is None or (before.active_run and before.active_run.name == active.name):
        return
    what_for = f"for the tick of {_at(active.tick)}" if active.tick else "as it was asked for"
    yield Event("Normal", "RunStarted", f"SyncRun {active.name} starts, {what_for}")


def _ended(view: SyncView, after: SyncStatus) -> Iterator[Event]:
    active = view.status.active_run
    if active is None or (after.active_run and after.active_run.name == active.name):
        return
    run = view.run(active.name)
    if run is None:
        yield Event("Warning", "RunLost", f"SyncRun {active.name} was deleted before it had ended")
        return
    reason, message = end_of(run)
    if not run.ended or (reason == NOT_FRESH and active.tick):
        return  # the tick's verdict tells
    name, counts = f"SyncRun {run.name}", run.status.counts
    if run.phase == "Succeeded":
        yield Event("Normal", "RunSucceeded", f"{name} {'planned' if run.plan else 'wrote'}: {_in_words(counts)}")
    elif run.phase == "Cancelled":
        yield Event("Normal", "RunCancelled", f"{name} was cancelled: {message or _in_words(counts)}")
    else:
        told = f"; {_in_words(counts)}" if counts else ""
        yield Event("Warning", "RunFailed", f"{name} failed: {reason}: {message}{told}")


def _answered(verdicts: Sequence[TickRecord]) -> Iterator[Event]:
    """Of ticks that did not run: one Event for neighbours with the same verdict.

    A single one that was skipped is not named: a sync that cannot run says the same each minute, and Kubernetes counts.
    """
    silent = [tick for tick in verdicts if tick.verdict != "Ran"]
    for (verdict, reason), group in groupby(silent, key=lambda tick: (tick.verdict, tick.reason)):
        ticks = list(group)
        when = f"the tick of {_at(ticks[0].at)} was" if verdict == "Missed" else "a tick was"
        if len(ticks) > 1:
            when = f"{len(ticks)} ticks from {_at(ticks[0].at)} to {_at(ticks[-1].at)} were"
        why = TICK_REASONS[reason].means if reason in TICK_REASONS else reason
        said = f": {ticks[-1].message}" if ticks[-1].message else ""
        loud = verdict == "Missed" or reason not in _QUIET
        yield Event("Warning" if loud else "Normal", f"Tick{verdict}", f"{when} {verdict.lower()}: {why}{said}")


def _skewed(before: SyncStatus, after: SyncStatus) -> Iterator[Event]:
    now, then = after.waiting_tick, before.waiting_tick
    if now and now.reason == "ClockSkew" and (then is None or then.reason != "ClockSkew"):
        yield Event("Warning", "ClockSkew", f"the tick of {_at(now.at)} waits: {TICK_REASONS['ClockSkew'].means}")


def _readiness(before: SyncStatus, after: SyncStatus) -> Iterator[Event]:
    was, stalled = find(before.conditions, "Stalled"), find(after.conditions, "Stalled")
    ready_before, ready = find(before.conditions, "Ready"), find(after.conditions, "Ready")
    if stalled and (was is None or (was.reason, was.message) != (stalled.reason, stalled.message)):
        yield Event("Warning", "Stalled", f"{stalled.reason}: {stalled.message}")
    if was and stalled is None:
        yield Event("Normal", "Ready", "what kept it from running is gone")
    off = ("Paused", "Draft")
    if ready_before and ready and ready_before.reason in off and ready.status == "True" and ready.reason not in off:
        yield Event("Normal", "Resumed", f"its schedule counts from now; it was {ready_before.reason}")


def _dead_letters(before: SyncStatus, after: SyncStatus) -> Iterator[Event]:
    if after.dead_letters > before.dead_letters:
        codes = ", ".join(f"{count} {code}" for code, count in sorted(after.dead_letters_by_code.items()))
        more = after.dead_letters - before.dead_letters
        said = f"{after.dead_letters} open, {more} more than before"
        yield Event("Warning", "DeadLetters", f"{said}: {codes}" if codes else said)


def _in_words(counts: RunCounts | None) -> str:
    """`12 read, 3 created`: what is not nothing."""
    if counts is None or not counts.read:
        return "no rows were read"
    numbers: Iterable[tuple[str, int]] = counts.model_dump(by_alias=False).items()
    return ", ".join(f"{number} {name}" for name, number in numbers if number)


def _at(moment: datetime | None) -> str:
    return f"{moment:%FT%H:%MZ}" if moment else ""
