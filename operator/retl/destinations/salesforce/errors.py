"""What Salesforce's codes mean: of one record, as collections and jobs report it, and of a call as such.

Pure. The codes are those of StatusCode and ExceptionCode in the SOAP API Developer Guide. A record's words begin with
the code; values that the vendor quotes in its messages are cut out as far as its messages are known.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, Code, LoginRefused, Outcome, Rejected, Skipped, TryLater
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable
from retl.errors import DestinationError

LOCKED = "UNABLE_TO_LOCK_ROW"
LATER = frozenset(
    {
        LOCKED,
        "SERVER_UNAVAILABLE",
        "REQUEST_RUNNING_TOO_LONG",
        "QUERY_TIMEOUT",
        "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE",
        "TOO_MANY_APEX_REQUESTS",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "LIMIT_EXCEEDED",
        "UNKNOWN_EXCEPTION",
    }
)
"""Codes that are not the record's own fault."""
LATER_WORDS = re.compile(rf"{LOCKED}|unable to obtain exclusive access|System\.LimitException|Too many (SOQL|DML)")
"""In the message of an Apex trigger that failed, which has a code of its own."""
CONFLICTS = frozenset({"DUPLICATE_VALUE", "DUPLICATES_DETECTED", "DUPLICATE_EXTERNAL_ID"})
MISSING = frozenset({"NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
WRONG_FOR_ALL = frozenset({"INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND", "INVALIDENTITY", "INVALIDVERSION"})
QUOTA = frozenset({"REQUEST_LIMIT_EXCEEDED", "EXCEEDEDQUOTA"})
UNMATCHED = "Foreign key external ID"
"""INVALID_FIELD means a related record that is not there if its message says so."""

QUOTED = (
    (re.compile(r"(data value too large:).*(\(max length)", re.DOTALL), r"\1 … \2"),
    (re.compile(r"(bad value for restricted picklist field:).*", re.DOTALL), r"\1 …"),
    (re.compile(r"(Foreign key external ID:).*( not found)", re.DOTALL), r"\1 …\2"),
    (
        re.compile(r"((?:Duplicate external id specified|invalid email address|invalid \w+ value):).*", re.DOTALL),
        r"\1 …",
    ),
    (re.compile(r"(from VALUE_\w+ value) .*?( or request|$)", re.DOTALL), r"\1 …\2"),
)
JOB_ERROR = re.compile(r"(?P<code>[A-Z][A-Z0-9_]+):(?P<message>.*):(?P<fields>[^:]*?)\s*--\s*", re.DOTALL)
MAYBE_DONE = frozenset({500, 502, 504})
"""Statuses of calls that may have been carried out, although nobody could say so; with 503 they were not."""
CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,80}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What Salesforce has against a record."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    @classmethod
    def of_result(cls, said: Any) -> "Fault":
        """An error of a collection's result: `{statusCode, message, fields}`."""
        if not isinstance(said, Mapping):
            return cls("", "")
        fields = said.get("fields")
        named = tuple(map(str, fields)) if isinstance(fields, list) else ()
        return cls(str(said.get("statusCode") or ""), str(said.get("message") or ""), named)

    @classmethod
    def of_job(cls, text: str) -> "Fault":
        """A job's sf__Error: `CODE:message:fields --`."""
        found = JOB_ERROR.fullmatch(text)
        if found is None:
            code, _, message = text.partition(":")
            return cls(code.strip(), message.strip())
        named = tuple(each.strip() for each in found["fields"].split(",") if each.strip())
        return cls(found["code"], found["message"], named)

    @property
    def locked(self) -> bool:
        """Whether another transaction holds the record, so that trying again soon may help."""
        return self.code == LOCKED or LOCKED in self.message

    def outcome(self, operation: str, key: str, redact: Callable[[str], str]) -> Outcome:
        """What it means for a record that was sent for an operation, found by a key field."""
        if operation == "insert" and self.code == "DUPLICATE_VALUE" and self._names(key):
            return Skipped("the record exists")
        if self.code in MISSING and not self.fields and operation in ("update", "delete"):
            return ACKNOWLEDGED if operation == "delete" else Skipped("there is no such record")
        return Rejected(self._meaning(), printable(redact(self.words)))

    @property
    def words(self) -> str:
        """The code, the message without values, and the fields."""
        message = self.message
        for pattern, without in QUOTED:
            message = pattern.sub(without, message)
        where = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.code or 'no code'}: {message}{where}"

    def _names(self, key: str) -> bool:
        """Whether a duplicate is one of the key, or of a record that the user may not see."""
        return key in self.fields or key in self.message or "<unknown>" in self.message

    def _meaning(self) -> Code:
        if self.code in LATER or (self.code.startswith("CANNOT_") and LATER_WORDS.search(self.message)):
            return "DESTINATION_UNAVAILABLE"
        if self.code in QUOTA:
            return "RATE_LIMIT"
        if self.code in CONFLICTS:
            return "CONFLICT"
        if self.code in MISSING or UNMATCHED in self.message:
            return "NOT_FOUND"
        if self.code.startswith("INSUFFICIENT_ACCESS"):
            return "DESTINATION_AUTH"
        return "DESTINATION_VALIDATION"


def refusal(reply: Reply, pause: timedelta, words: Callable[[str], str]) -> Exception | None:
    """The error that a call as such ended with; None if its status says all, or its records are at fault.

    Args:
        pause: how long to wait when the calls of 24 hours are used up.
        words: makes what the vendor said fit for a dead letter.
    """
    code, message = spoken(reply)
    answered = f"Salesforce answered {reply.status} {code}".rstrip()
    said = f": {words(f'{code}: {message}')}" if code else ""
    if code.upper() in QUOTA:
        concurrent = "concurrent" in message.lower()
        what = "too many calls are under way" if concurrent else "the org's allowance of 24 hours is used up"
        return TryLater("RATE_LIMIT", f"{answered}: {what}", None if concurrent else pause, said=said)
    if code in LATER and reply.status < 500:  # what 5xx means is known without a code
        return TryLater("DESTINATION_UNAVAILABLE", answered, said=said)
    if reply.status in MAYBE_DONE:
        return TryLater("OUTCOME_UNKNOWN", f"{answered}, and may have carried the call out", said=said)
    if reply.status == 403:
        return LoginRefused(f"{answered}; check the app's scopes and the integration user's permissions", said=said)
    if reply.status == 404 or (reply.status == 400 and code in WRONG_FOR_ALL and UNMATCHED not in message):
        return DestinationError(f"{answered}; check object, mappings and config.apiVersion")
    return None


def spoken(reply: Reply) -> tuple[str, str]:
    """Code and message of a refused call: a list of `{errorCode, message}`, of which the first counts."""
    found = parsed(reply.body)
    first = found[0] if isinstance(found, list) and found else found
    if not isinstance(first, Mapping):
        return "", ""
    code = str(first.get("errorCode") or "")
    return code if CODE.fullmatch(code) else "", str(first.get("message") or "")
