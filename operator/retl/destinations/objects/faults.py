"""What it means when a bucket does not do what it is asked: obstore's exceptions in the engine's words.

obstore keeps the vendor's status and code in its text alone. The text ends in a dump of requests, which is cut off.
"""

import re
from dataclasses import dataclass

from retl.destinations.base import LoginRefused, TryLater
from retl.errors import DestinationError

THROTTLED = frozenset({"SlowDown", "TooManyRequests", "RequestLimitExceeded", "ServerBusy", "rateLimitExceeded"})
"""Codes of S3 (Error responses), Azure (Blob service error codes) and Google (HTTP status and error codes)."""
LOGIN_CODES = frozenset({"InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "TokenRefreshRequired"})
"""Codes of S3 that come with 400 and are about the login all the same."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is known of a call that failed.

    Attributes:
        status: of the reply; None if there was none that could be read.
        code: the vendor's.
        for_token: it was the call for a token that failed.
    """

    status: int | None
    code: str = ""
    for_token: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether what was asked may have been done all the same; with 503 the vendor says that it was not."""
        return self.status in (None, 408) or (self.status > 499 and self.status != 503)

    @property
    def words(self) -> str:
        """The vendor's, which hold nothing of the request."""
        return " ".join(part for part in (str(self.status or "no reply"), self.code) if part)


def read(error: Exception) -> Fault:
    """What an exception of obstore says."""
    text = str(error).partition("\n\nDebug source:")[0]
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None and isinstance(error, FileNotFoundError):
        return Fault(404)
    if status is None and "redirect" in text:
        return Fault(301)
    return Fault(int(status[1]) if status else None, code[1] if code else "", for_token="token request" in text)


def raised(fault: Fault, where: str) -> Exception:
    """What the engine is to be told of it; of doubtful ones that nothing was written, or that it does no harm."""
    status, told = fault.status, f"{where}: {fault.words}"
    if status is None or status == 408 or fault.code in THROTTLED or status == 429 or status >= 500:
        throttled = fault.code in THROTTLED or status == 429
        return TryLater("RATE_LIMIT" if throttled else "DESTINATION_UNAVAILABLE", told)
    if status in (401, 403) or fault.code in LOGIN_CODES or fault.for_token:
        return LoginRefused(
            f"{told}; check the login in the Secret, and that it may list, read, write and delete objects there"
        )
    if status == 404:
        return DestinationError(f"{told}; there is no such bucket: create it, or correct its name in config")
    if status in range(300, 400):
        return DestinationError(f"{told}; the bucket is elsewhere: correct config.region or config.endpoint")
    return DestinationError(f"{told}; the bucket takes no such file: look at its policies and at config")
