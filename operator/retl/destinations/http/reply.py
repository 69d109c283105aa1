"""What an HTTP reply says of the records that were sent.

Pure: status, headers and body in, outcomes or one of the destination errors out. What the endpoint says in words goes
into outcomes and `said` alone, because it may repeat a record's values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retl.destinations.base import (
    ACKNOWLEDGED,
    BatchRejected,
    Code,
    Outcome,
    Rejected,
    Skipped,
    TryLater,
    Unknown,
)
from retl.destinations.http.failures import LATER_STATUSES, ended, said_by
from retl.destinations.http.faults import Verdict, of_call, of_results
from retl.destinations.http.paths import field_at, list_path
from retl.destinations.http.reading import HttpResults, HttpRule
from retl.destinations.http.rules import means
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import is_page, parsed, printable, spoken
from retl.errors import DestinationError

MULTI_STATUS = 207
SETTLED: Mapping[tuple[str, int], Outcome] = {
    ("insert", 409): Skipped("the record exists"),
    ("update", 404): Skipped("there is no such record"),
    ("delete", 404): ACKNOWLEDGED,
    ("delete", 410): ACKNOWLEDGED,
}
"""Statuses of a single record that refuse nothing: things are as the operation leaves them."""
OF_RULE: Mapping[str, Code | None] = {"refused": None, "later": "DESTINATION_UNAVAILABLE", "rateLimit": "RATE_LIMIT"}
"""The code of a record whose result a rule speaks of; None for what its status means."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the replies to one operation's calls.

    Attributes:
        endpoint: how messages name it.
        success: statuses that mean the request was taken; 2xx if empty.
        results: where single records are spoken of, if anywhere.
        key: fields by which results name a record, each as (path in the record, field of the result).
        redact: takes secrets out of the endpoint's words.
        operation: what the records were sent for.
        of_record: the URL names the record, so that a 404 is about the record.
        repeatable: the call may be made again when nobody knows what became of it.
        rules: what replies and results mean, before the usual reading of them.
    """

    endpoint: str
    success: frozenset[int]
    results: HttpResults | None
    key: tuple[tuple[str, str], ...]
    redact: Callable[[str], str]
    operation: str = "upsert"
    of_record: bool = False
    repeatable: bool = True
    rules: Sequence[HttpRule] = ()

    def outcomes(self, reply: Reply, payloads: Sequence[bytes], now: datetime) -> Sequence[Outcome]:
        """One outcome a record, in order.

        Raises:
            TryLater: the endpoint is overloaded or broken, or its answer cannot be read.
            LoginRefused: 401 or 403.
            BatchRejected: a refusal that names no record.
            DestinationError: an answer that no record can be the cause of, such as a redirect.
        """
        status = reply.status
        body = parsed(reply.body, exactly=self.results is not None and self.results.by == "key")
        verdict = means(self.rules, "reply", status, body) if self.rules else None
        if verdict == "skipped":
            return [Skipped("the reply says that nothing is to be done")] * len(payloads)
        if verdict == "refused":
            return self._refused_by_rule(reply, payloads)
        if error := ended(verdict, reply, self.endpoint, self.redact, now):
            raise error
        taken = verdict == "taken" or (status in self.success if self.success else 200 <= status < 300)
        if taken:
            self._unreadable(reply, body)
        if self.results is not None:
            found = _list(body, self.results)
            if found is not None:
                return self._per_record(found, self.results, payloads, taken=taken)
        if verdict == "taken" and self.results is None:
            return [ACKNOWLEDGED] * len(payloads)
        if taken:
            return self._taken(status, body, payloads)
        settled = SETTLED.get((self.operation, status))
        if settled is not None and len(payloads) == 1 and (self.of_record or status == 409):
            return [settled]
        if status == 405 or (status in (404, 410) and not self.of_record):
            raise DestinationError(f"{self.endpoint} answered {status}; correct config.url or object")
        raise BatchRejected(_refusal(status), f"status {status}{said_by(reply, self.redact)}")

    def _refused_by_rule(self, reply: Reply, payloads: Sequence[bytes]) -> list[Outcome]:
        said = f"status {reply.status}{said_by(reply, self.redact)}"
        if reply.status >= 400 or self.repeatable or len(payloads) == 1:
            raise BatchRejected(_refusal(reply.status) if reply.status >= 400 else "DESTINATION_VALIDATION", said)
        return [Unknown(f"{self.endpoint} answered with {said}")] * len(payloads)

    def _unreadable(self, reply: Reply, body: Any) -> None:
        """Raises TryLater if a success says nothing that can be read: the records may be written, or may not."""
        answered = f"{self.endpoint} answered {reply.status}"
        if not reply.whole:
            raise TryLater("OUTCOME_UNKNOWN", f"{answered} with a body that is too long to be read")
        if is_page(reply.body, reply.headers.get("content-type", "")):
            page = "with a web page, as logins and proxies do; check config.url"
            raise TryLater("OUTCOME_UNKNOWN", f"{answered} {page}")
        if self.results is not None and body is None and reply.body:
            raise TryLater("OUTCOME_UNKNOWN", f"{answered} with a body that is no JSON")

    def _taken(self, status: int, body: Any, payloads: Sequence[bytes]) -> list[Outcome]:
        """A success that speaks of all records alike."""
        described = self.results is not None or status == MULTI_STATUS
        failing = None if described else of_results(body, payloads)
        if failing and self._in_order(failing, payloads):
            return [self._judged(verdict) for verdict in failing[1]]
        faults = [of_call(body, payloads), *(failing[1] if failing else ())]
        if fault := next((verdict for verdict in faults if verdict.failed), None):
            words = f"status {status}, and in it an error{self._said(fault.words)}"
            if self.repeatable or len(payloads) == 1:
                raise BatchRejected("UNKNOWN", words)
            return [Unknown(f"{self.endpoint} answered with {words}")] * len(payloads)
        if self.results is not None:
            unread = f"answered {status}, but without a list of results at {self.results.path!r}"
            return [Unknown(f"{self.endpoint} {unread}")] * len(payloads)
        if status == MULTI_STATUS:
            unread = "answered 207, and config.results does not say where single records are spoken of"
            return [Unknown(f"{self.endpoint} {unread}")] * len(payloads)
        return [ACKNOWLEDGED] * len(payloads)

    def _in_order(self, failing: tuple[list[Any], list[Verdict]], payloads: Sequence[bytes]) -> bool:
        """Whether the reply has a verdict on each record, and nothing shows that they are in another order."""
        found, verdicts = failing
        if len(found) != len(payloads) or any(verdict.failed is None for verdict in verdicts):
            return False
        for at, (result, payload) in enumerate(zip(found, payloads, strict=True)):
            record = parsed(payload)
            named = [field for field in self.key if field[1] in result]
            if result.get("index", at) != at or any(str(field_at(record, f)) != str(result[t]) for f, t in named):
                return False
        return True

    def _judged(self, verdict: Verdict) -> Outcome:
        if not verdict.failed:
            return ACKNOWLEDGED
        words = verdict.words or (f"status {verdict.status}" if verdict.status else "the reply says that it failed")
        return self._refused(verdict.status, words)

    def _per_record(
        self, found: list[Any], results: HttpResults, payloads: Sequence[bytes], *, taken: bool
    ) -> list[Outcome]:
        place = self._places(found, results, payloads)
        outcomes: dict[int, Outcome] = {}
        strays = 0
        for position, result in enumerate(found):
            at = place(position, result)
            outcome = self._outcome(result, results, taken=taken and results.covers == "all")
            if at is None:
                strays += 1
            elif outcomes.setdefault(at, outcome) != outcome:
                outcomes[at] = Unknown("the reply has several results for this record, and they differ")
        unnamed: Outcome = Unknown(f"the reply has no result for this record, only {len(found)} for {len(payloads)}")
        if taken and results.covers == "failures":
            unnamed = Unknown("the reply speaks of a failure without saying whose") if strays else ACKNOWLEDGED
        return [outcomes.get(at, unnamed) for at in range(len(payloads))]

    def _places(
        self, found: list[Any], results: HttpResults, payloads: Sequence[bytes]
    ) -> Callable[[int, Any], int | None]:
        """Finds the record that a result speaks of."""
        if results.by == "key":
            ours, theirs = zip(*self.key, strict=True)
            places = {_name(parsed(payload, exactly=True), ours): i for i, payload in enumerate(payloads)}
            return lambda _, result: places.get(_name(result, theirs)) if isinstance(result, dict) else None
        # A place in the list tells records apart only if every record has one.
        complete = results.covers == "all" and len(found) == len(payloads)

        def by_index(position: int, result: Any) -> int | None:
            named = field_at(result, results.index_field)
            index = position if named is None and complete else named
            if isinstance(index, bool) or not isinstance(index, int):
                return None
            return index if 0 <= index < len(payloads) else None

        return by_index

    def _outcome(self, result: Any, results: HttpResults, *, taken: bool) -> Outcome:
        if not isinstance(result, dict):
            return Unknown("the record's result is not an object")
        status = field_at(result, results.status_field)
        good = field_at(result, results.success_field)
        if not isinstance(good, bool):
            good = _succeeded(status, results) if status is not None else taken
        number = status if isinstance(status, int) and not isinstance(status, bool) else 0
        verdict = means(self.rules, "result", number, result) if self.rules else None
        if verdict in ("taken", "skipped"):
            return ACKNOWLEDGED if verdict == "taken" else Skipped("the result says that nothing is to be done")
        words = [
            spoken(value) or str(value)
            for field in (results.code_field, results.message_field)
            if (value := field_at(result, field))
        ]
        said = ": ".join(words) or f"status {status}"
        if verdict is not None:
            code = OF_RULE[verdict] or (_refusal(number) if number >= 400 else "DESTINATION_VALIDATION")
            return Rejected(code, printable(self.redact(said)))
        return ACKNOWLEDGED if good else self._refused(number, said)

    def _refused(self, number: int, words: str) -> Outcome:
        """What a record's refusal with a status means; 0 if it has none."""
        if settled := SETTLED.get((self.operation, number)):
            return settled
        code = _refusal(number) if number else "DESTINATION_VALIDATION"
        return Rejected(code, printable(self.redact(words)))

    def _said(self, text: str) -> str:
        text = printable(self.redact(text))
        return f": {text}" if text else ""


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
        return status in results.success_values or str(status) in map(str, results.success_values)
    return isinstance(status, int) and 200 <= status < 300


def _name(record: Any, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(field_at(record, path)) for path in paths)


def _list(body: Any, results: HttpResults) -> list[Any] | None:
    """The list of results in a reply."""
    found = list_path(results.path).one(body)
    return found if isinstance(found, list) else None
