"""What became of the people of one call, of whom Meta only tells how many it received and could not read.

Pure. After "Custom Audience Users": num_received counts the people of the session so far, and a call that names no
session has one of its own. num_invalid_entries are those whose format or hashing is wrong.
"""

from dataclasses import dataclass
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, Outcome, Rejected, TryLater, Unknown


@dataclass(frozen=True, slots=True)
class Counts:
    """What a session received until now, and what of it was invalid."""

    received: int = 0
    invalid: int = 0


def counts(body: Any) -> Counts | None:
    """The counts in a reply; None if it has none."""
    if not isinstance(body, dict):
        return None
    found = [body.get("num_received"), body.get("num_invalid_entries")]
    numbers = [int(each) for each in found if isinstance(each, int | str) and str(each).isdecimal()]
    return Counts(*numbers) if len(numbers) == len(found) else None


def outcome(now: Counts | None, size: int, *, before: Counts = Counts(), search: bool) -> Outcome:
    """What became of all people of a call.

    Args:
        before: counts of the session before the call.
        search: whether it may be made again with fewer people, to find those who are invalid.
    Raises:
        BatchRejected: some are invalid, and nobody says who.
        TryLater: some are invalid, but perhaps of a call before, whose reply was lost.
    """
    if now is None or now.received < size:
        return Unknown("Meta did not say that it received everybody")
    so_far = now.received >= before.received + size
    invalid = now.invalid - before.invalid if so_far else now.invalid
    if invalid <= 0:
        return ACKNOWLEDGED
    if so_far and now.received > before.received + size:
        raise TryLater("OUTCOME_UNKNOWN", "Meta counts a call whose reply was lost among the people of this one")
    words = f"num_invalid_entries: format or hashing of {invalid} of {size} is wrong"
    if invalid >= size:
        return Rejected("DESTINATION_VALIDATION", words)
    if search:
        raise BatchRejected("DESTINATION_VALIDATION", words)
    return Unknown(words)
