"""Whether the syncs that a sync depends on let its tick start. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from retl.controller.syncs.view import DependencyFacts
from retl.resources.fields import format_duration
from retl.resources.sync import Dependency, Schedule


@dataclass(frozen=True, slots=True)
class Held:
    """Why a tick may not start now; `waits` says whether it waits or is skipped."""

    reason: str
    message: str
    waits: bool


def gate(schedule: Schedule, dependencies: tuple[DependencyFacts, ...], now: datetime) -> Held | None:
    """What holds a due tick; None when nothing does. What skips it has the say before what it may wait for."""
    found = {dependency.name: dependency for dependency in dependencies}
    held = [
        Held(*why, waits=dependency.on_failure == "Wait")
        for dependency in schedule.depends_on
        if (why := _why(dependency, found[dependency.sync_ref.name], now))
    ]
    return min(held, key=lambda each: each.waits, default=None)


def _why(wanted: Dependency, other: DependencyFacts, now: datetime) -> tuple[str, str] | None:
    sync = f"sync {other.name}"
    if not other.found:
        return "DependencyNotFound", f"there is no {sync}"
    if wanted.on_failure == "Wait" and (running := _under_way(other, now)):
        return "DependencyRunning", running
    if wanted.max_age is None:
        if not other.last_run:
            return "DependencyFailed", f"{sync} has not run yet"
        if other.last_phase != "Succeeded":
            return "DependencyFailed", f"SyncRun {other.last_run} of {sync} ended {other.last_phase}"
        return None
    limit = format_duration(wanted.max_age)
    if other.last_success is None:
        return "DependencyStale", f"{sync} has not succeeded yet; its success may be {limit} old"
    if now - other.last_success > wanted.max_age:
        when = other.last_success.astimezone(UTC)
        return "DependencyStale", f"{sync} last succeeded at {when:%FT%TZ}; it may be {limit} old"
    return None


def _under_way(other: DependencyFacts, now: datetime) -> str:
    """What is going on in a dependency, or about to; empty if nothing is."""
    if other.active_run:
        return f"SyncRun {other.active_run} of sync {other.name} is under way"
    if other.waiting or (other.next_run_time and other.next_run_time <= now):
        return f"a tick of sync {other.name} is due"
    return ""
