"""Whether a reply whose form nobody described says that something failed, though its status is that of a success.

Pure. Many an endpoint answers 200 and speaks of refusals in the body: of the call, or of single records in a list. What
is only an echo of the records that were sent says nothing, whatever its fields are called.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from retl.destinations.web.words import parsed, spoken

SIGNS = ("success", "ok", "status", "error", "errors", "hasErrors")
FAULTS = ("error", "errors")
FAILED = frozenset({"error", "fail", "failed", "failure"})
DONE = frozenset({"ok", "success", "succeeded", "created", "updated"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one result says.

    Attributes:
        failed: None if it says nothing of that.
        status: a number that it names itself by, such as 422; 0 if none.
        words: the endpoint's; empty if there are none.
    """

    failed: bool | None
    status: int = 0
    words: str = ""


def of_call(body: Any, payloads: Sequence[bytes]) -> Verdict:
    """What the reply says at its top of all records alike."""
    verdict = _verdict(body)
    return _verdict(body, _held(payloads)) if verdict.failed else verdict


def of_results(body: Any, payloads: Sequence[bytes]) -> tuple[list[Any], list[Verdict]] | None:
    """The list, at a reply's top or right below, in which some result says that it failed; None if none does."""
    lists = [value for name, value in body.items() if name not in FAULTS] if isinstance(body, dict) else [body]
    suspects = [found for found in lists if isinstance(found, list) and any(_verdict(r).failed for r in found)]
    held = _held(payloads) if suspects else ()
    for found in suspects:
        verdicts = [_verdict(result, held) for result in found]
        if any(verdict.failed for verdict in verdicts):
            return found, verdicts
    return None


def _held(payloads: Sequence[bytes]) -> set[tuple[str, str]]:
    """What the records that were sent hold in fields that are called as signs are."""
    records = [record for payload in payloads if isinstance(record := parsed(payload), dict)]
    return {(sign, repr(record[sign])) for record in records for sign in SIGNS if sign in record}


def _verdict(result: Any, held: Collection[tuple[str, str]] = ()) -> Verdict:
    if not isinstance(result, dict):
        return Verdict(None)
    signs = {sign: result[sign] for sign in SIGNS if sign in result and (sign, repr(result[sign])) not in held}
    status = signs.get("status")
    number = status if isinstance(status, int) and not isinstance(status, bool) else 0
    word = status.lower() if isinstance(status, str) else ""
    said = (signs.get("success"), signs.get("ok"))
    if (
        False in said
        or any(map(signs.get, FAULTS))
        or signs.get("hasErrors") is True
        or word in FAILED
        or number >= 400
    ):
        return Verdict(True, number if number >= 400 else 0, spoken(result))
    done = True in said or signs.keys() & {*FAULTS, "hasErrors"} or word in DONE or 200 <= number < 400
    return Verdict(False if done else None)
