"""What keeps a sync from running, or may soon: found in its situation, with what to do and the command for it. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from retl.cli import text as plain_text
from retl.cli.cluster.advice import Advice, Commands, advice_for
from retl.cli.cluster.status import progress
from retl.cli.cluster.text import exact, span, when
from retl.cli.text import count
from retl.resources.conditions import find
from retl.resources.fields import parse_duration
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, Manifest
from retl.resources.reasons import RUN_REASONS, TICK_REASONS
from retl.resources.sync import Schedule
from retl.resources.views import Other, Run, Sync
from retl.schedule import InvalidSchedule, blackout_at

Level = Literal["problem", "waits", "note"]
LEVELS: Sequence[Level] = ("problem", "waits", "note")
TICKS = 10
"""Newest ticks that are looked at."""
_STARTING = ("ContainerCreating", "PodInitializing", "")
_CHECKED = {"FieldNotFound": DESTINATION, "ColumnNotFound": SOURCE}
"""What is to be looked at again if it has meanwhile what a sync was refused for."""
_SECRET = re.compile(r"there is no Secret '([^']+)'")
"""The one that a sync lacks, as its condition says: which of its ends wants it is not known otherwise."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A sync and all that may keep it from running.

    Attributes:
        runs: of the sync, newest first.
        ends: its model, source and destination.
        dependencies: syncs by name; None where there is none of that name.
        pods: of the active run's newest attempt.
    """

    sync: Sync
    runs: Sequence[Run]
    ends: Sequence[Other]
    dependencies: Mapping[str, Sync | None]
    pods: Sequence[Manifest]
    now: datetime

    @property
    def active(self) -> Run | None:
        reserved = self.sync.status.active_run
        return next((run for run in self.runs if reserved and run.name == reserved.name), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should know, what to do about it, and the command for that."""

    level: Level
    says: str
    do: str = ""
    type: str = ""


def findings(situation: Situation, commands: Commands) -> list[Finding]:
    """What there is to know: first problems, then what it waits for, then the rest."""
    return sorted(_all(situation, commands), key=lambda finding: LEVELS.index(finding.level))


def _all(situation: Situation, commands: Commands) -> Iterator[Finding]:
    yield from _unseen(situation, commands)
    yield from _stalled(situation, commands)
    yield from _active(situation, commands)
    yield from _waiting(situation, commands)
    yield from _blackout(situation, commands)
    yield from _state(situation, commands)
    yield from _dependencies(situation, commands)
    for end in situation.ends:
        yield from _end(end, situation, commands)
    yield from _ticks(situation, commands)
    yield from _last_run(situation, commands)
    yield from _letters(situation, commands)


def _unseen(situation: Situation, commands: Commands) -> Iterator[Finding]:
    sync = situation.sync
    observed = sync.status.observed_generation
    if observed is None or observed < sync.meta.generation:
        what = "it" if observed is None else "its last change"
        yield Finding(
            "problem",
            f"no controller has looked at {what} yet",
            "if that stays so, see whether the controller is at work and looks at this namespace",
            commands.kubectl("get", "pods", "-n", "retl-system"),
        )


def _stalled(situation: Situation, commands: Commands) -> Iterator[Finding]:
    stalled = situation.sync.stalled
    if stalled and not any(_stalled_for(end, stalled.reason) for end in situation.ends):
        secret = _SECRET.search(stalled.message) if stalled.reason == "SecretNotFound" else None
        advice = advice_for(stalled.reason, commands, secret[1] if secret else situation.sync.name)
        checked = [end.name for end in situation.ends if end.kind == _CHECKED.get(stalled.reason)]
        type = commands.retl("check", *checked) if checked else advice.type
        yield Finding("problem", f"{stalled.reason}: {stalled.message}", advice.do, type)


def _stalled_for(end: Other, reason: str) -> bool:
    """Whether a source, destination or model is stalled for that reason; it is then told there."""
    found = find(end.conditions, "Stalled")
    return found is not None and found.status == "True" and found.reason == reason


def _active(situation: Situation, commands: Commands) -> Iterator[Finding]:
    run = situation.active
    if run is None:
        return
    if run.held:
        told = f"{run.name}: {run.reason}: {run.message or 'a guard holds it'}"
        yield Finding(
            "problem",
            told,
            "look at what it would write, then approve or cancel it",
            commands.retl("approve", run.name),
        )
        yield Finding("note", "no tick runs until then", type=commands.retl("cancel", run.name))
        return
    since = situation.sync.status.active_run
    age = span((situation.now - since.since).total_seconds()) if since else ""
    attempt = f", attempt {run.status.attempt}" if run.status.attempt else ""
    told = f"{run.name}{attempt}: {progress(run)}, for {age}"
    if run.message:
        told += f": {run.message}"
    pods = [pod for pod in situation.pods if pod["metadata"]["name"] not in run.message]
    if problem := next(filter(None, map(pod_problem, pods)), ""):
        told += f"; {problem}"
    advice = advice_for(run.reason, commands, situation.sync.name, run.name)
    yield Finding("waits", told, advice.do, advice.type or (commands.retl("logs", run.name, "-f") if attempt else ""))
    yield from _failed_before(run, commands)
    if run.reason == "WaitingForSlot":
        end = next((end for end in situation.ends if end.kind == DESTINATION), None)
        if end and end.slots:
            yield Finding("waits", f"the slots of SyncDestination {end.name} are with {', '.join(end.slots)}")


def _failed_before(run: Run, commands: Commands) -> Iterator[Finding]:
    """Why the attempt before the present one failed; while that rests, the run's own message says it."""
    last = run.status.failed_attempts[-1] if run.status.failed_attempts else None
    if last and last.number < run.status.attempt:
        do = advice_for(last.reason, commands, run.name).do
        type = commands.retl("logs", run.name, "--attempt", str(last.number))
        yield Finding("note", f"attempt {last.number} failed: {last.reason}: {last.message}", do, type)


def _waiting(situation: Situation, commands: Commands) -> Iterator[Finding]:
    if tick := situation.sync.status.waiting_tick:
        told = f"the tick of {exact(tick.at)} is due: {tick.reason}: {tick.message or _means(tick.reason)}"
        yield _finding("waits", told, advice_for(tick.reason, commands, situation.sync.name))
    reserved = situation.sync.status.active_run
    queue = [run for run in situation.runs[::-1] if not run.ended and not (reserved and run.name == reserved.name)]
    if queue:
        names = ", ".join(run.name for run in queue)
        yield Finding("waits", f"{count(len(queue), 'run')} in line for the sync, oldest first: {names}")


def _blackout(situation: Situation, commands: Commands) -> Iterator[Finding]:
    """One that covers the present; a schedule that cannot be understood is told of by its condition."""
    try:
        covered = blackout_at(Schedule.model_validate(situation.sync.schedule), situation.now)
    except (ValidationError, InvalidSchedule):
        return
    if covered:
        reason = f": {covered.blackout.reason}" if covered.blackout.reason else ""
        told = f"a blackout lasts until {plain_text.minute(covered.end)} ({when(covered.end, situation.now)}){reason}"
        name = situation.sync.name
        yield Finding("waits", told, "wait, or run it by hand all the same", commands.retl("run", name))


def _state(situation: Situation, commands: Commands) -> Iterator[Finding]:
    sync = situation.sync
    if sync.state == "Paused":
        yield Finding(
            "problem",
            "spec.state is Paused: no tick runs it, SyncRuns still do",
            "resume it, or run it once",
            commands.retl("resume", sync.name),
        )
    elif sync.state == "Draft":
        yield Finding(
            "problem", "spec.state is Draft: nothing runs it", "set spec.state", commands.retl("resume", sync.name)
        )
    elif not sync.schedule and not sync.stalled and not sync.status.active_run:
        yield Finding("note", "it has no spec.schedule", "run it by hand", commands.retl("run", sync.name))


def _dependencies(situation: Situation, commands: Commands) -> Iterator[Finding]:
    stalled = situation.sync.stalled
    if stalled and stalled.reason in ("DependencyCycle", "DependencyNotFound"):
        return  # what the condition says must be mended first
    for each in situation.sync.schedule.get("dependsOn") or []:
        name = each["syncRef"]["name"]
        sync = situation.dependencies.get(name)
        if trouble := _unmet(sync, each.get("maxAge"), situation.now):
            effect = "its ticks wait" if each.get("onFailure") == "Wait" else "its ticks are skipped"
            type = commands.retl("why", name) if sync else ""
            yield Finding("problem", f"it depends on {name}, {trouble}: {effect}", "look at that sync", type)


def _unmet(sync: Sync | None, max_age: str | None, now: datetime) -> str:
    """What keeps a dependency from being met; empty if nothing does."""
    if sync is None:
        return "which is not there"
    success = sync.status.last_success_time
    if max_age is not None:
        if success is None:
            return "which has not succeeded yet"
        age = now - success
        too_old = age > parse_duration(max_age)
        return f"whose last success is {span(age.total_seconds())} old, {max_age} allowed" if too_old else ""
    last = sync.status.last_run
    if last is None:
        return "which has not run yet"
    return "" if last.phase == "Succeeded" else f"whose last run ended {last.phase} ({last.reason})"


def _end(end: Other, situation: Situation, commands: Commands) -> Iterator[Finding]:
    what = f"{end.kind} {end.name}"
    if not end.there:
        if not situation.sync.stalled:
            yield Finding("problem", f"there is no {what} in namespace {situation.sync.meta.namespace!r}", "create it")
        return
    stalled = find(end.conditions, "Stalled")
    ready = find(end.conditions, "Ready")
    check = commands.retl("check", end.name) if end.kind != MODEL else ""
    if stalled and stalled.status == "True":
        secret = str(((end.spec.get("credentials") or {}).get("secretRef") or {}).get("name", ""))
        found = advice_for(stalled.reason, commands, secret if stalled.reason == "SecretNotFound" else end.name)
        yield _finding("problem", f"{what} is Stalled ({stalled.reason}): {stalled.message}", found)
    elif end.last_check and not end.last_check.succeeded:
        age = when(end.last_check.finished_at, situation.now)
        told = f"{what}: the last check failed {age}: {end.last_check.reason}: {end.last_check.message}"
        yield Finding("problem", told, "mend what it says, then have it looked at again", check)
    elif ready and ready.status != "True":
        yield Finding("note", f"{what}: {ready.reason}" + (f": {ready.message}" if ready.message else ""))
    changed = find(end.conditions, "CatalogChanged")
    if changed and changed.status == "True":
        yield Finding("note", f"{what} has changed since it was first looked at: {changed.message}")


def _ticks(situation: Situation, commands: Commands) -> Iterator[Finding]:
    """What to do about ticks that did not run, once for each reason, newest first."""
    told = set()
    for tick in situation.sync.status.recent_ticks[::-1][:TICKS]:
        if tick.verdict == "Ran" or tick.reason in told:
            continue
        told.add(tick.reason)
        same = sum(each.reason == tick.reason for each in situation.sync.status.recent_ticks)
        advice = advice_for(tick.reason, commands, situation.sync.name)
        if not advice.do:
            continue
        means = _means(tick.reason) or tick.message
        words = f"{count(same, 'recent tick')} {tick.verdict}, {tick.reason}: {means}"
        yield Finding("note", words, advice.do, advice.type)


def _last_run(situation: Situation, commands: Commands) -> Iterator[Finding]:
    last = situation.sync.status.last_run
    if last is None or last.phase != "Failed":
        return
    age = f" {when(last.finished_at, situation.now)}" if last.finished_at else ""
    told = f"the last run, {last.name}, failed{age}: {last.reason}"
    advice = advice_for(last.reason, commands, situation.sync.name, last.name)
    yield Finding("problem", f"{told}: {last.message}", advice.do, advice.type or commands.retl("logs", last.name))


def _letters(situation: Situation, commands: Commands) -> Iterator[Finding]:
    number = situation.sync.status.dead_letters
    if number:
        name = situation.sync.name
        yield Finding("note", f"{count(number, 'open dead letter')}", "look at them", commands.dlq("list", name))


def pod_problem(pod: Manifest) -> str:
    """What keeps a pod's container from starting, in Kubernetes' words; empty if nothing does."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason", "") not in _STARTING:
            return f"pod {name} cannot start: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for each in status.get("conditions") or []:
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return f"pod {name} cannot be placed: {each.get('message') or each.get('reason', '')}"
    return ""


def _means(reason: str) -> str:
    meaning = TICK_REASONS.get(reason) or RUN_REASONS.get(reason)
    return meaning.means if meaning else ""


def _finding(level: Level, says: str, advice: Advice) -> Finding:
    return Finding(level, says, advice.do, advice.type)
