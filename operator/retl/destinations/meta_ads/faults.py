"""What Meta's errors mean to a run.

Pure. After "Marketing API, Error Codes" and "Graph API, Handle Errors" and "Rate Limits": an error is an object with a
code, a subcode, words, and whether it is transient, whatever the HTTP status is.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from retl.destinations.base import BatchRejected, LoginRefused, RateSignal, TryLater
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable
from retl.errors import DestinationError

AGAIN_SOON = timedelta(minutes=1)
"""For a limit whose end is not told: counts are of sliding windows."""
THROTTLED = frozenset({4, 17, 32, 341, 613, *range(80_000, 80_015)})
TRANSIENT = frozenset({1, 2, 5000})
LOGIN = frozenset({102, 104, 190, 463, 467})
PERMISSION = frozenset({3, 10, *range(200, 300)})
UPDATING = 1870145
"""Subcode: another replacement of this audience is under way."""
FLAGGED = 1713230
"""Subcode: the audience's integrity restrictions are to be resolved first."""
TERMS = frozenset({2655, 1870090})
UNUSABLE = frozenset({1487301, 1487366})


@dataclass(frozen=True, slots=True)
class Said:
    """An error as Meta tells it."""

    code: int
    subcode: int
    words: str
    transient: bool


def said(reply: Reply) -> Said | None:
    """The error in a reply, which may be a 200."""
    body = parsed(reply.body)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    words = error.get("error_user_msg") or error.get("message") or ""
    return Said(
        _number(error.get("code")), _number(error.get("error_subcode")), str(words), error.get("is_transient") is True
    )


def fault(reply: Reply, redact: Callable[[str], str] = str) -> Exception | None:
    """What a call ended with; None if the reply tells of no error.

    Args:
        redact: takes secrets out of texts.
    """
    error = said(reply)
    if error is None:
        return None
    number = f"{error.code}/{error.subcode}" if error.subcode else f"{error.code}"
    words = printable(redact(f"{number}: {error.words}"))
    where = f"Meta's error {number}"
    if error.code in THROTTLED or reply.status == 429:
        return TryLater("RATE_LIMIT", f"too many calls ({where})", _regained(reply.headers), said=f": {words}")
    if error.subcode == UPDATING:
        return TryLater(
            "DESTINATION_UNAVAILABLE", f"the audience is being replaced by others ({where})", said=f": {words}"
        )
    if error.code in LOGIN:
        return LoginRefused(f"the access token was refused ({where}); put a new one into the Secret", said=f": {words}")
    if (stop := _stop(error, where)) is not None:
        return DestinationError(stop)
    if error.code in PERMISSION:
        return LoginRefused(
            f"the access token lacks a permission ({where}); give its system user ads_management, and the audience",
            said=f": {words}",
        )
    if error.transient or error.code in TRANSIENT or reply.status >= 500:
        return TryLater("DESTINATION_UNAVAILABLE", f"Meta failed for its own sake ({where})", said=f": {words}")
    return BatchRejected("DESTINATION_VALIDATION", words)


def _stop(error: Said, where: str) -> str | None:
    """Why no call can succeed."""
    if error.subcode == FLAGGED:
        return f"the audience is restricted ({where}); appeal in Audience Manager, or make a new audience"
    if error.code in TERMS or error.subcode in TERMS:
        return f"the ad account may not use customer lists ({where}); accept the custom audience terms in Ads Manager"
    if (error.code, error.subcode) == (100, 33) or error.code == 803 or error.subcode in UNUSABLE:
        return f"there is no such audience for this token ({where}); correct the sync's object, or assign it"
    if error.code == 368:
        return f"Meta has blocked this action for now ({where}); see Account Quality in Business Manager"
    return None


def usage(headers: Mapping[str, str], now: datetime) -> RateSignal | None:
    """What X-Business-Use-Case-Usage says once an account is at its limit: shares of it are no counts of calls."""
    wait = _blocked(headers)
    return RateSignal(remaining=0, reset=wait) if wait else None


def _regained(headers: Mapping[str, str]) -> timedelta:
    retry = headers.get("retry-after", "")
    return timedelta(seconds=int(retry)) if re.fullmatch(r"[0-9]{1,6}", retry) else _blocked(headers) or AGAIN_SOON


def _blocked(headers: Mapping[str, str]) -> timedelta | None:
    """How long, in whole minutes, the account's calls for audiences are refused."""
    try:
        found = orjson.loads(headers.get("x-business-use-case-usage", ""))
    except orjson.JSONDecodeError:
        return None
    uses = [use for each in found.values() if isinstance(each, list) for use in each] if isinstance(found, dict) else []
    minutes = [
        _number(use.get("estimated_time_to_regain_access"))
        for use in uses
        if isinstance(use, dict) and use.get("type") in ("custom_audience", "ads_management")
    ]
    return timedelta(minutes=max(minutes)) if max(minutes, default=0) > 0 else None


def _number(value: Any) -> int:
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", str(value)) else 0
