"""What became of a request, as Google tells it once it was processed.

Pure. After the reference of requestStatus.retrieve and ProcessingErrorReason: errors are counts by reason; newer
replies name the places of the records that they are of, too.
"""

from collections.abc import Mapping
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, Code, JobResults, Outcome, Rejected, Unknown
from retl.destinations.google_ads.requests import Request
from retl.destinations.web.words import printable

UNDER_WAY = frozenset({"PROCESSING", "REQUEST_STATUS_UNKNOWN"})
LOGIN_REASONS = ("PERMISSION_DENIED", "AUTH_FAILED", "TERMS_NOT_SIGNED")


def destination_status(body: Any) -> Mapping[str, Any] | None:
    """What a reply says of the one destination of a request; None if it says nothing yet."""
    found = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        return None
    return None if found[0].get("requestStatus", "REQUEST_STATUS_UNKNOWN") in UNDER_WAY else found[0]


def results(status: Mapping[str, Any] | None, request: Request) -> JobResults:
    """What became of the records of a request, by their places in the batch.

    Args:
        status: as `destination_status` gives it; None if there was nothing to be told.
    """
    refused: dict[str, Outcome] = {str(at): refusal(reason) for at, reason in request.refused.items()}
    if status is None:
        return JobResults(refused, rest=Unknown("Google said nothing of the request"))
    errors = _errors(status)
    named = ", ".join(f"{reason} ({count})" for reason, count, _ in errors) or "no reason"
    match status.get("requestStatus"):
        case "SUCCESS":
            return JobResults(refused, rest=ACKNOWLEDGED)
        case "FAILED":
            return JobResults(refused, rest=_of_all(errors, named))
        case "PARTIAL_SUCCESS":
            places = _places(errors, request.sent)
            if places is None:
                return JobResults(
                    refused, rest=Unknown(printable(f"Google failed some and does not say which: {named}"))
                )
            return JobResults({**refused, **places}, rest=ACKNOWLEDGED)
    return JobResults(refused, rest=Unknown("Google told of a status that is not known"))


def refusal(words: str) -> Rejected:
    """Why one member was refused; the vendor's code stands first in the words."""
    return Rejected(_code(words), printable(words))


def _code(words: str) -> Code:
    if "INTERNAL_ERROR" in words:
        return "DESTINATION_UNAVAILABLE"
    return "DESTINATION_AUTH" if any(each in words for each in LOGIN_REASONS) else "DESTINATION_VALIDATION"


def _errors(status: Mapping[str, Any]) -> list[tuple[str, int, list[int]]]:
    """Reason, count and, where they are told, places of each kind of error."""
    info = status.get("errorInfo")
    counts = info.get("errorCounts") if isinstance(info, dict) else None
    found = []
    for each in counts if isinstance(counts, list) else []:
        if isinstance(each, dict):
            told, count = each.get("recordIndices"), str(each.get("recordCount") or 0)
            indices = [int(index) for index in told if str(index).isdecimal()] if isinstance(told, list) else []
            # A count that is none is one that places do not make up.
            found.append((str(each.get("reason", "")), int(count) if count.isdecimal() else len(indices) + 1, indices))
    return found


def _of_all(errors: list[tuple[str, int, list[int]]], named: str) -> Outcome:
    """Of a request all of whose records failed. With several reasons, the one that is not the records' fault counts."""
    if not errors:
        return Rejected("DESTINATION_UNAVAILABLE", "Google failed the request and gave no reason")
    codes = [_code(reason) for reason, _, _ in errors]
    worst = next((code for code in codes if code != "DESTINATION_VALIDATION"), codes[0])
    return Rejected(worst, printable(named))


def _places(errors: list[tuple[str, int, list[int]]], sent: list[int]) -> dict[str, Outcome] | None:
    """The outcomes of records that failed, by their places in the batch; None if not all of them are told."""
    found: dict[str, Outcome] = {}
    for reason, count, indices in errors:
        if len(set(indices)) < count or not all(0 <= index < len(sent) for index in indices):
            return None
        found |= {str(sent[index]): refusal(reason) for index in indices}
    return found or None
