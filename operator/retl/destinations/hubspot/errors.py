"""What HubSpot's errors mean, of single records and of calls as such.

Pure. See "Error handling" and "API usage guidelines" in HubSpot's developer documentation. Every field of an error is
optional there, and messages often repeat the value that they complain of.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from retl.destinations.base import Code, LoginRefused, RateSignal, TryLater
from retl.destinations.web.rates import retry_after
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable

CATEGORIES: Mapping[str, Code] = {
    "VALIDATION_ERROR": "DESTINATION_VALIDATION",
    "INVALID_INPUT": "DESTINATION_VALIDATION",
    "BAD_REQUEST": "DESTINATION_VALIDATION",
    "CONFLICT": "CONFLICT",
    "OBJECT_ALREADY_EXISTS": "CONFLICT",
    "OBJECT_NOT_FOUND": "NOT_FOUND",
    "NOT_FOUND": "NOT_FOUND",
    "MISSING_SCOPES": "DESTINATION_AUTH",
    "FORBIDDEN": "DESTINATION_AUTH",
    "BANNED": "DESTINATION_AUTH",
    "RATE_LIMITS": "RATE_LIMIT",
    "INTERNAL_ERROR": "DESTINATION_UNAVAILABLE",
    "DISABLED": "DESTINATION_UNAVAILABLE",
}
"""Our code for a category. One that is not here leaves the record to the next run."""
TAKEN = "CONFLICTING_UNIQUE_VALUE"
"""Another record has this value of a unique property."""

LOCKED, MIGRATION = 423, 477
LOCK = timedelta(seconds=2)
"""How long HubSpot's locks last, as it says."""
MAYBE_DONE = frozenset({500, 502, 504, 524})
"""Statuses of calls that HubSpot may have carried out, although it could not say so in time."""
WINDOWS = {"SECONDLY": timedelta(seconds=1), "TEN_SECONDLY_ROLLING": timedelta(seconds=10)}
"""How long to wait after a refusal by one of these policies that does not say it."""
DAILY = "DAILY"

SHORTEST_VALUE = 3
"""Characters of a value that is taken out of messages; shorter ones would only blank out words."""
DETAILS_MAX = 3
NAMED = ("propertyName", "requiredGranularScopes", "missingScopes")
"""Fields of a detail's context that say what it is about."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What HubSpot has against a record.

    Attributes:
        taken: properties whose value another record has.
        words: HubSpot's code and words.
    """

    code: Code
    category: str
    words: str
    taken: frozenset[str] = frozenset()


def problem_of(error: Mapping[str, Any]) -> Problem:
    """What an error says, one of a list or the whole reply."""
    category = str(error.get("category") or error.get("subCategory") or "")
    details = list(_details(error))
    taken = frozenset(name for detail, name, _ in details if detail == TAKEN)
    code = "CONFLICT" if taken else CATEGORIES.get(category, "UNKNOWN")
    said = [_phrase(detail or category, name, message) for detail, name, message in details[:DETAILS_MAX]]
    words = "; ".join(said) or _phrase(category, "", str(error.get("message") or ""))
    return Problem(code, category, words, taken)


def without_values(words: str, values: Iterable[str]) -> str:
    """The words on one line, with a record's values cut out where HubSpot repeats them."""
    long = sorted({value for value in values if len(value) >= SHORTEST_VALUE}, key=len, reverse=True)
    if long:
        words = re.sub("|".join(map(re.escape, long)), "…", words)
    return printable(words)


def call_failure(reply: Reply, zone: tzinfo, now: datetime, redact: Callable[[str], str]) -> Exception | None:
    """What a reply means for the call as such; None if what all vendors mean by its status.

    Args:
        zone: of the account; its quota of the day is renewed at midnight there.
        redact: takes secrets out of HubSpot's words.
    """
    wait = retry_after(reply.headers, now)
    if reply.status == 429:
        policy = _policy(reply)
        if policy == DAILY:
            message = "HubSpot takes no more calls today: the account's daily limit is used up"
            return TryLater("RATE_LIMIT", message, until_midnight(zone, now))
        return TryLater("RATE_LIMIT", "HubSpot answered 429", wait if wait is not None else WINDOWS.get(policy))
    if reply.status == LOCKED:
        return TryLater("DESTINATION_UNAVAILABLE", "HubSpot answered 423: it has locked the object", wait or LOCK)
    if reply.status == MIGRATION:
        message = "HubSpot answered 477: it moves the account to another region"
        return TryLater("DESTINATION_UNAVAILABLE", message, wait)
    if reply.status in MAYBE_DONE:
        return TryLater("OUTCOME_UNKNOWN", f"HubSpot answered {reply.status}, and may have carried the call out", wait)
    if reply.status == 403:
        return LoginRefused(
            "HubSpot answered 403: the app lacks a scope, or the account the product, that this object needs; see the "
            "scopes on the connector's page",
            said=f": {printable(redact(problem_of(body_of(reply)).words))}",
        )
    return None


def body_of(reply: Reply) -> Mapping[str, Any]:
    """What a reply says; nothing if it is no JSON object."""
    found = parsed(reply.body)
    return found if isinstance(found, dict) else {}


def until_midnight(zone: tzinfo, now: datetime) -> timedelta:
    """The time until the next day begins there."""
    there = now.astimezone(zone)
    tomorrow = (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return tomorrow.astimezone(UTC) - now


def rate(headers: Mapping[str, str], now: datetime) -> RateSignal | None:
    """What HubSpot's headers say of the rolling window.

    It gives calls back one by one, so what is left need not last for an interval: only an empty one is waited for.
    """
    limit, remaining, window = (
        _number(headers, f"x-hubspot-ratelimit-{name}") for name in ("max", "remaining", "interval-milliseconds")
    )
    if remaining is None:
        return None
    length = None if window is None else timedelta(milliseconds=window)
    return RateSignal(remaining=remaining, limit=limit, reset=None if remaining else length, window=length)


def _policy(reply: Reply) -> str:
    """The limit that was hit."""
    said = body_of(reply)
    name = str(said.get("policyName") or said.get("errorType") or "").upper()
    if name:
        return name
    words = str(said.get("message") or "").upper()
    return next((policy for policy in (*reversed(WINDOWS), DAILY) if f" {policy} " in words), "")


def _details(error: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with single properties or scopes: code, what it is about, and words.

    They stand in `errors`, or as JSON behind a colon in the message.
    """
    for each in _objects(error.get("errors")):
        context = each.get("context")
        named = [context[field] for field in NAMED if context.get(field)] if isinstance(context, dict) else []
        name = ", ".join(map(str, named[0])) if named and isinstance(named[0], list) else each.get("in")
        yield str(each.get("code") or each.get("subCategory") or ""), str(name or ""), str(each.get("message") or "")
    embedded = re.search(r"\[\{.*\}\]", str(error.get("message") or ""), re.DOTALL)
    for each in _objects(parsed(embedded[0].encode("utf-8", "replace")) if embedded else None):
        yield str(each.get("error") or ""), str(each.get("name") or ""), str(each.get("message") or "")


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _phrase(code: str, name: str, message: str) -> str:
    head = f"{code} ({name})" if name else code
    return ": ".join(part for part in (head, message) if part)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else None
