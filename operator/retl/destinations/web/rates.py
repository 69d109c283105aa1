"""What a reply's headers say of the rate: the IETF draft in its versions, and the X- headers that came before it.

Pure. See draft-ietf-httpapi-ratelimit-headers: versions up to 06 have RateLimit-Limit, -Remaining and -Reset, version
07 one header RateLimit with `limit=100, remaining=50, reset=5`, later ones `"policy";r=50;t=5`; RateLimit-Policy names
the window. X-RateLimit-Reset counts seconds from now or from 1970, or is a date, as the vendor likes.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from retl.destinations.base import RateSignal

PREFIXES = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
EPOCH = 1_000_000_000
"""Seconds; a larger number is a moment, not a length of time. A thousandfold one is in milliseconds."""
LONGEST = timedelta(days=31)

Numbers = dict[str, float]


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Retry-After: seconds, or a date as in RFC 9110 or ISO 8601; None if it says nothing readable."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return timedelta(seconds=int(value))
    at = _moment(value)
    return None if at is None else max(timedelta(0), at - now)


def rate_signal(headers: Mapping[str, str], now: datetime) -> RateSignal | None:
    """What the headers say; None if nothing.

    Args:
        headers: names in lower case.
    """
    said = _structured(headers) or _separate(headers, now)
    if not said.keys() & {"limit", "remaining", "reset"}:
        return None
    return RateSignal(
        remaining=_count(said.get("remaining")),
        limit=_count(said.get("limit")),
        reset=_length(said.get("reset")),
        window=_length(said.get("window")),
    )


def _structured(headers: Mapping[str, str]) -> Numbers:
    """The header RateLimit. Of several policies, the one that has least left is the one that matters."""
    header = headers.get("ratelimit", "")
    policies = [_item(item) for item in headers.get("ratelimit-policy", "").split(",")]
    items = [_item(item) for item in header.split(",")]
    if any(numbers.keys() & {"remaining", "limit", "reset"} for _, numbers in items):
        merged: Numbers = {}
        for _, numbers in items:
            merged |= numbers
        policy = next((numbers for _, numbers in policies if numbers.get("q") == merged.get("limit")), {})
        return merged | _present(window=policy.get("w"))
    left = [(name, numbers) for name, numbers in items if "r" in numbers]
    if not left:
        return {}
    name, numbers = min(left, key=lambda item: item[1]["r"])
    policy = dict(policies).get(name, {})
    return _present(remaining=numbers["r"], reset=numbers.get("t"), limit=policy.get("q"), window=policy.get("w"))


def _item(text: str) -> tuple[str, Numbers]:
    """One item: what it is called, and its numbers; a bare number at its head is a quota."""
    head = re.match(r'\s*(?:"([^"]*)"|([0-9]+)\s*(?:;|$))', text)
    numbers = {
        name: float(number)
        for name, number in re.findall(r"([a-z]+)\s*=\s*([0-9]{1,18}(?:\.[0-9]+)?)(?=[\s,;]|$)", text)
    }
    if head and head[2]:
        numbers["q"] = float(head[2])
    return (head[1] or "" if head else ""), numbers


def _separate(headers: Mapping[str, str], now: datetime) -> Numbers:
    """One header each for limit, remaining and reset."""
    for prefix in PREFIXES:
        limit = headers.get(f"{prefix}limit", "")
        said = _present(
            limit=_number(limit),
            remaining=_number(headers.get(f"{prefix}remaining", "")),
            reset=_reset(headers.get(f"{prefix}reset-after", "") or headers.get(f"{prefix}reset", ""), now),
            window=_item(limit.partition(",")[2])[1].get("w"),
        )
        if said:
            return said
    return {}


def _reset(text: str, now: datetime) -> float | None:
    """Seconds until a reset, which is told as such, as a moment since 1970, or as a date."""
    number = _number(text)
    if number is None:
        at = _moment(text.strip())
        return None if at is None else max(0.0, (at - now).total_seconds())
    if number < EPOCH:
        return number
    return max(0.0, number / (1000 if number >= 1000 * EPOCH else 1) - now.timestamp())


def _moment(text: str) -> datetime | None:
    """A date as ISO 8601 or HTTP writes it; without a zone, in UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
        except (ValueError, OverflowError):
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None


def _number(text: str) -> float | None:
    """The number that a value is, or begins with before its parameters; of very long ones, the first digits."""
    found = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]+)?)[0-9]*\s*(?:[,;].*)?", text)
    return float(found[1]) if found else None


def _present(**numbers: float | None) -> Numbers:
    return {name: number for name, number in numbers.items() if number is not None}


def _count(number: float | None) -> int | None:
    return None if number is None else int(number)


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else min(LONGEST, timedelta(seconds=min(seconds, LONGEST.total_seconds())))
