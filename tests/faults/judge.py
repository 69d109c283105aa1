"""What must hold in every run, checked at each change of the cluster and again when all has come to rest.

The judge sees what the API server stores and which processes really run; it knows nothing of any controller's memory.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from retl.apiserver.endpoints import EVENT, JOB, LEASE
from retl.controller.kinds import RESOURCES, Key
from retl.controller.runs.states import RUN_EDGES
from retl.resources.kinds import DESTINATION, RUN, SYNC, Manifest
from retl.resources.marks import PINNED_LABEL
from retl.resources.reasons import TICK_REASONS
from retl.resources.run import TERMINAL
from tests.faults.nodes import Runner
from tests.faults.oracle import MINUTE, blacked_out, ticks
from tests.faults.server import Change

PROBLEMS = ("SourceNotFound", "DestinationNotFound", "SecretNotFound", "DependencyCycle")
"""Reasons of Stalled that these plans bring about: the ticks of a sync that cannot run at all carry them too."""
JITTER_MAX = timedelta(minutes=2)
MAY_CREATE = (RUN, JOB, LEASE, EVENT)
MAY_DELETE = (RUN, JOB)
STATUS_MAX = 16 * 1024
SKEW_MAX = timedelta(seconds=40)
"""A clock may be wrong by half a minute, and it takes a moment to find out that it is."""
KEPT = 20
_EDGES = {(edge.before, edge.after) for edge in RUN_EDGES}


class Violated(AssertionError):
    """Something that must never happen has happened."""


@dataclass
class Ledger:
    """What is known of one sync, by its uid.

    Attributes:
        verdicts: of each tick, the first that was published.
        runs: of each tick, name of the SyncRun that was made for it, unless a person deleted it.
        made: ticks that a SyncRun was ever made for.
        tampered: a person wrote its status, so that its past is not what the controller left.
    """

    name: str
    created: datetime
    verdicts: dict[datetime, tuple[str, str]] = field(default_factory=dict)
    runs: dict[datetime, str] = field(default_factory=dict)
    made: set[datetime] = field(default_factory=set)
    tampered: bool = False
    gone: bool = False


class Judge:
    """Raises Violated in the middle of the step that does wrong.

    Args:
        now: the true time.
        find: looks into the API server.
        say: is told what was violated, for the trace.
    """

    def __init__(
        self, now: Callable[[], datetime], find: Callable[[Key], Manifest | None], say: Callable[[str], None]
    ) -> None:
        self._now = now
        self._find = find
        self._say = say
        self.violations: list[str] = []
        self.ledgers: dict[str, Ledger] = {}
        self.writes = 0
        """Of controllers, the Lease and Events apart."""
        self._running: dict[str, Runner] = {}
        self._began: dict[str, set[str]] = {}
        self._ended: dict[str, datetime] = {}
        self._jobs: set[tuple[str, str]] = set()
        self._limits: dict[str, int] = {}
        self._holder = ""

    # What happens at the API server

    def see(self, change: Change) -> None:
        """One change of the cluster, at once."""
        if change.key.kind == LEASE:
            self._holder = str(change.manifest["spec"].get("holderIdentity") or "")
            return
        by_controller = change.by.startswith("controller")
        if by_controller and change.key.kind != EVENT:
            self.writes += 1
            self._check_right(change)
        if change.key.kind == SYNC:
            self._see_sync(change, by_controller)
        elif change.key.kind == RUN:
            self._see_run(change, by_controller)
        elif change.key.kind == DESTINATION and change.type == "ADDED":
            limit = change.manifest["spec"].get("maxConcurrentRuns", 1000)
            self._limits[change.manifest["metadata"]["uid"]] = limit
        elif change.key.kind == JOB:
            self._see_job(change, by_controller)
        if change.key.kind in RESOURCES:
            size = len(json.dumps(change.manifest["status"], separators=(",", ":")))
            self._hold(size < STATUS_MAX, f"the status of {change.key} has {size} bytes")

    def writes_as_leader(self, identity: str, call: str) -> None:
        """A controller is about to send a write."""
        self._hold(self._holder == identity, f"{identity} sends {call} while {self._holder or 'nobody'} leads")

    def broke(self, why: str) -> None:
        """A program came to an end that it should not have come to."""
        self._hold(False, why)

    def _check_right(self, change: Change) -> None:
        key, before, after = change.key, change.before, change.manifest
        if change.type == "ADDED":
            self._hold(key.kind in MAY_CREATE, f"{change.by} created {key}")
        elif change.type == "DELETED" or "deletionTimestamp" in after["metadata"]:
            self._hold(key.kind in MAY_DELETE, f"{change.by} deleted {key}")
            pinned = (after["metadata"].get("labels") or {}).get(PINNED_LABEL) == "true"
            self._hold(not (key.kind == RUN and pinned), f"{change.by} deleted {key}, which is pinned")
        else:
            assert before is not None
            same = _untouched(before) == _untouched(after)
            self._hold(same, f"{change.by} changed more than the status of {key}")

    def _see_sync(self, change: Change, by_controller: bool) -> None:
        metadata = change.manifest["metadata"]
        if change.type == "ADDED":
            created = datetime.fromisoformat(metadata["creationTimestamp"])
            self.ledgers[metadata["uid"]] = Ledger(change.key.name, created)
            return
        ledger = self.ledgers[metadata["uid"]]
        if change.type == "DELETED":
            ledger.gone = True
        elif not by_controller and change.before and change.before["status"] != change.manifest["status"]:
            ledger.tampered = True
            ledger.runs.clear()
        elif by_controller and change.before:
            self._published(change.key, ledger, change.before, change.manifest)

    def _published(self, key: Key, ledger: Ledger, before: Manifest, after: Manifest) -> None:
        status = after["status"]
        recent = status.get("recentTicks") or []
        self._hold(len(recent) <= KEPT, f"{key} keeps {len(recent)} ticks")
        for record in recent:
            self._verdict(key, ledger, record, after)
        if not ledger.tampered:
            self._check_passed(key, ledger, before, after)

    def _verdict(self, key: Key, ledger: Ledger, record: dict[str, Any], sync: Manifest) -> None:
        at, verdict = datetime.fromisoformat(record["at"]), (record["verdict"], record.get("reason", ""))
        known = ledger.verdicts.setdefault(at, verdict)
        self._hold(known == verdict or ledger.tampered, f"{key}: tick {at:%FT%RZ} was {known}, and now is {verdict}")
        if known is not verdict:
            return
        reason = verdict[1]
        self._hold(
            reason in TICK_REASONS or reason in PROBLEMS or (verdict == ("Ran", "")),
            f"{key}: tick {at:%FT%RZ} is {verdict}, a reason that nobody knows",
        )
        self._say(f"{key.name}: tick {at:%FT%RZ} {verdict[0]} {reason}".rstrip())
        if not ledger.tampered:
            self._check_sense(key, ledger, at, verdict, sync)

    def _check_sense(self, key: Key, ledger: Ledger, at: datetime, verdict: tuple[str, str], sync: Manifest) -> None:
        """Whether the reason can be true of this schedule."""
        schedule = sync["spec"].get("schedule") or {}
        catch_up, reason = schedule.get("catchUp", "Latest"), verdict[1]
        sensible = {
            "Late": catch_up == "None",
            "CatchUpLimit": catch_up == "All",
            "StartingDeadlineExceeded": "startingDeadline" in schedule,
            "DependencyFailed": "dependsOn" in schedule,
            "DependencyStale": "dependsOn" in schedule,
            "DependencyNotFound": "dependsOn" in schedule,
            "SourceNotFresh": "freshness" in schedule,
        }
        # A schedule may have been changed between its tick and the verdict.
        steady = sync["metadata"]["generation"] == 1
        self._hold(
            not steady or sensible.get(reason, True),
            f"{key}: tick {at:%FT%RZ} is {verdict}, which its schedule rules out",
        )
        run = self._find(Key(RUN, key.namespace, ledger.runs.get(at, "")))
        if verdict[0] == "Ran" and run:
            phase = run["status"].get("phase")
            self._hold(phase in TERMINAL, f"{key}: tick {at:%FT%RZ} is {verdict}, and its run still {phase}")
            told = reason or "Succeeded"
            self._hold(phase == told, f"{key}: tick {at:%FT%RZ} is {verdict}, and its run {phase}")
        if verdict[0] == "Ran":
            self._hold(at in ledger.made, f"{key}: tick {at:%FT%RZ} is {verdict}, yet no run was ever made for it")
        if steady and (blackouts := schedule.get("blackouts")):
            dark = any(blacked_out(b, schedule.get("timeZone", "UTC"), at, _length(b["duration"])) for b in blackouts)
            blacked = reason == "Blackout"
            self._hold(dark or not blacked, f"{key}: tick {at:%FT%RZ} was skipped for a blackout that there is not")
            self._hold(not dark or verdict[0] != "Ran", f"{key}: tick {at:%FT%RZ} ran in a blackout")

    def _check_passed(self, key: Key, ledger: Ledger, before: Manifest, after: Manifest) -> None:
        """Every tick that the controller says it is done with has a verdict, or is the one that runs."""
        old, new = before["status"], after["status"]
        last, schedule = new.get("lastTick"), after["spec"].get("schedule")
        if last is None or last == old.get("lastTick") or not schedule or schedule["cron"] == "@after":
            return
        armed = f"{schedule['cron']} {schedule.get('timeZone', 'UTC')}"
        if new.get("armedSchedule") != armed or (old and old.get("armedSchedule") != armed):
            return  # a schedule that has just come into force is not asked about the past
        since = datetime.fromisoformat(old["lastTick"]) if "lastTick" in old else ledger.created
        passed = ticks(schedule["cron"], schedule.get("timeZone", "UTC"), since, datetime.fromisoformat(last))
        for tick in passed[-KEPT:]:
            answered = tick in ledger.verdicts or tick in _standing(new)
            self._hold(answered, f"{key}: tick {tick:%FT%RZ} was passed over without a verdict")

    def _see_run(self, change: Change, by_controller: bool) -> None:
        key, spec = change.key, change.manifest["spec"]
        if change.type == "DELETED" and not by_controller:
            self._forgive(change.manifest)
        if change.type == "ADDED" and by_controller:
            tick = datetime.fromisoformat(spec["tick"])
            owner = change.manifest["metadata"]["ownerReferences"][0]["uid"]
            ledger = self.ledgers[owner]
            early = tick - self._now()
            self._hold(early <= SKEW_MAX, f"the run of tick {tick:%FT%RZ} of {ledger.name} was made {early} early")
            again = ledger.runs.setdefault(tick, key.name)
            ledger.made.add(tick)
            self._hold(again is key.name, f"tick {tick:%FT%RZ} of {ledger.name} has a second run, {key.name}")
        if change.manifest["status"].get("phase") in TERMINAL:
            uid = change.manifest["metadata"]["uid"]
            self._ended[key.name] = self._ended.setdefault(uid, self._now())
        if change.type == "MODIFIED" and by_controller and change.before:
            before = change.before["status"].get("phase") or "New"
            after = change.manifest["status"].get("phase") or "New"
            self._hold(before == after or (before, after) in _EDGES, f"{key} went from {before} to {after}")

    def _forgive(self, run: Manifest) -> None:
        """What a person deleted may be made again: nothing that the controller can see tells it from never made."""
        for ledger in self.ledgers.values():
            for tick, name in list(ledger.runs.items()):
                if name == run["metadata"]["name"]:
                    del ledger.runs[tick]

    def _see_job(self, change: Change, by_controller: bool) -> None:
        for owner in change.manifest["metadata"].get("ownerReferences") or []:
            attempt = owner["uid"], change.key.name
            if change.type == "DELETED" and not by_controller:
                self._jobs.discard(attempt)
            elif change.type == "ADDED":
                self._hold(attempt not in self._jobs, f"{change.key} was made twice")
                self._jobs.add(attempt)

    # What runs

    def started(self, runner: Runner) -> None:
        """A runner's process begins."""
        if not runner.sync:
            return
        others = [other for other in self._running.values() if other.sync == runner.sync]
        for other in others:
            self._hold(False, f"{runner.pod.name} began while {other.pod.name} of the same sync was running")
        self._running[runner.uid] = runner
        self._began.setdefault(runner.sync, set()).add(str(runner.run["uid"]))
        there = sum(other.destination == runner.destination for other in self._running.values())
        limit = self._limits[runner.destination]
        self._hold(there <= limit, f"{there} runs write to a destination that takes {limit}")

    def ended(self, runner: Runner) -> None:
        """A runner's process is gone."""
        self._running.pop(runner.uid, None)

    # The end

    def at_rest(self, syncs: list[Manifest], runs: list[Manifest], until: datetime) -> None:
        """Faults have ended a while ago: everything is decided, nothing is held, little is kept."""
        for run in runs:
            phase = run["status"].get("phase")
            self._hold(phase in TERMINAL, f"{run['metadata']['name']} is still {phase}: {_why(run)}")
        for sync in syncs:
            self._check_sync_at_rest(sync, runs, until)
            self._check_last_run(sync, runs)
        for one in (*syncs, *runs):
            self._check_seen(one)
        self._hold(not self._running, f"still running: {[runner.pod.name for runner in self._running.values()]}")

    def _check_sync_at_rest(self, sync: Manifest, runs: list[Manifest], until: datetime) -> None:
        key, status, uid = Key.of(SYNC, sync), sync["status"], sync["metadata"]["uid"]
        ledger = self.ledgers[uid]
        self._hold("activeRun" not in status, f"{key} is still held by {status.get('activeRun')}")
        self._hold("waitingTick" not in status, f"{key} still waits with {status.get('waitingTick')}")
        mine = [run for run in runs if run["spec"]["syncRef"]["name"] == key.name and not _pinned(run)]
        history = sync["spec"].get("history", {})
        for limit, ended in (("successful", ("Succeeded",)), ("failed", ("Failed", "Cancelled"))):
            kept = sum(run["status"].get("phase") in ended for run in mine)
            self._hold(kept <= max(1, history.get(limit, 10)), f"{key} keeps {kept} runs that {limit}")
        if ledger.tampered:
            return
        for tick, name in ledger.runs.items():
            verdict = ledger.verdicts.get(tick)
            ran = verdict is not None and (verdict[0] == "Ran" or verdict[1] == "SourceNotFresh")
            self._hold(ran, f"{key}: {name} was made, and tick {tick:%FT%RZ} is {verdict}")
        self._check_all_decided(key, ledger, sync, until)

    def _check_last_run(self, sync: Manifest, runs: list[Manifest]) -> None:
        """The newest run that really began, and might have written, is the one that the sync shows."""
        uid, name = sync["metadata"]["uid"], sync["metadata"]["name"]
        began = self._began.get(uid, ())
        ended = [run for run in runs if run["metadata"]["uid"] in began and _may_have_written(run)]
        if not ended or self.ledgers[uid].tampered:
            return
        newest = max(ended, key=lambda run: self._ended[run["metadata"]["uid"]])["metadata"]
        shown = (sync["status"].get("lastRun") or {}).get("name")
        late = shown is not None and self._ended.get(shown, self._now()) >= self._ended[newest["uid"]]
        self._hold(late, f"{name} shows {shown} as its last run, and {newest['name']} ended later")

    def _check_seen(self, one: Manifest) -> None:
        """Its status is about its present spec, and nothing is being brought about."""
        name, status, generation = one["metadata"]["name"], one["status"], one["metadata"]["generation"]
        observed = status.get("observedGeneration")
        self._hold(observed == generation, f"{name} has generation {generation}, its status is about {observed}")
        busy = [
            c["reason"] for c in status.get("conditions") or [] if c["type"] == "Reconciling" and c["status"] == "True"
        ]
        self._hold(not busy, f"{name} is still said to be reconciling: {busy}")

    def _check_all_decided(self, key: Key, ledger: Ledger, sync: Manifest, until: datetime) -> None:
        """Of a sync whose schedule never changed, every tick of its life has its verdict."""
        schedule = sync["spec"].get("schedule")
        if not schedule or schedule["cron"] == "@after" or sync["metadata"]["generation"] > 2:
            return
        started = until - JITTER_MAX if "jitter" in schedule else until
        due = ticks(schedule["cron"], schedule.get("timeZone", "UTC"), ledger.created, started)
        for tick in due:
            self._hold(tick in ledger.verdicts, f"{key}: tick {tick:%FT%RZ} never got a verdict")

    def _hold(self, true: bool, otherwise: str) -> None:
        if not true:
            self.violations.append(otherwise)
            self._say(f"VIOLATED: {otherwise}")


def _untouched(manifest: Manifest) -> Manifest:
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "resourceVersion"}
    return {**manifest, "metadata": metadata, "status": None}


def _standing(status: Manifest) -> set[datetime]:
    """Ticks that are under way or wait."""
    active, waiting = (status.get("activeRun") or {}).get("tick"), (status.get("waitingTick") or {}).get("at")
    return {datetime.fromisoformat(moment) for moment in (active, waiting) if moment}


def _pinned(run: Manifest) -> bool:
    return bool((run["metadata"].get("labels") or {}).get(PINNED_LABEL) == "true")


def _may_have_written(run: Manifest) -> bool:
    return run["spec"]["mode"] != "Plan" and "SourceNotFresh" not in _why(run)


def _why(run: Manifest) -> str:
    conditions = run["status"].get("conditions") or []
    return "; ".join(f"{c['reason']} {c.get('message', '')}" for c in conditions if c["type"] == "Succeeded")


def _length(duration: str) -> timedelta:
    """Of a blackout: whole minutes."""
    return MINUTE * int(duration.removesuffix("m"))
