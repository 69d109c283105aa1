"""Texts and JSON with placeholders such as {object} or {record.email}.

Substitution, and nothing else: what is put in is never read as a template, and in JSON it is put in as JSON, in a URL
as one part of it, so that no value can be more than a value. Records go in as the texts that the engine wrote.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import orjson

from retl.destinations.http.paths import field_at

Json = Any
Fit = Callable[[str], str | None]
"""A value as it may stand in a text; None if it may not."""
OF_TEXT = re.compile(r"\{(object|operation|callId|key|record\.[^{}]+)\}")
OF_BODY = re.compile(r"\{(object|operation|callId|key|record\.[^{}]+|records?)\}")


class Number(str):
    """A number as it is written, so that no digit of it is lost."""

    __slots__ = ()


class Known(Protocol):
    """What placeholders stand for.

    Attributes:
        pattern: finds them; its first group is the name.
    """

    pattern: ClassVar[re.Pattern[str]]

    def json(self, name: str) -> bytes:
        """As a value in JSON."""

    def text(self, name: str, where: str, fit: Fit) -> str:
        """As part of a text (raises ValueError if it cannot be)."""


@dataclass(frozen=True)
class OfCall:
    """What they stand for in a call that brings records.

    ==============  ====================================================================
    {object}        the sync's object
    {operation}     upsert, insert, update, delete or append
    {callId}        the call's idempotency id
    {key}           the key of the call's one record
    {record.PATH}   a field of the call's one record, by the path that mappings write
    {record}        the record itself; in JSON only, as all that follows
    {records}       all records of the call, as a list
    ==============  ====================================================================

    Attributes:
        key: path of the field that is {key}.
        payloads: the records of the call; the first is {record}.
    """

    pattern: ClassVar[re.Pattern[str]] = OF_BODY

    object: str
    operation: str
    key: str
    call_id: str = ""
    payloads: Sequence[bytes] = ()

    def json(self, name: str) -> bytes:
        """As a value in JSON; null for a field that the record lacks."""
        if name == "records":
            return b"[" + b",".join(self.payloads) + b"]"
        return self.payloads[0] if name == "record" else as_json(self._value(name))

    def text(self, name: str, where: str, fit: Fit) -> str:
        """As part of a text (raises ValueError for a field that is empty, an object or a list, or does not fit)."""
        value = self._value(name)
        simple = value not in (None, "") and not isinstance(value, dict | list)
        if not simple or (fitting := fit(plain(value))) is None:
            raise ValueError(f"{field_of(name, self.key)} holds nothing that {where} can name")
        return fitting

    @cached_property
    def _record(self) -> Json:
        return exactly(self.payloads[0])

    def _value(self, name: str) -> Json:
        own = {"object": self.object, "operation": self.operation, "callId": self.call_id}
        return own[name] if name in own else field_at(self._record, field_of(name, self.key))


def field_of(name: str, key: str) -> str:
    """The field of the record that {key} or {record.PATH} stands for."""
    return key if name == "key" else name.removeprefix("record.")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in JSON: a placeholder alone, or a text with some in it."""

    text: str


Body = tuple[bytes | Slot, ...]
"""JSON, in parts."""


def compiled(template: Json, pattern: re.Pattern[str] = OF_BODY) -> Body:
    """A JSON template, ready to be filled; what holds no placeholder is JSON already."""
    merged: list[bytes | Slot] = []
    for part in _parts(template, pattern):
        if isinstance(part, bytes) and merged and isinstance(last := merged[-1], bytes):
            merged[-1] = last + part
        else:
            merged.append(part)
    return tuple(merged)


def names_in(body: Body, pattern: re.Pattern[str] = OF_BODY) -> list[str]:
    """All placeholders of a JSON template."""
    return [name for part in body if isinstance(part, Slot) for name in pattern.findall(part.text)]


def rendered(body: Body, known: Known) -> bytes:
    """A JSON template with everything put in (raises ValueError for a record that lacks what a text needs)."""
    return b"".join(part if isinstance(part, bytes) else _filled(part.text, known) for part in body)


def text(template: str, known: Known, where: str, fit: Fit = str) -> str:
    """A text with everything put in (raises ValueError).

    Args:
        where: what the text is, for messages: `a URL`.
    """
    return known.pattern.sub(lambda found: known.text(found[1], where, fit), template)


def exactly(payload: bytes) -> Json:
    """JSON whose numbers are as they are written (raises ValueError, RecursionError)."""
    return json.loads(payload, parse_float=Number, parse_int=Number)


def as_json(value: Json) -> bytes:
    """A value of such JSON, as it was written."""
    return orjson.dumps(
        value, default=lambda number: orjson.Fragment(str(number)), option=orjson.OPT_PASSTHROUGH_SUBCLASS
    )


def plain(value: Json) -> str:
    """A value that is no object or list, as a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def form_fields(record: Json) -> list[tuple[str, str]]:
    """A record as fields of a form: `address[city]`, `tags[0]`; a NULL is empty, and a switch true or false."""
    return list(_fields("", record))


def _fields(name: str, value: Json) -> Iterator[tuple[str, str]]:
    below: Iterable[tuple[Any, Json]]
    if isinstance(value, dict):
        below = value.items()
    elif isinstance(value, list):
        below = enumerate(value)
    else:
        yield name, "" if value is None else plain(value)
        return
    for member, held in below:
        yield from _fields(f"{name}[{member}]" if name else str(member), held)


def _parts(node: Json, pattern: re.Pattern[str]) -> Iterator[bytes | Slot]:
    if isinstance(node, dict):
        yield b"{"
        for place, (name, held) in enumerate(node.items()):
            yield (b"," if place else b"") + orjson.dumps(name) + b":"
            yield from _parts(held, pattern)
        yield b"}"
    elif isinstance(node, list):
        yield b"["
        for place, held in enumerate(node):
            yield b"," if place else b""
            yield from _parts(held, pattern)
        yield b"]"
    elif isinstance(node, str) and pattern.search(node):
        yield Slot(node)
    else:
        yield orjson.dumps(node)


def _filled(template: str, known: Known) -> bytes:
    alone = known.pattern.fullmatch(template)
    return known.json(alone[1]) if alone else orjson.dumps(text(template, known, "a text"))
