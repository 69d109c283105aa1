"""A status that somebody edited by hand, read as far as it can be understood.

Nothing that stands in a status may keep the controller from deciding: what it cannot read it leaves out, and finds
again from the SyncRuns.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from retl.resources.fields import StatusModel

S = TypeVar("S", bound=StatusModel)


def lenient(model: type[S], raw: dict[str, Any]) -> tuple[S, tuple[str, ...]]:
    """A status, and the names of the fields that were left out, or had entries left out."""
    try:
        return model.model_validate(raw), ()
    except ValidationError as error:
        places = [problem["loc"] for problem in error.errors(include_url=False, include_input=False)]
    wrong: dict[str, set[object]] = defaultdict(set)
    for name, *inner in places:
        wrong[str(name)].add(inner[0] if inner else None)
    left = {name: value for name, value in raw.items() if name not in wrong}
    for name, entries in wrong.items():
        if isinstance(raw[name], list) and None not in entries:
            left[name] = [entry for index, entry in enumerate(raw[name]) if index not in entries]
    return model.model_validate(left), tuple(sorted(wrong))


def timestamp(text: Any) -> datetime | None:
    """A moment, if that is what stands there, with its zone."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None
