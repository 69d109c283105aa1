"""Where something stands in JSON: JSONPath (RFC 9535) for replies, and the paths that mappings write for records.

Of JSONPath there is what replies need: names, places, wildcards and descendants; no filters, slices or unions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

STEP = re.compile(r"(?P<name>(?:\\.|[^\\.\[\]])+)|\[(?P<place>[0-9]{1,6})\]")
"""A member's name, in which a backslash stands before a dot, or a place in an array."""
SEGMENT = re.compile(
    r"""(?P<deep>\.\.)?(?:(?(deep)|\.)(?:(?P<name>[^\W\d][\w-]*)|(?P<every>\*))
    |\[\s*(?:(?P<place>-?[0-9]{1,6})|(?P<all>\*)|'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)")\s*\])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One step down.

    Attributes:
        pick: a member's name, a place in an array (negative from its end), or None for everything.
        deep: at any depth.
    """

    pick: str | int | None
    deep: bool = False


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path into a reply."""

    segments: tuple[Segment, ...]

    @property
    def definite(self) -> bool:
        """Whether it leads to one place at most."""
        return not any(segment.deep or segment.pick is None for segment in self.segments)

    def find(self, body: Any) -> list[Any]:
        """What stands there, in the order of the document."""
        found = [body]
        for segment in self.segments:
            below = [each for value in found for each in (_all_below(value) if segment.deep else (value,))]
            found = [each for value in below for each in _picked(value, segment.pick)]
        return found

    def one(self, body: Any) -> Any:
        """What stands there first; None if nothing does."""
        return next(iter(self.find(body)), None)


@lru_cache(256)
def json_path(text: str) -> JsonPath:
    """Read a path: `$.data[0].id`, or without `$` as mappings write it: `data[0].id` (raises ValueError)."""
    if not text.startswith("$"):
        return _of_record(text)
    segments, at = [], 1
    while at < len(text):
        found = SEGMENT.match(text, at)
        if found is None:
            raise ValueError(
                f"cannot be read from {text[at : at + 20]!r} on; write names, places and wildcards, such as "
                "$.data[0].items[*].id, $['a name'] or $..errors"
            )
        segments.append(Segment(_pick(found), bool(found["deep"])))
        at = found.end()
    return JsonPath(tuple(segments))


@lru_cache(256)
def list_path(text: str) -> JsonPath:
    """The path of one list, which may be written with `[*]` at its end (raises ValueError)."""
    path = json_path(text.removesuffix("[*]"))
    if not path.definite:
        raise ValueError("must lead to one list; only at its end may a [*] stand")
    return path


def field_at(record: Any, path: str) -> Any:
    """A record's field by its name, or by its path as mappings write it: `a.b[0]`; None if it has none."""
    if isinstance(record, dict) and path in record:
        return record[path]
    return _of_record(path).one(record)


@lru_cache(1024)
def _of_record(path: str) -> JsonPath:
    return JsonPath(tuple(_mapped(path)))


def _mapped(path: str) -> Iterator[Segment]:
    for step in STEP.finditer(path):
        yield Segment(re.sub(r"\\(.)", r"\1", step["name"]) if step["name"] is not None else int(step["place"]))


def _pick(found: re.Match[str]) -> str | int | None:
    if found["place"] is not None:
        return int(found["place"])
    for name in ("name", "single", "double"):
        if found[name] is not None:
            return re.sub(r"\\(.)", r"\1", found[name])
    return None


def _picked(value: Any, pick: str | int | None) -> Iterator[Any]:
    if isinstance(value, dict):
        if pick is None:
            yield from value.values()
        elif isinstance(pick, str) and pick in value:
            yield value[pick]
    elif isinstance(value, list):
        if pick is None:
            yield from value
        elif isinstance(pick, int) and -len(value) <= pick < len(value):
            yield value[pick]


def _all_below(value: Any) -> Iterator[Any]:
    """A value and everything in it, each before what it holds."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, dict):
            waiting.extend(reversed(each.values()))
        elif isinstance(each, list):
            waiting.extend(reversed(each))
