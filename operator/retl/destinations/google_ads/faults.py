"""What Google's errors mean to a run.

Pure. After "Data Manager API, Understand API errors", "Limits and quotas" and the reference of ErrorReason: a Status of
google.rpc with ErrorInfo (a reason) and BadRequest (violations by field). A call one of whose members is wrong is
refused as a whole, and names those members.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from retl.destinations.base import BatchRejected, LoginRefused, TryLater
from retl.destinations.web.rates import retry_after
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable
from retl.errors import DestinationError

MEMBER = re.compile(r"audience_?[mM]embers\[([0-9]{1,6})\]\.?(.*)")
QUOTA_DAY = ZoneInfo("America/Los_Angeles")
"""Daily quotas of Google Cloud begin at midnight there."""
MINUTE = timedelta(minutes=1)

TERMS = frozenset({"TERMS_AND_CONDITIONS_NOT_SIGNED", "ADVERTISER_TOS_NOT_ACCEPTED"})
NOT_ALLOWED = frozenset(
    {
        "NOT_ALLOWLISTED",
        "ADVERTISER_NOT_ALLOWLISTED_FOR_UPLOADED_DATA",
        "DATA_PARTNER_USER_LIST_MUTATE_NOT_ALLOWED",
        "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
        "THIRD_PARTY_USER_DATA_NOT_ALLOWED",
    }
)
WRONG_PLACE = frozenset(
    {
        "DESTINATION_ACCOUNT_TYPE_MISMATCH",
        "INVALID_DESTINATION",
        "INVALID_REMOVE_AS_OF_TIME",
        "INVALID_USER_LIST_ID",
        "INVALID_USER_LIST_TYPE",
        "MISMATCHED_ACCOUNT_TYPE",
        "NOT_FOUND",
        "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH",
        "UNSUPPORTED_LINKED_ACCOUNT_FOR_DATA_PARTNER",
        "UNSUPPORTED_OPERATING_ACCOUNT_FOR_DATA_PARTNER",
        "USER_LIST_MUTATION_NOT_SUPPORTED",
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """An error as Google tells it.

    Attributes:
        status: of google.rpc, such as INVALID_ARGUMENT.
        reasons: of the call as such.
        members: reason and field of each member that is at fault, by its place in the call.
        quota: name of the quota that is used up.
    """

    status: str
    reasons: tuple[str, ...]
    members: Mapping[int, str]
    words: str
    quota: str = ""


def said(body: bytes) -> Said | None:
    """The error in a reply."""
    found = parsed(body)
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return None
    details = _objects(error.get("details"))
    members: dict[int, str] = {}
    reasons = [str(each["reason"]) for each in details if each.get("reason")]
    words = [str(error.get("message") or "")]
    for violation in _violations(details):
        reason, field = str(violation.get("reason") or "INVALID_ARGUMENT"), str(violation.get("field") or "")
        if at := MEMBER.search(field):
            members.setdefault(int(at[1]), printable(f"{reason}: {at[2]}".rstrip(": ")))
        else:
            reasons.append(reason)
            words.append(f"{field} {violation.get('description') or ''}".strip())
    quota = next((str(each["metadata"]["quota_limit"]) for each in details if _names_quota(each)), "")
    return Said(str(error.get("status") or ""), tuple(reasons), members, "; ".join(filter(None, words)), quota)


def fault(reply: Reply, now: datetime, redact: Callable[[str], str] = str) -> Exception | None:
    """What a call ended with; None if its members are at fault, or the HTTP status says enough.

    Args:
        redact: takes secrets out of texts.
    """
    error = said(reply.body)
    if error is None:
        return None
    reasons = ", ".join(dict.fromkeys(error.reasons)) or error.status
    words = printable(redact(f"{reasons}: {error.words}"))
    if reply.status == 429 or error.status == "RESOURCE_EXHAUSTED":
        wait = until_tomorrow(now) if "PerDay" in error.quota else retry_after(reply.headers, now)
        return TryLater("RATE_LIMIT", f"too many calls ({error.quota or reasons})", wait or MINUTE, said=f": {words}")
    if (stop := _stop(frozenset(error.reasons), reasons)) is not None:
        return DestinationError(stop)
    if error.status == "PERMISSION_DENIED" or "PERMISSION_DENIED" in error.reasons:
        return LoginRefused(
            f"Google refused the login for this account ({reasons}); give it access in Google Ads, and the token the "
            "scope datamanager",
            said=f": {words}",
        )
    if error.members or reply.status in (401, 408) or reply.status >= 500:
        return None
    return BatchRejected("DESTINATION_VALIDATION", words)


def until_tomorrow(now: datetime) -> timedelta:
    """Until a daily quota begins anew."""
    tomorrow = (now.astimezone(QUOTA_DAY) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return tomorrow.astimezone(UTC) - now


def _stop(reasons: frozenset[str], named: str) -> str | None:
    """Why no call can succeed."""
    if reasons & TERMS:
        return f"the customer match terms are not accepted ({named}); accept them in Google Ads, or by the config"
    if reasons & NOT_ALLOWED:
        return f"the account may not use customer match ({named}); see its policy page in Google Ads"
    if reasons & WRONG_PLACE:
        return f"Google does not take members for this audience ({named}); correct the sync's object, or the accounts"
    return None


def _violations(details: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in details:
        yield from _objects(each.get("fieldViolations"))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _names_quota(detail: Mapping[str, Any]) -> bool:
    return isinstance(detail.get("metadata"), dict) and "quota_limit" in detail["metadata"]
