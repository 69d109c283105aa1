"""What Iterable's replies say: of single records by lists of the users that failed, of a call by its status and a code.

Pure. See "Users: bulk update", "Events: track bulk" and "Lists: subscribe" in Iterable's API documentation. A reply
names users, not places, and only those that failed; its counts tell whether all of them are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, Code, Outcome, Rejected, TryLater, Unknown
from retl.destinations.iterable.objects import Events, Kind, Record
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed, printable
from retl.errors import DestinationError

FAILURES: Mapping[str, tuple[Code, str]] = {
    "invalidData": ("DESTINATION_VALIDATION", "a value has not the type of its field"),
    "invalid": ("DESTINATION_VALIDATION", "it is none that Iterable takes"),
    "conflict": ("CONFLICT", "another user has it"),
    "forgotten": ("DESTINATION_VALIDATION", "Iterable was told to forget this user; unforget it there to write it"),
    "notFound": ("NOT_FOUND", "there is no such user"),
}
"""Our code and words for the lists of failed users, by how their names begin; `Emails` or `UserIds` follows."""
TRANSIENT: Mapping[str, Code] = {
    "RateLimitExceeded": "RATE_LIMIT",
    "DatabaseError": "DESTINATION_UNAVAILABLE",
    "GenericError": "DESTINATION_UNAVAILABLE",
    "QueueEmailError": "DESTINATION_UNAVAILABLE",
}
"""Codes of calls that may succeed later, whatever their status."""
NOBODY = frozenset({"UnknownEmailError", "UnknownUserIdError", "NotFound", "error.users.noUserWithIdExists"})
"""Codes of a delete of a user that there is not."""
WRONG_LIST = "error.lists.invalidListId"
UNSAID = Unknown("Iterable's answer does not say that it was done")

Said = Mapping[str, Any]


def outcomes(said: Said, records: Sequence[Record], kind: Kind) -> list[Outcome]:
    """What a reply to a bulk call says of each record, in order."""
    failed = _failed(said)
    found = [_outcome(record, failed, said, kind) for record in records]
    refused = sum(outcome is not None for outcome in found)
    counts = (said.get("successCount"), said.get("failCount"))
    if counts == (len(records) - refused, refused):
        rest: Outcome = ACKNOWLEDGED
    else:
        rest = Unknown("Iterable's counts do not agree with the users that it names")
    return [
        _dropped(said, record, kind) or rest if each is None else each
        for record, each in zip(records, found, strict=True)
    ]


def problem_of(reply: Reply) -> Rejected:
    """What a refused call has against its only record, or against some of them."""
    said = body_of(reply)
    code = str(said.get("code") or reply.status)
    params = said.get("params")
    fields = params.get("validationErrors") if isinstance(params, dict) else None
    if isinstance(fields, dict):
        words = "; ".join(f"{name}: {_mismatch(each)}" for name, each in fields.items())
    else:
        words = str(said.get("msg") or "")
    return Rejected("CONFLICT" if "AlreadyExists" in code else "DESTINATION_VALIDATION", printable(f"{code}: {words}"))


def call_failure(reply: Reply) -> Exception | None:
    """What a reply means for the call as such; None if what all vendors mean by its status."""
    code = str(body_of(reply).get("code") or "")
    if code in TRANSIENT:
        return TryLater(TRANSIENT[code], f"Iterable answered {reply.status} with {code}")
    if code == WRONG_LIST:
        return DestinationError("object: Iterable has no such list, or it cannot be written; see its lists")
    return None


def done(reply: Reply) -> Outcome:
    """What became of the records of a call whose reply names none: a 2xx may be a proxy's, or hold an error."""
    return ACKNOWLEDGED if body_of(reply).get("code") == "Success" else UNSAID


def body_of(reply: Reply) -> Said:
    """What a reply says; nothing if it is no JSON object."""
    found = parsed(reply.body)
    return found if isinstance(found, dict) else {}


def _outcome(record: Record, failed: Mapping[str, str], said: Said, kind: Kind) -> Outcome | None:
    """What a record was refused for; None if it was not."""
    if (name := failed.get(record.same)) is not None:
        head = name.removesuffix("Emails").removesuffix("UserIds")
        code, words = FAILURES[head]
        return Rejected(code, f"{name}: {words}")
    if isinstance(kind, Events) and kind.event_name(record) in _listed(said, "disallowedEventNames"):
        return Rejected("DESTINATION_VALIDATION", "disallowedEventNames: the project does not take events of this name")
    return None


def _failed(said: Said) -> dict[str, str]:
    """Users that failed, each with the name of the list that it is in."""
    found: dict[str, str] = {}
    nested = said.get("failedUpdates")
    for where in (nested if isinstance(nested, dict) else {}, said):
        for head in FAILURES:
            for name in (f"{head}Emails", f"{head}UserIds"):
                for identity in _listed(where, name):
                    found.setdefault(Record(str(identity), {}).same, name)
    return found


def _listed(said: Said, name: str) -> Sequence[Any]:
    """What stands in a list; one text stands for a list of it."""
    found = said.get(name)
    return found if isinstance(found, list) else [found] if isinstance(found, str) else []


def _dropped(said: Said, record: Record, kind: Kind) -> Outcome | None:
    """A record that was written without some of its fields is none that was written."""
    lost = [str(name).rpartition(":::")[2] for name in _listed(said, "filteredOutFields")]
    held = set(_paths(record.fields))
    missing = [name for name in lost if name in held]
    if not missing:
        return None
    names = ", ".join(missing)
    return Rejected("DESTINATION_VALIDATION", f"filteredOutFields: written without {names}; see config.createNewFields")


def _paths(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in fields.items():
        if value is not None:
            yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")


def _mismatch(error: Any) -> str:
    """What is wrong with a field, without the value that Iterable repeats."""
    if not isinstance(error, dict):
        return "is wrong"
    sent = error.get("incomingTypes")
    kinds = " or ".join(map(str, sent)) if isinstance(sent, list) else "another type"
    return f"is of type {error.get('expectedType', 'unknown')}, and was sent {kinds}"
