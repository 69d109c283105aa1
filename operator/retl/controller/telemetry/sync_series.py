"""Series of single syncs, connections and unfinished runs, written as text when somebody scrapes.

What is known of an object is read from the cache's own copy of it, so the series of a deleted object end with it; only
the counters are kept here, and go with their sync. The text is put together by hand: 10,000 syncs are 200,000 lines,
for which prometheus_client takes ten times as long. Scraping happens in a thread of its own while the event loop goes
on changing what is read here: copies of dictionaries are taken in one step, and objects in the cache never change.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, get_args

from retl.controller.facts import moment
from retl.controller.kinds import Key
from retl.resources.fields import parse_duration
from retl.resources.kinds import DESTINATION, RUN, SOURCE, SYNC, Manifest
from retl.resources.marks import CRITICAL_LABEL, MAX_AGE
from retl.resources.run import TERMINAL, RunCounts, RunPhase
from retl.resources.sync import TickRecord
from retl.runspec.codes import Code

ROWS = tuple(name for name in RunCounts.model_fields if name != "read")
"""What can become of a row; together they are all rows that were read."""
_CODES = frozenset(get_args(Code))
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What comes of a status that somebody wrote by hand: the others' series must not be lost by it."""
_BREATHER = 250
"""Syncs that are written before the event loop may have its turn."""

_FAMILIES = {
    "retl_syncs": ("gauge", "ReverseETLSyncs that there are."),
    "retl_syncs_without_series": ("gauge", "Syncs that not all is told of: beyond --metrics-max-syncs, or unreadable."),
    "retl_runs_unfinished": ("gauge", "SyncRuns that have not ended, by phase and reason."),
    "retl_sync_rows_total": ("counter", "Rows by what became of them, of runs that ended."),
    "retl_sync_runs_total": ("counter", "Runs that ended, by phase."),
    "retl_sync_run_seconds_total": ("counter", "Seconds that ended runs took together."),
    "retl_sync_ticks_total": ("counter", "Ticks by verdict and reason."),
    "retl_sync_last_run_seconds": ("gauge", "Seconds that the newest finished run took."),
    "retl_sync_last_run_succeeded": ("gauge", "1 if the newest finished run succeeded, else 0."),
    "retl_sync_last_success_timestamp_seconds": ("gauge", "When a run last succeeded (Unix time)."),
    "retl_sync_lag_seconds": (
        "gauge",
        "Seconds since an active sync last succeeded; since its creation if it never has.",
    ),
    "retl_sync_max_age_seconds": ("gauge", "Seconds that it may be, by the sync's annotation."),
    "retl_sync_critical": ("gauge", "1 where the sync's label says that no row of it may be left out."),
    "retl_sync_overdue_seconds": ("gauge", "Seconds since the oldest tick that is due and has not started; else 0."),
    "retl_sync_next_run_timestamp_seconds": ("gauge", "When the next tick is (Unix time)."),
    "retl_sync_open_dead_letters": ("gauge", "Dead letters that wait, as of the newest run, by code."),
    "retl_sync_awaiting_approval": ("gauge", "1 while a run is held by a guard and waits for a person."),
    "retl_sync_active_run": ("gauge", "1 while a run holds the sync."),
    "retl_sync_progress_rows": ("gauge", "Rows that the present step of the active run has handled."),
    "retl_sync_waiting": ("gauge", "1 while a tick or run that is due may not start, with the reason."),
    "retl_sync_stalled": ("gauge", "1 while the sync cannot run until somebody changes something, with the reason."),
    "retl_destination_slots_used": ("gauge", "Runs that maxConcurrentRuns lets go on now."),
    "retl_destination_slots_limit": ("gauge", "maxConcurrentRuns of the destination."),
    "retl_check_succeeded": ("gauge", "1 if the newest check of the connection succeeded, else 0."),
    "retl_check_timestamp_seconds": ("gauge", "When the newest check ended (Unix time)."),
}


@dataclass(slots=True)
class _Counts:
    """What has happened to one sync since this process began."""

    rows: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    ticks: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0


class SyncSeries:
    """Series that carry names of objects.

    Args:
        max_syncs: so many syncs (critical ones first, then those known longest) and so many connections have series; 0
            leaves all out.
        bounded: keeps the number of a label's values within bounds.
    """

    def __init__(self, max_syncs: int, bounded: Callable[[str], str]) -> None:
        self._max = max_syncs
        self._bounded = bounded
        self._counts: dict[Key, _Counts] = {}
        self._objects: dict[str, dict[Key, Manifest]] = {SYNC: {}, RUN: {}, SOURCE: {}, DESTINATION: {}}

    def changed(self, key: Key, now: Manifest | None) -> None:
        """Take note of an object that is new, changed or (None) gone."""
        objects = self._objects.get(key.kind)
        if objects is None:
            return
        if now is None or (key.kind == RUN and now["status"].get("phase") in TERMINAL):
            objects.pop(key, None)
            self._counts.pop(key, None)
            return
        objects[key] = now
        if key.kind == SYNC:
            self._counts.setdefault(key, _Counts())

    def judged(self, sync: Key, record: TickRecord) -> None:
        """Count a tick's verdict."""
        if counts := self._counts.get(sync):
            counts.ticks[record.verdict, record.reason] += 1

    def ended(self, sync: Key, phase: RunPhase, seconds: float, rows: RunCounts | None) -> None:
        """Count a run that ended; a run of a sync that is gone counts for nobody."""
        if counts := self._counts.get(sync):
            counts.runs[phase] += 1
            counts.seconds += seconds
            for outcome in ROWS if rows else ():
                counts.rows[outcome] += getattr(rows, outcome)

    def exposition(self, now: datetime | None) -> bytes:
        """The series in Prometheus' text format; None as the time leaves all of them out, as a standby must."""
        page = _Page()
        if now is not None:
            self._write(page, now)
        return page.text()

    def _write(self, page: "_Page", now: datetime) -> None:
        syncs, runs = self._objects[SYNC].copy(), self._objects[RUN].copy()
        page.add("retl_syncs", "", len(syncs))
        for (phase, reason), number in Counter(self._standing(run) for run in runs.values()).items():
            page.add("retl_runs_unfinished", f'phase="{phase}",reason="{reason}"', number)
        left_out = max(0, len(syncs) - self._max)
        shown: Iterable[tuple[Key, Manifest]] = syncs.items()
        if left_out:  # somebody is to be told of each dead letter of a critical one: it is the last to be left out
            shown = sorted(shown, key=lambda known: not _is_critical(known[1]["metadata"]))
        for index, (key, sync) in enumerate(islice(shown, self._max)):
            if index % _BREATHER == 0:
                time.sleep(0)
            labels = f'namespace="{key.namespace}",sync="{key.name}"'
            self._write_counts(page, labels, self._counts.get(key))
            try:
                self._write_sync(page, labels, key, sync, runs, now)
            except _UNREADABLE:
                left_out += 1
        page.add("retl_syncs_without_series", "", left_out)
        connections = [*self._objects[SOURCE].copy().items(), *self._objects[DESTINATION].copy().items()]
        for key, connection in connections[: self._max]:
            _write_connection(page, key, connection)

    def _write_counts(self, page: "_Page", labels: str, counts: _Counts | None) -> None:
        if counts is None:
            return
        for outcome in ROWS:
            page.add("retl_sync_rows_total", f'{labels},outcome="{outcome}"', counts.rows[outcome])
        for phase in ("Succeeded", "Failed", "Cancelled"):
            page.add("retl_sync_runs_total", f'{labels},phase="{phase}"', counts.runs[phase])
        page.add("retl_sync_run_seconds_total", labels, counts.seconds)
        for (verdict, reason), number in counts.ticks.copy().items():
            told = f'{labels},verdict="{verdict}",reason="{_escaped(reason)}"'
            page.add("retl_sync_ticks_total", told, number)

    def _write_sync(
        self, page: "_Page", labels: str, key: Key, sync: Manifest, runs: dict[Key, Manifest], now: datetime
    ) -> None:
        status, spec = sync["status"], sync.get("spec") or {}
        active = status.get("activeRun")
        run = runs.get(Key(RUN, key.namespace, active["name"])) if active else None
        page.add("retl_sync_active_run", labels, 1 if active else 0)
        phase = run["status"].get("phase") if run else None
        page.add("retl_sync_awaiting_approval", labels, 1 if phase == "AwaitingApproval" else 0)
        page.add("retl_sync_overdue_seconds", labels, _overdue(status, run, now))
        if spec.get("state", "Active") == "Active":
            since = status.get("lastSuccessTime") or sync["metadata"].get("creationTimestamp")
            if since:
                page.add("retl_sync_lag_seconds", labels, _seconds(moment(since), now))
        _write_times(page, labels, status)
        _write_wishes(page, labels, sync["metadata"])
        self._write_words(page, labels, status, run)
        for code, number in _dead_letters(status).items():
            page.add("retl_sync_open_dead_letters", f'{labels},code="{code}"', number)

    def _write_words(self, page: "_Page", labels: str, status: Manifest, run: Manifest | None) -> None:
        progress = run["status"].get("progress") if run else None
        if progress:
            step = _escaped(str(progress["step"]))
            page.add("retl_sync_progress_rows", f'{labels},step="{step}"', progress.get("rows", 0))
        waiting = (status.get("waitingTick") or {}).get("reason")
        if not waiting and run and run["status"].get("phase") in (None, "Pending"):
            waiting = self._standing(run)[1]
        if waiting:
            page.add("retl_sync_waiting", f'{labels},reason="{_escaped(waiting)}"', 1)
        if stalled := _condition(status, "Stalled"):
            page.add("retl_sync_stalled", f'{labels},reason="{_escaped(stalled["reason"])}"', 1)

    def _standing(self, run: Manifest) -> tuple[str, str]:
        """Phase and reason of a run that has not ended."""
        status = run["status"]
        said = next((c["reason"] for c in status.get("conditions") or [] if c["type"] == "Succeeded"), "")
        return status.get("phase") or "Pending", _escaped(self._bounded(said))


class _Page:
    """Lines of each metric; Prometheus wants those of one metric together."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, labels: str, value: float) -> None:
        self._lines[name].append(f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n")

    def text(self) -> bytes:
        return "".join(self._all()).encode()

    def _all(self) -> Iterable[str]:
        for name, (kind, means) in _FAMILIES.items():
            yield f"# HELP {name} {means}\n# TYPE {name} {kind}\n"
            yield from self._lines[name]


def _write_times(page: _Page, labels: str, status: Manifest) -> None:
    if success := status.get("lastSuccessTime"):
        page.add("retl_sync_last_success_timestamp_seconds", labels, moment(success).timestamp())
    if upcoming := status.get("nextRunTime"):
        page.add("retl_sync_next_run_timestamp_seconds", labels, moment(upcoming).timestamp())
    if last := status.get("lastRun"):
        page.add("retl_sync_last_run_succeeded", labels, 1 if last["phase"] == "Succeeded" else 0)
        if last.get("startedAt") and last.get("finishedAt"):
            took = _seconds(moment(last["startedAt"]), moment(last["finishedAt"]))
            page.add("retl_sync_last_run_seconds", labels, took)


def _write_wishes(page: _Page, labels: str, metadata: Manifest) -> None:
    """What people want to be told of; a duration that cannot be read is no wish."""
    if _is_critical(metadata):
        page.add("retl_sync_critical", labels, 1)
    age = (metadata.get("annotations") or {}).get(MAX_AGE)
    with suppress(ValueError):
        if age is not None:
            page.add("retl_sync_max_age_seconds", labels, parse_duration(age).total_seconds())


def _is_critical(metadata: Manifest) -> bool:
    return bool((metadata.get("labels") or {}).get(CRITICAL_LABEL) == "true")


def _write_connection(page: _Page, key: Key, connection: Manifest) -> None:
    status, place = connection["status"], f'namespace="{key.namespace}"'
    if limit := (connection.get("spec") or {}).get("maxConcurrentRuns"):
        labels = f'{place},destination="{key.name}"'
        page.add("retl_destination_slots_limit", labels, limit)
        page.add("retl_destination_slots_used", labels, len(status.get("slots") or []))
    if check := status.get("lastCheck"):
        labels = f'{place},kind="{key.kind}",name="{key.name}"'
        page.add("retl_check_succeeded", labels, 1 if check["succeeded"] else 0)
        page.add("retl_check_timestamp_seconds", labels, moment(check["finishedAt"]).timestamp())


def _overdue(status: Manifest, run: Manifest | None, now: datetime) -> float:
    """Seconds since the oldest tick that is due and whose run has not started."""
    ticks = [(status.get("waitingTick") or {}).get("at"), status.get("nextRunTime")]
    if run and not run["status"].get("startedAt"):
        ticks.append(status["activeRun"].get("tick"))
    return max((_seconds(moment(tick), now) for tick in ticks if tick), default=0.0)


def _dead_letters(status: Manifest) -> dict[str, int]:
    """Open dead letters by code; of codes that nobody knows, together."""
    by_code: Counter[str] = Counter()
    for code, number in (status.get("deadLettersByCode") or {}).items():
        by_code[code if code in _CODES else "UNKNOWN"] += number
    if not by_code and status.get("deadLetters"):
        by_code["UNKNOWN"] = status["deadLetters"]
    return dict(by_code)


def _condition(status: Manifest, type: str) -> Any:
    return next((c for c in status.get("conditions") or [] if c["type"] == type and c["status"] == "True"), None)


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())


def _escaped(value: str) -> str:
    """A label value that somebody may have written by hand into a status."""
    if value.isalnum():
        return value
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
