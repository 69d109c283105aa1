"""The errors that a whole call ends with: by its status, or because a rule says so. Pure.

What the endpoint says in words goes into `said` alone, because it may repeat a record's values.
"""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from retl.destinations.base import Code, LoginRefused, TryLater
from retl.destinations.http.reading import Verdict
from retl.destinations.web.rates import rate_signal, retry_after
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import message, printable
from retl.errors import DestinationError

LATER_STATUSES = frozenset({408, 425, 429})


def said_by(reply: Reply, redact: Callable[[str], str]) -> str:
    """What the endpoint said, as `: …`; empty if it said nothing in words."""
    text = printable(redact(message(reply.body)))
    return f": {text}" if text else ""


def ended(
    verdict: Verdict | None, reply: Reply, where: str, redact: Callable[[str], str], now: datetime
) -> Exception | None:
    """The error that a call ended with, whatever it was about; None if it did not.

    Args:
        verdict: what a rule says; None lets the status speak.
        where: how messages name the call.
        redact: takes secrets out of the endpoint's words.
    """
    status = reply.status
    verdict = verdict or _of_status(status)
    if verdict == "login":
        refused = f"{where} refused the credentials with status {status}"
        return LoginRefused(refused, said=said_by(reply, redact))
    if verdict == "stop":
        return DestinationError(f"{where} answered {status} with what config.rules call the end; correct the settings")
    if verdict == "later" or verdict == "rateLimit":
        wait = retry_after(reply.headers, now)
        signal = rate_signal(reply.headers, now) if verdict == "rateLimit" and wait is None else None
        code: Code = "RATE_LIMIT" if verdict == "rateLimit" else "DESTINATION_UNAVAILABLE"
        wait = wait or (signal.reset if signal else None)
        return TryLater(code, f"{where} answered {status}", wait, said=said_by(reply, redact))
    if verdict is None and 300 <= status < 400:
        of_record = "{" in where  # the URL names a record, and the one that is redirected to may do the same
        place = _place(reply.headers.get("location", ""), path=not of_record)
        place = printable(redact(place)) or "elsewhere"
        return DestinationError(f"{where} redirects to {place}, and redirects are not followed; correct config.url")
    return None


def _of_status(status: int) -> Verdict | None:
    if status in (401, 403):
        return "login"
    if status == 429:
        return "rateLimit"
    return "later" if status in LATER_STATUSES or status >= 500 else None


def _place(location: str, *, path: bool) -> str:
    """Where a redirect leads, without the parts of a URL that may hold secrets or values.

    Args:
        path: whether the path holds none.
    """
    try:
        parts = urlsplit(location)
        shown = parts.path if path else ""
        return f"{parts.scheme}://{parts.hostname}{shown}" if parts.hostname else shown
    except ValueError:
        return ""
