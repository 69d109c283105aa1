"""Results as text for people and as JSON for programs. Pure: values in, text out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from retl.resources.run import RunCounts
from retl.runspec.result import RunResult
from retl.state.store import DeadLetter, RunRecord

COUNTERS = tuple(RunCounts.model_fields)
_ALWAYS = ("read", "unchanged", "created", "updated")
_MESSAGE_WIDTH = 100
_SAMPLE = 5


def table(header: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> str:
    """Columns two spaces apart, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    numeric = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [[name.upper() for name in header], *cells]
    ]
    return "\n".join(lines)


def result_object(result: RunResult) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "run": result.run,
        "sync": result.sync,
        "status": result.status,
        **{name: getattr(result.counts, name) for name in COUNTERS},
        "duration_seconds": round(result.duration_seconds, 3),
        "dead_letters": result.dead_letters,
        "reason": result.reason,
        "message": result.message,
        "plan_hash": result.plan_hash,
    }


def result_table(results: Sequence[RunResult]) -> str:
    """One line a run. Counters that are zero in all of them are left out, apart from those that one looks for."""
    counters = [name for name in COUNTERS if name in _ALWAYS or any(getattr(r.counts, name) for r in results)]
    return table(
        ["sync", "status", *counters, "time"],
        [
            [r.sync, r.status, *(getattr(r.counts, name) for name in counters), f"{r.duration_seconds:.1f} s"]
            for r in results
        ],
    )


def dead_letter_sample(result: RunResult, letters: Sequence[DeadLetter], how_to_list: str) -> str:
    """The first dead letters of a sync with their reasons, and how to see the rest."""
    shown = letters[:_SAMPLE]
    lines = [f"{result.sync}: {_count(result.dead_letters, 'open dead letter')}"]
    lines += [f"  {_keys(letter)}  {letter.code}  {_short(letter.message)}" for letter in shown]
    if result.dead_letters > len(shown):
        lines.append(f"  and {_cell(result.dead_letters - len(shown))} more: {how_to_list}")
    return "\n".join(lines)


def dead_letter_object(letter: DeadLetter) -> dict[str, Any]:
    """The JSON of a dead letter."""
    return {
        "id": letter.id,
        "sync": letter.sync,
        "namespace": letter.namespace,
        "run": letter.run,
        "code": letter.code,
        "message": letter.message,
        "record_keys": letter.record_keys,
        "attempts": letter.attempts,
        "first_seen_at": _iso(letter.first_seen_at),
        "last_seen_at": _iso(letter.last_seen_at),
        "resolved_at": _iso(letter.resolved_at),
        "resolution": letter.resolution,
    }


def dead_letter_table(letters: Sequence[DeadLetter]) -> str:
    """One line a dead letter; the message comes last and is cut for the eye only, JSON has all of it."""
    return table(
        ["sync", "record", "code", "attempts", "last seen", "message"],
        [
            [each.sync, _keys(each), each.code, each.attempts, _minute(each.last_seen_at), _short(each.message)]
            for each in letters
        ],
    )


def run_object(run: RunRecord) -> dict[str, Any]:
    """The JSON of a run that the state database remembers."""
    return {
        "run": run.name,
        "sync": run.sync,
        "namespace": run.namespace,
        "status": run.state,
        "attempt": run.attempt,
        **{name: getattr(run.counts, name) for name in COUNTERS},
        "dead_letters": run.dead_letters,
        "reason": run.reason,
        "message": run.message,
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
    }


def run_table(runs: Sequence[RunRecord]) -> str:
    """One line a run."""
    header = ["run", "status", "started", "time", "read", "created", "updated", "dead letters", "reason"]
    return table(
        header,
        [
            [
                run.name,
                run.state,
                _minute(run.started_at),
                f"{(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else None,
                run.counts.read,
                run.counts.created,
                run.counts.updated,
                run.dead_letters,
                run.reason or None,
            ]
            for run in runs
        ],
    )


def _cell(value: str | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _keys(letter: DeadLetter) -> str:
    return ", ".join(f"{field}={value}" for field, value in letter.record_keys.items()) or "-"


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MESSAGE_WIDTH else line[: _MESSAGE_WIDTH - 1] + "…"


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
