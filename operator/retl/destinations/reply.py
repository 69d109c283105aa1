"""What an HTTP reply says of the records that were sent.

Pure: status, headers and body in, outcomes or one of the destination errors out.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, Code, LoginRefused, Outcome, Rejected, TryLater, Unknown
from retl.destinations.configs import HttpResults
from retl.errors import DestinationError

MESSAGE_MAX = 500
MULTI_STATUS = 207
LATER_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came.

    Attributes:
        headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the replies of one endpoint.

    Attributes:
        endpoint: how messages name it.
        success: statuses that mean the request was taken; 2xx if empty.
        results: where single records are spoken of, if anywhere.
        key: fields by which results name a record, each as (in the record, in the result).
        redact: takes secrets out of the endpoint's words.
    """

    endpoint: str
    success: frozenset[int]
    results: HttpResults | None
    key: tuple[tuple[str, str], ...]
    redact: Callable[[str], str]

    def outcomes(self, reply: Reply, payloads: Sequence[bytes], now: datetime) -> Sequence[Outcome]:
        """One outcome a record, in order.

        Raises:
            TryLater: the endpoint is overloaded or broken.
            LoginRefused: 401 or 403.
            BatchRejected: a refusal that names no record.
            DestinationError: an answer that no record can be the cause of, such as a redirect.
        """
        status = reply.status
        if status in (401, 403):
            raise LoginRefused(f"{self.endpoint} refused the credentials with status {status}{self._words(reply)}")
        if status in LATER_STATUSES or status >= 500:
            code: Code = "RATE_LIMIT" if status == 429 else "DESTINATION_UNAVAILABLE"
            answered = f"{self.endpoint} answered {status}"
            raise TryLater(code, answered, retry_after(reply, now), said=self._words(reply))
        if 300 <= status < 400:
            where = reply.headers.get("location", "elsewhere")
            raise DestinationError(
                f"{self.endpoint} redirects to {where}, and redirects are not followed; correct config.url"
            )
        taken = status in self.success if self.success else 200 <= status < 300
        if self.results is not None:
            found = _list(reply.body, self.results)
            if found is not None:
                return self._per_record(found, self.results, payloads, taken=taken)
            if taken:
                unread = f"{self.endpoint} answered {status}, but without a list of results at {self.results.path!r}"
                return [Unknown(unread)] * len(payloads)
        if taken and status == MULTI_STATUS:
            unread = f"{self.endpoint} answered 207, and config.results does not say where single records are spoken of"
            return [Unknown(unread)] * len(payloads)
        if taken:
            return [ACKNOWLEDGED] * len(payloads)
        if status in (404, 405):
            raise DestinationError(
                f"{self.endpoint} answered {status}{self._words(reply)}; correct config.url or object"
            )
        raise BatchRejected(_refusal(status), f"status {status}{self._words(reply)}")

    def _per_record(
        self, found: list[Any], results: HttpResults, payloads: Sequence[bytes], *, taken: bool
    ) -> list[Outcome]:
        unnamed: Outcome = Unknown(f"the reply has no result for this record, only {len(found)} for {len(payloads)}")
        if taken and results.covers == "failures":
            unnamed = ACKNOWLEDGED
        outcomes = [unnamed] * len(payloads)
        place = self._places(results, payloads)
        for position, result in enumerate(found):
            at = place(position, result)
            if at is not None:
                outcomes[at] = self._outcome(result, results, taken=taken and results.covers == "all")
        return outcomes

    def _places(self, results: HttpResults, payloads: Sequence[bytes]) -> Callable[[int, Any], int | None]:
        """Finds the record that a result speaks of."""
        if results.by == "key":
            ours, theirs = zip(*self.key, strict=True)
            places = {_name(_exactly(payload), ours): i for i, payload in enumerate(payloads)}
            return lambda _, result: places.get(_name(result, theirs)) if isinstance(result, dict) else None

        def by_index(position: int, result: Any) -> int | None:
            index = result.get(results.index_field, position) if isinstance(result, dict) else position
            return index if isinstance(index, int) and 0 <= index < len(payloads) else None

        return by_index

    def _outcome(self, result: Any, results: HttpResults, *, taken: bool) -> Outcome:
        if not isinstance(result, dict):
            return Unknown("the record's result is not an object")
        status = result.get(results.status_field)
        good = result.get(results.success_field)
        if not isinstance(good, bool):
            good = _succeeded(status, results) if status is not None else taken
        if good:
            return ACKNOWLEDGED
        words = [str(result[f]) for f in (results.code_field, results.message_field) if result.get(f)]
        message = self.redact(": ".join(words) or f"status {status}")[:MESSAGE_MAX]
        return Rejected(_refusal(status) if isinstance(status, int) else "DESTINATION_VALIDATION", message)

    def _words(self, reply: Reply) -> str:
        """What the endpoint said, as `: …`; empty if it said nothing in words."""
        text = _message(reply.body)
        return f": {self.redact(text)[:MESSAGE_MAX]}" if text else ""


def retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """Retry-After as RFC 9110 writes it: seconds, or a date; None if it says nothing readable."""
    value = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(timedelta(0), at - now)


def _refusal(status: int) -> Code:
    if status == 409:
        return "CONFLICT"
    if status in (404, 410):
        return "NOT_FOUND"
    if status == 429:
        return "RATE_LIMIT"
    if status >= 500 or status in LATER_STATUSES:
        return "DESTINATION_UNAVAILABLE"
    if status in (401, 403):
        return "DESTINATION_AUTH"
    return "DESTINATION_VALIDATION"


def _succeeded(status: Any, results: HttpResults) -> bool:
    if results.success_values:
        return status in results.success_values
    return isinstance(status, int) and 200 <= status < 300


def _exactly(text: bytes) -> Any:
    """JSON with numbers of any size as they stand, because records are told apart by them (raises ValueError)."""
    return json.loads(text, parse_float=str)


def _name(record: dict[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(record.get(field)) for field in fields)


def _list(body: bytes, results: HttpResults) -> list[Any] | None:
    """The list of results in a JSON body."""
    try:
        found = _exactly(body) if results.by == "key" else orjson.loads(body)
    except ValueError:
        return None
    for name in results.path.split(".") if results.path else []:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) else None


def _message(body: bytes) -> str:
    """The words of an error body: a field that is commonly one, or a short text."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[: 4 * MESSAGE_MAX].decode("utf-8", "replace")
        return "" if "<" in text else " ".join(text.split())  # a proxy's HTML page is no message
    while isinstance(found, dict):
        found = next((found[f] for f in ("detail", "message", "error", "title", "error_description") if f in found), "")
    return " ".join(found.split()) if isinstance(found, str) else ""
