"""What a reply to a batch call says of each record.

Pure. A call whose inputs have trace ids is answered with 200, 201 or 207 and a list of results and one of errors;
version 2026-09 puts both into a 200. What is in neither list, is unknown: a call that HubSpot could not use may be
answered with two empty ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retl.destinations.base import ACKNOWLEDGED, Outcome, Rejected, Skipped, Unknown
from retl.destinations.hubspot.errors import Problem, problem_of, without_values
from retl.destinations.hubspot.records import RECORD_ID, Record, same
from retl.destinations.web.words import printable

EMAIL = "email"
"""The property of contacts that a CONFLICT without details is about."""

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of the records of a call.

    Attributes:
        ids: of those that were written, by place.
    """

    outcomes: list[Outcome]
    ids: dict[int, str]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the replies to one operation's calls.

    Attributes:
        key: property that records are found by; None if they are not.
        redact: takes secrets out of HubSpot's words.
    """

    operation: str
    key: str | None
    redact: Callable[[str], str]

    def answers(self, said: Said, records: Mapping[int, Record]) -> Answers:
        """What a reply says of each record.

        Args:
            records: those that were sent, by the places that were their trace ids.
        """
        finder = Finder(records, self.key)
        refused, unclear = self._refused(_objects(said, "errors"), finder)
        ids: dict[int, str] = {}
        nameless = 0
        for result in _objects(said, "results"):
            place = finder.of_result(result)
            if place is None:
                nameless += 1
            elif place not in refused:
                ids[place] = str(result.get("id") or "")
        rest = [place for place in records if place not in refused and place not in ids]
        if nameless == len(rest) and not unclear:  # whichever is whose, all of them were written
            ids |= dict.fromkeys(rest, "")
        outcomes = dict.fromkeys(rest, self._of_rest(unclear, len(rest)))
        outcomes |= {place: self.outcome(problem, records[place]) for place, problem in refused.items()}
        outcomes |= dict.fromkeys(ids, ACKNOWLEDGED)
        return Answers([outcomes[place] for place in records], ids)

    def _of_rest(self, unclear: Sequence[Problem], rest: int) -> Outcome:
        """What records end with that no result and no error names: if there is an error for each, with that."""
        if len(unclear) == rest and len({problem.code for problem in unclear}) == 1:
            return Rejected(unclear[0].code, self.redact(printable(unclear[0].category)))
        return Unknown("HubSpot's answer does not say what became of the record")

    def outcome(self, problem: Problem, record: Record) -> Outcome:
        """What a record ends with that HubSpot has something against."""
        if self.operation == "update" and problem.code == "NOT_FOUND":
            return Skipped("there is no such record")
        if self.operation == "insert" and problem.code == "CONFLICT" and self._about_the_key(problem):
            return Skipped("the record exists")
        return Rejected(problem.code, self.redact(without_values(problem.words, record.properties.values())))

    def _about_the_key(self, problem: Problem) -> bool:
        """Whether it is the record itself that exists, not another one with the same value somewhere."""
        return self.key in problem.taken if problem.taken else self.key == EMAIL

    def _refused(self, errors: Sequence[Said], finder: "Finder") -> tuple[dict[int, Problem], list[Problem]]:
        """What was refused, by place, and the problems of which nobody knows whose they are."""
        refused: dict[int, Problem] = {}
        unclear: list[Problem] = []
        for error in errors:
            problem = problem_of(error)
            places = finder.of_error(error)
            if not places:
                unclear.append(problem)
            for place in places:
                refused.setdefault(place, problem)
        return refused, unclear


class Finder:
    """Finds the record that a result or an error is about: by its trace id, or else by its key."""

    def __init__(self, records: Mapping[int, Record], key: str | None) -> None:
        self._records = records
        self._key = key
        self._by_key = {same(record.key): place for place, record in records.items() if record.key}

    def of_result(self, result: Said) -> int | None:
        """The place of the record that was written."""
        place = self._traced(result.get("objectWriteTraceId"))
        if place is not None or self._key is None:
            return place
        properties = result.get("properties")
        found = properties.get(self._key) if isinstance(properties, dict) else None
        value = result.get("id") if self._key == RECORD_ID else found
        return self._by_key.get(same(str(value))) if value is not None else None

    def of_error(self, error: Said) -> list[int]:
        """The places of the records that were refused."""
        context = error.get("context")
        named = context if isinstance(context, dict) else {}
        traces = _texts(named.get("objectWriteTraceId")) or _texts(error.get("objectWriteTraceId"))
        places = [place for trace in traces if (place := self._traced(trace)) is not None]
        keys = [] if places else _texts(named.get("ids"))
        return places or [self._by_key[same(key)] for key in keys if same(key) in self._by_key]

    def _traced(self, trace: object) -> int | None:
        text = str(trace)
        return int(text) if text.isascii() and text.isdigit() and int(text) in self._records else None


def missing(said: Said) -> set[str]:
    """Keys of the records that a reply to a read says there are none of, as `same` has them."""
    found: set[str] = set()
    for error in _objects(said, "errors"):
        context = error.get("context")
        if problem_of(error).code == "NOT_FOUND" and isinstance(context, dict):
            found |= {same(each) for each in _texts(context.get("ids"))}
    return found


def found_ids(said: Said, key: str) -> dict[str, str]:
    """Ids of the records that a reply to a read has, by their keys as `same` has them."""
    found = {}
    for result in _objects(said, "results"):
        properties = result.get("properties")
        held = properties.get(key) if isinstance(properties, dict) else None
        value = result.get("id") if key == RECORD_ID else held
        if value is not None and result.get("id") is not None:
            found[same(str(value))] = str(result["id"])
    return found


def not_archived(said: Said, ids: Mapping[int, str], redact: Callable[[str], str]) -> dict[int, Outcome]:
    """What a reply to an archive has against records, by place; of an error that names none, it may be any.

    Args:
        ids: of the records that were to be archived, by place.
    """
    found: dict[int, Outcome] = {}
    for error in _objects(said, "errors"):
        problem, context = problem_of(error), error.get("context")
        named = set(_texts(context.get("ids")) if isinstance(context, dict) else ())
        places = [place for place, record_id in ids.items() if record_id in named]
        if not places:
            return {**dict.fromkeys(ids, Unknown("HubSpot's answer has an error that names no record")), **found}
        if problem.code != "NOT_FOUND":
            refused = Rejected(problem.code, redact(without_values(problem.words, ids.values())))
            found |= dict.fromkeys(places, refused)
    return found


def linked(said: Said) -> set[tuple[str, str]]:
    """The associations that a reply says were made, as ids from and to."""
    return {(_end(each, "from"), _end(each, "to")) for each in _objects(said, "results")}


def _end(result: Said, side: str) -> str:
    nested = result.get(side)
    return str(nested.get("id") if isinstance(nested, dict) else result.get(f"{side}ObjectId"))


def _objects(said: Said, name: str) -> list[dict[str, Any]]:
    found = said.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _texts(found: object) -> list[str]:
    if isinstance(found, str):
        return [found]
    return [str(each) for each in found] if isinstance(found, list) else []
