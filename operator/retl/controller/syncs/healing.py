"""A status that is not as the controller writes it, put right before anything is decided by it. Pure.

People edit statuses, restore them from backups, and lose them. What is lost is found again from the SyncRuns; what
cannot be true is dropped. The lock is safe throughout: a run that is under way takes the sync before anybody else does.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from retl.controller.syncs.reservation import NOT_FRESH, end_of, recorded, verdict_of
from retl.controller.syncs.timetable import FAR
from retl.controller.syncs.view import SyncView
from retl.resources.names import tick_run_name
from retl.resources.sync import ActiveRun
from retl.schedule import KEPT_TICKS

_FROM_RUNS = frozenset({"lastRun", "lastSuccessTime", "recentTicks"})
_EARLIEST = datetime(2014, 1, 1, tzinfo=UTC)
"""Before this there was no Kubernetes that a status could be of."""
_CLOCKS_DIFFER = timedelta(minutes=1)
"""Two controllers' clocks may differ by this much; a tick that the other one answered is then in the future."""


def healed(view: SyncView, now: datetime) -> tuple[SyncView, tuple[str, ...]]:
    """The view with a status that can be gone by, and what was put right in it, in words."""
    notes = [f"{name} could not be read" for name in view.repaired]
    for mend in (_rebuilt, _reservation, _recent_ticks, _last_tick, _waiting_tick):
        changes, note = mend(view, now)
        if note:
            notes.append(note)
            view = replace(view, status=view.status.model_copy(update=changes))
    return view, tuple(notes)


Mended = tuple[dict[str, Any], str]
_FINE: Mended = ({}, "")


def _rebuilt(view: SyncView, now: datetime) -> Mended:
    """A status that is gone, or could not be read, although the sync has run: what its SyncRuns tell."""
    status = view.status
    ended = sorted((run for run in view.runs if run.ended), key=lambda run: run.ended_at)
    emptied = status.observed_generation is None and any(view.ours(run) for run in ended)
    if not emptied and not _FROM_RUNS & set(view.repaired):
        return _FINE
    for run in ended:
        if end_of(run)[0] != NOT_FRESH:
            status = recorded(view, status, run, now)
    ticks = {run.tick: verdict_of(run, run.tick) for run in ended if view.ours(run) and run.tick}
    ticks |= {record.at: record for record in status.recent_ticks}
    changes = {field: getattr(status, field) for field in ("conditions", "dead_letters", "dead_letters_by_code")}
    changes |= {"last_run": status.last_run, "last_success_time": status.last_success_time}
    recent = [ticks[at] for at in sorted(ticks)][-KEPT_TICKS:]
    return changes | {"recent_ticks": recent}, "the past is read from the SyncRuns"


def _reservation(view: SyncView, now: datetime) -> Mended:
    """A reservation whose tick is not its run's."""
    active = view.status.active_run
    if active is None:
        return _FINE
    run = view.run(active.name)
    if run is not None and view.ours(run) and run.tick and run.tick != active.tick:
        mended = ActiveRun(name=active.name, tick=run.tick, since=active.since)
        return {"active_run": mended}, f"activeRun.tick is not the tick of SyncRun {active.name}"
    if run is None and active.tick is not None and not _is_its_name(view, active, now):
        return {"active_run": None}, f"activeRun names {active.name}, which no tick is called"
    return _FINE


def _is_its_name(view: SyncView, active: ActiveRun, now: datetime) -> bool:
    assert active.tick is not None
    return _EARLIEST <= active.tick <= now + FAR and active.name == tick_run_name(view.meta.name, active.tick)


def _recent_ticks(view: SyncView, now: datetime) -> Mended:
    """Verdicts from a time that no clock has shown."""
    recent = view.status.recent_ticks
    kept = [record for record in recent if _EARLIEST <= record.at <= now + FAR]
    if view.skewed or len(kept) == len(recent):
        return _FINE
    return {"recent_ticks": kept}, "recentTicks holds ticks of a time that no clock has shown"


def _last_tick(view: SyncView, now: datetime) -> Mended:
    """The newest tick that is dealt with is never older than what is known of, and in the future only if that is."""
    status = view.status
    known = [record.at for record in status.recent_ticks]
    known += [run.tick for run in view.runs if run.tick and view.ours(run) and run.tick <= now + FAR]
    if status.active_run and status.active_run.tick and status.active_run.tick <= now + FAR:
        known.append(status.active_run.tick)
    newest, last = max(known, default=None), status.last_tick
    if last is not None and last > now + _CLOCKS_DIFFER and (newest is None or last > newest) and not view.skewed:
        return {"last_tick": newest}, "lastTick is in the future, and no run or verdict is of that time"
    if last is not None and last < _EARLIEST:
        return {"last_tick": newest}, "lastTick is of a time that no clock has shown"
    if newest is not None and (last is None or last < newest):
        return {"last_tick": newest}, "lastTick is older than a tick that has its run or verdict"
    return _FINE


def _waiting_tick(view: SyncView, now: datetime) -> Mended:
    """A tick that is dealt with waits for nothing."""
    waiting, last = view.status.waiting_tick, view.status.last_tick
    if waiting is None or (_EARLIEST <= waiting.at <= now + FAR and (last is None or waiting.at > last)):
        return _FINE
    return {"waiting_tick": None}, "waitingTick is a tick that is dealt with, or of a time that no clock has shown"
