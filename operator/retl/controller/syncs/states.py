"""The states of a tick and of a sync, and what leads from one to the next; every decision is held against them."""

from collections.abc import Iterable

from retl.controller.states import Edge, State, step
from retl.resources.conditions import find
from retl.resources.sync import SyncStatus, TickRecord

TICK_STATES = (
    State("Due", "its time has come, jitter included, and nobody has decided upon it"),
    State("Waiting", "it may not start yet; status.waitingTick says why"),
    State("Reserved", "status.activeRun holds the sync for its SyncRun"),
    State("Ran", "its run has ended; the reason is empty if it succeeded"),
    State("Skipped", "it was decided that it does not run; the reason says why"),
    State("Missed", "nobody could start it in time"),
)

TICK_EDGES = (
    Edge("Due", "Reserved", "the sync is free and nothing is in the way"),
    Edge("Due", "Waiting", "something is in the way that it may wait for"),
    Edge("Due", "Skipped", "a blackout, a problem, another run, or a dependency is in the way"),
    Edge("Due", "Missed", "it is too late for it, or a newer tick answers for it"),
    Edge("Waiting", "Reserved", "what was in the way is gone"),
    Edge("Waiting", "Skipped", "something else is in the way now, or the schedule was withdrawn"),
    Edge("Waiting", "Missed", "its starting deadline has passed, or a newer tick is due"),
    Edge("Waiting", "Due", "the clock was set back, or schedule.jitter was changed"),
    Edge("Reserved", "Ran", "its SyncRun has ended, or was deleted"),
    Edge("Reserved", "Skipped", "its name is taken by somebody else's SyncRun, or the source has nothing new"),
)

SYNC_STATES = (
    State("New", "the controller has not looked at it yet"),
    State("Resting", "it can run, and waits for its next tick, its dependencies, or a person's SyncRun"),
    State("Waiting", "a tick of it is due and may not start yet"),
    State("Held", "a SyncRun holds it; no other starts"),
    State("Stalled", "it cannot run by itself until somebody changes what its condition names"),
    State("Paused", "its schedule is switched off (state Paused or Draft)"),
)

SYNC_EDGES = (
    Edge("New", "Resting", "first look"),
    Edge("New", "Waiting", "first look, with a tick that may not start yet"),
    Edge("New", "Held", "first look, with a run to start"),
    Edge("New", "Stalled", "first look, with a problem"),
    Edge("New", "Paused", "first look, switched off"),
    Edge("Resting", "Waiting", "a tick is due and may not start yet"),
    Edge("Resting", "Held", "a tick is due, or a person made a SyncRun"),
    Edge("Resting", "Stalled", "a problem"),
    Edge("Resting", "Paused", "a person switches it off"),
    Edge("Waiting", "Resting", "the tick has its verdict"),
    Edge("Waiting", "Held", "the tick may start, or a person made a SyncRun"),
    Edge("Waiting", "Stalled", "a problem"),
    Edge("Waiting", "Paused", "a person switches it off"),
    Edge("Held", "Resting", "the run has ended"),
    Edge("Held", "Waiting", "the run has ended, and a tick may not start yet"),
    Edge("Held", "Stalled", "the run has ended, and there is a problem"),
    Edge("Held", "Paused", "the run has ended, and the sync is switched off"),
    Edge("Stalled", "Resting", "the problem is gone"),
    Edge("Stalled", "Waiting", "the problem is gone, and a tick may not start yet"),
    Edge("Stalled", "Held", "a run starts: of a tick once the problem is gone, of a person at any time"),
    Edge("Stalled", "Paused", "the problem is gone, and the sync is switched off"),
    Edge("Paused", "Resting", "a person switches it on"),
    Edge("Paused", "Waiting", "a status that somebody edited is put right"),
    Edge("Paused", "Held", "a person made a SyncRun"),
    Edge("Paused", "Stalled", "a problem"),
)


def sync_state(status: SyncStatus) -> str:
    """Which of SYNC_STATES a status describes."""
    ready = find(status.conditions, "Ready")
    if status.active_run:
        return "Held"
    if status.observed_generation is None or ready is None:
        return "New"
    if ready.status != "True":
        return "Stalled"
    if ready.reason in ("Paused", "Draft"):
        return "Paused"
    return "Waiting" if status.waiting_tick else "Resting"


def check(before: SyncStatus, after: SyncStatus, verdicts: Iterable[TickRecord]) -> None:
    """Raise IllegalTransition unless the tables have every change that a decision makes.

    Args:
        verdicts: that it gives.
    """
    step(SYNC_EDGES, sync_state(before), sync_state(after))
    was = _ticks(before)
    becomes = _ticks(after) | {record.at: record.verdict for record in verdicts}
    for at in {*was, *becomes}:
        step(TICK_EDGES, was.get(at, "Due"), becomes.get(at, "Due"))


def _ticks(status: SyncStatus) -> dict[object, str]:
    """The ticks that a status says are under way."""
    found: dict[object, str] = {}
    if status.waiting_tick:
        found[status.waiting_tick.at] = "Waiting"
    if status.active_run and status.active_run.tick:
        found[status.active_run.tick] = "Reserved"
    return found
