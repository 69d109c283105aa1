"""Limits on a run, checked before the first write.

Pure: counts and limits in, verdicts out.
"""

from retl.engine.diff import Changes
from retl.resources.sync import Guards
from retl.runspec.plan import GuardVerdict

MIRROR_MAX_DELETES = "10%"
MIRROR_MIN_ROWS = 1
"""What holds in mode mirror if nobody says otherwise: an empty or sharply shrunken source is more often a fault."""


def verdicts(guards: Guards, changes: Changes, semantics: str, *, anew: bool) -> list[GuardVerdict]:
    """Each limit that is set, and what the run would make of it.

    Args:
        anew: the sync wrote before, under another baseline; of what it wrote then, a percentage is of nothing.
    """
    known = changes.known
    first = not known and not anew
    mirror = semantics == "mirror"
    max_deletes = guards.max_deletes if guards.max_deletes is not None or not mirror else MIRROR_MAX_DELETES
    min_rows = guards.min_rows if guards.min_rows is not None or not mirror else MIRROR_MIN_ROWS
    found = [
        _at_most("maxCreates", guards.max_creates, changes.created, known, "created", first),
        _at_most("maxChanges", guards.max_changes, changes.created + changes.updated, known, "written", first),
        _at_most("maxDeletes", max_deletes, changes.deleted, known, "deleted", first),
        _at_least(min_rows, changes.staged.rows),
    ]
    return [verdict for verdict in found if verdict is not None]


def breach(found: list[GuardVerdict]) -> str | None:
    """The first limit that the run would break, as a sentence; None if there is none."""
    return next((verdict.message for verdict in found if verdict.breached), None)


def exceeded(limit: int | str, value: int, whole: int) -> bool:
    """Whether a value is above a number, or above a percentage of the whole."""
    if isinstance(limit, str):
        return value * 100 > whole * int(limit.removesuffix("%"))
    return value > limit


def _at_most(
    guard: str, limit: int | str | None, value: int, known: int, done: str, first: bool
) -> GuardVerdict | None:
    """A percentage is of the records written before, and not applied to a first run."""
    if limit is None:
        return None
    relative = isinstance(limit, str)
    breached = exceeded(limit, value, known) and not (relative and first)
    of = f" of the {known} that this sync wrote before" if relative else ""
    return GuardVerdict(
        guard=guard,
        limit=str(limit),
        value=value,
        breached=breached,
        message=f"{_count(value, 'record')} would be {done}, more than guards.{guard} {limit}{of}" if breached else "",
    )


def _at_least(limit: int | None, rows: int) -> GuardVerdict | None:
    if limit is None:
        return None
    breached = rows < limit
    message = f"the query returned {_count(rows, 'row')}, fewer than guards.minRows {limit}" if breached else ""
    return GuardVerdict(guard="minRows", limit=str(limit), value=rows, breached=breached, message=message)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
