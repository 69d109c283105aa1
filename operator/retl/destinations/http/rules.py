"""What an endpoint's own words mean, where it does not speak as others do. Pure."""

from collections.abc import Sequence
from typing import Any, Literal

from retl.destinations.http.paths import json_path
from retl.destinations.http.reading import HttpRule, Verdict


def means(rules: Sequence[HttpRule], of: Literal["reply", "result"], status: int, body: Any) -> Verdict | None:
    """What the first rule says that fits; None if none does.

    Args:
        body: the reply, or the result of one record.
    """
    return next((rule.means for rule in rules if rule.of == of and _fits(rule, status, body)), None)


def _fits(rule: HttpRule, status: int, body: Any) -> bool:
    if rule.statuses and status not in rule.statuses:
        return False
    if rule.path is None:
        return True
    found = json_path(rule.path).find(body)
    if not rule.values:
        return any(value not in (None, "", [], {}) for value in found)
    return any(_same(value, wanted) for value in found for wanted in rule.values)


def _same(value: Any, wanted: bool | int | str) -> bool:
    """Whether a value is the one that a rule names; 7 and "7" are the same, true and 1 are not."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted or str(value) == str(wanted)
