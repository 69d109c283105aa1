"""A plan as text for a terminal, and as Markdown for a pull request. Pure: a plan in, text out.

The JSON of a plan is the document as the engine wrote it, so that no number of a sample loses a digit.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from retl.cli.tables import accounting
from retl.cli.text import count, cut, keys, plain, seconds, wrapped
from retl.runspec.plan import Drift, Estimate, GuardVerdict, Operation, Plan, PlannedChange

_SIGN: Mapping[Operation, str] = {"create": "+", "update": "~", "delete": "-"}
_VALUE = 60
"""Columns of a value in a sample; the JSON has all of it."""
_FIELDS = 12
_DRIFT = {
    "ColumnAdded": "the query returns a new column {name} ({after})",
    "ColumnGone": "the query no longer returns column {name} ({before})",
    "TypeChanged": "column {name} was {before} and is {after} now",
    "FieldGone": "the destination has no field {name} any more",
    "FieldReadOnly": "the destination's field {name} cannot be written",
}


def read(document: bytes) -> Plan:
    """The plan, with the samples' numbers exactly as they were written."""
    return Plan.model_validate(json.loads(document, parse_float=Decimal))


def text(plan: Plan, approve: str, width: int) -> str:
    """The plan for a terminal.

    Args:
        approve: the command that writes exactly this plan.
    """
    blocks = [f"Plan of {plan.sync}: {_headline(plan)}\n{wrapped(_accounting(plan), width, '  ')}"]
    if plan.samples:
        blocks.append("\n".join([_sample_title(plan), *(_change(change, width) for change in plan.samples)]))
    if plan.guards:
        blocks.append("\n".join(["Guards", *(wrapped(_verdict(g), width, "  ", "    ") for g in plan.guards)]))
    if plan.drift:
        blocks.append("\n".join(["Drift", *(wrapped(_drift(d), width, "  ", "    ") for d in plan.drift)]))
    if plan.notes:
        blocks.append("\n".join(["Notes", *(wrapped(plain(note), width, "  ", "    ") for note in plan.notes)]))
    if cost := _cost(plan.estimate):
        blocks.append(wrapped(f"Estimated: {cost}", width, "", "  "))
    if _changes(plan):
        blocks.append(f"To write exactly this: {approve}")
    return "\n\n".join(blocks)


def markdown(plan: Plan, approve: str) -> str:
    """The plan as a comment on a pull request: counts in a table, the samples folded away."""
    counts = plan.counts.model_dump()
    shown = [name for name in counts if counts[name] or name in ("created", "updated", "deleted")]
    blocks = [
        f"### Plan of {_code(plan.sync)}: {_headline(plan)}",
        "\n".join(
            [
                f"| {' | '.join(shown)} |",
                f"|{'---:|' * len(shown)}",
                f"| {' | '.join(f'{counts[name]:,}' for name in shown)} |",
            ]
        ),
    ]
    if plan.guards:
        rows = [f"| {_code(g.guard)} | {_code(g.limit)} | {g.value:,} | {_judged(g)} |" for g in plan.guards]
        blocks.append("\n".join(["| guard | limit | this run | verdict |", "|---|---:|---:|---|", *rows]))
    blocks += ["\n".join(f"- {_prose(line)}" for line in lines) for lines in (map(_drift, plan.drift), plan.notes)]
    if plan.samples:
        shown_changes = "\n".join(_change(change, 10_000) for change in plan.samples)
        blocks.append(
            f"<details><summary>{_sample_title(plan)}</summary>\n\n{_fenced(shown_changes, 'diff')}\n\n</details>"
        )
    if cost := _cost(plan.estimate):
        blocks.append(f"Estimated: {cost}.")
    if _changes(plan):
        blocks.append(f"To write exactly this:\n\n{_fenced(approve, 'sh')}")
    return "\n\n".join(filter(None, blocks))


def no_plan(sync: str, reason: str, message: str) -> str:
    """Markdown of a plan that could not be made."""
    return f"### No plan of {_code(sync)}: {reason}\n\n{_fenced(plain(message), '')}"


def _changes(plan: Plan) -> int:
    return plan.counts.created + plan.counts.updated + plan.counts.deleted


def _headline(plan: Plan) -> str:
    if not plan.plan_hash:
        return "the run cannot begin"
    counts = plan.counts
    parts = [
        f"{number:,} to {verb}"
        for number, verb in ((counts.created, "create"), (counts.updated, "update"), (counts.deleted, "delete"))
        if number
    ]
    held = "; a guard would hold it" if any(guard.breached for guard in plan.guards) else ""
    return (", ".join(parts) or "nothing to write") + held


def _accounting(plan: Plan) -> str:
    return f"mode {plan.mode}, {accounting(plan.counts)}"


def _sample_title(plan: Plan) -> str:
    return f"Sample: {len(plan.samples):,} of {count(_changes(plan), 'change')}"


def _change(change: PlannedChange, width: int) -> str:
    """A change: its sign and keys, and below them the record."""
    before, after = change.before, change.after
    named = keys(_shown(after or before or {}))
    if before and after and before != after:
        named = f"{keys(_shown(before))} becomes {named}"
    lines = [wrapped(named, width, f"{_SIGN[change.operation]} ", "    ")]
    fields = list(_shown(change.record or {}).items())
    told = [f"{name}={value}" for name, value in fields[:_FIELDS]]
    if len(fields) > _FIELDS:
        told.append(f"and {count(len(fields) - _FIELDS, 'more field')}")
    if told:
        lines.append(wrapped(", ".join(told), width, "    "))
    return "\n".join(lines)


def _shown(record: Mapping[str, Any]) -> dict[str, str]:
    """Fields and their values as JSON, printable and not too long."""
    return {plain(name): cut(plain(_json(value)), _VALUE) for name, value in record.items()}


def _json(value: Any) -> str:
    """JSON text of a value whose fractions are Decimals."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(k)}: {_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _verdict(guard: GuardVerdict) -> str:
    if not guard.breached:
        return f"{guard.guard} {guard.limit}: kept, at {guard.value:,}"
    return f"{guard.guard} {guard.limit}: BROKEN, {plain(guard.message) or f'at {guard.value:,}'}"


def _judged(guard: GuardVerdict) -> str:
    return f"**broken**: {_prose(guard.message)}" if guard.breached else "kept"


def _drift(drift: Drift) -> str:
    words = {"name": repr(plain(drift.name)), "before": plain(drift.before), "after": plain(drift.after)}
    return _DRIFT[drift.kind].format(**words).replace(" ()", "")


def _cost(estimate: Estimate) -> str:
    if not estimate.calls:
        return ""
    each = ", ".join(f"{calls:,} to {operation}" for operation, calls in estimate.calls.items())
    least = f", at least {seconds(estimate.seconds)} under the destination's rate limit" if estimate.seconds else ""
    return f"{count(sum(estimate.calls.values()), 'call')} ({each}){least}"


def _prose(words: str) -> str:
    """Words that Markdown takes as they are: no markup, no cell border, nobody called by @name."""
    return re.sub(r"[\\`*_{}\[\]<>|#~$]", r"\\\g<0>", plain(words)).replace("@", "@\N{ZERO WIDTH SPACE}")


def _code(words: str) -> str:
    return f"`{plain(words).replace('`', chr(39)).replace('|', '/')}`"


def _fenced(block: str, language: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block)), default=0))
    return f"{fence}{language}\n{block}\n{fence}"
