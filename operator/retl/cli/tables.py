"""Runs as text for people and as JSON for programs. Pure: values in, text out."""

from collections.abc import Sequence
from typing import Any

from retl.cli.text import iso, minute, seconds, table, wrapped
from retl.resources.run import RunCounts
from retl.runspec.result import RunResult
from retl.state.store import RunRecord

COUNTERS = tuple(RunCounts.model_fields)
_SHOWN = ("created", "updated", "deleted", "unchanged", "skipped", "invalid", "rejected", "unknown")


def accounting(counts: RunCounts) -> str:
    """`read 12 = 10 created + 2 rejected`: the sum that always adds up, without its zeros."""
    parts = [f"{getattr(counts, name):,} {name}" for name in _SHOWN if getattr(counts, name)]
    return f"read {counts.read:,}" + (f" = {' + '.join(parts)}" if parts else "")


def result_object(result: RunResult) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "run": result.run,
        "sync": result.sync,
        "status": result.status,
        **{name: getattr(result.counts, name) for name in COUNTERS},
        "duration_seconds": round(result.duration_seconds, 3),
        "dead_letters": result.dead_letters,
        "dead_letters_dropped": result.dead_letters_dropped,
        "reason": result.reason,
        "message": result.message,
        "plan_hash": result.plan_hash,
    }


def result_line(result: RunResult, width: int) -> str:
    """A run in a line: how it ended, how long it took, and what became of the rows."""
    took = f"{result.sync}: {result.status} in {seconds(result.duration_seconds)}"
    return wrapped(f"{took}, {accounting(result.counts)}", width, hanging="  ")


def run_object(run: RunRecord) -> dict[str, Any]:
    """The JSON of a run that the state database remembers."""
    return {
        "run": run.name,
        "sync": run.sync,
        "namespace": run.namespace,
        "mode": run.mode,
        "status": run.state,
        "attempt": run.attempt,
        **{name: getattr(run.counts, name) for name in COUNTERS},
        "dead_letters": run.dead_letters,
        "reason": run.reason,
        "message": run.message,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
    }


def run_table(runs: Sequence[RunRecord], width: int) -> str:
    """Two lines a run: when and how it went, then what became of the rows, and why it did not succeed."""
    lines = table(
        ["run", "mode", "status", "started", "time", "dead letters"],
        [
            [
                run.name,
                run.mode,
                run.state,
                minute(run.started_at),
                seconds((run.finished_at - run.started_at).total_seconds()) if run.finished_at else None,
                run.dead_letters,
            ]
            for run in runs
        ],
    ).splitlines()
    return "\n".join([lines[0], *(f"{line}\n{_story(run, width)}" for line, run in zip(lines[1:], runs, strict=True))])


def _story(run: RunRecord, width: int) -> str:
    told = accounting(run.counts)
    if run.state == "Interrupted":
        told += "; its process vanished without a last word, and the next run goes on from what was acknowledged"
    elif run.reason:
        told += f"; {run.reason}"
    return wrapped(told, width, "  ")
