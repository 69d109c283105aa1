"""Bodies of requests: JSON read without mercy, because what is guessed at here would be written into a cluster.

A key that stands twice, a number that is none, half a surrogate pair, a field nobody knows: each is refused, with a
pointer to where it stands. All fields that are wrong are told at once.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from retl.resources.problems import Location, fields_at, suggestion
from retl.rest.problems import FieldError, Problem

MAX_BODY = 1024 * 1024
"""Bytes."""
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Keys and items; the largest body that means something has half as many."""
MAX_ERRORS = 100
"""Of a body; each costs more time than the byte or two that it takes to send it."""
DIGEST = "retl.digest"
"""Where the request's scope holds the SHA-256 of the body, in hex, once it is read."""

_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS = re.compile(rb"[][{}]")
_NOT_KEPT = re.compile("[\ud800-\udfff\0]")

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """What all bodies have in common: no field is guessed at, no type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Body):
    """The body of an endpoint that wants none."""


def Text(longest: int) -> Any:  # noqa: N802 - stands where a type does
    """Text of at most so many characters, one of which is no white space."""
    return Annotated[str, StringConstraints(min_length=1, max_length=longest, pattern=r"\S")]


async def read(request: Request, model: type[M], *, optional: bool = False) -> M:
    """The body of a request, checked.

    Args:
        model: what it is to be; see `Body`.
        optional: no body is as good as `{}`.
    Raises:
        Problem: 413 too long; 415 not JSON by its own word, or packed; 422 not JSON, or not what is wanted.
    """
    raw = await _received(request)
    request.scope[DIGEST] = hashlib.sha256(raw).hexdigest()
    if not raw and not optional:
        _malformed("this request needs a body")
    if raw and not _says_json(request):
        raise Problem(415, "unsupported-media-type", "send JSON, as Content-Type: application/json, in UTF-8")
    if raw and request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        plain = {"Accept-Encoding": "identity"}
        raise Problem(415, "unsupported-media-type", "send the body as it is, without a Content-Encoding", plain)
    sent = parse(raw or b"{}")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise invalid(field_errors(error, sent, model)) from None


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The problem of fields that are wrong; its detail says the first."""
    first = errors[0]
    where = first.pointer or first.parameter or first.header
    return Problem(422, "invalid-input", f"{where}: {first.detail}" if where else first.detail, errors=errors)


async def _received(request: Request) -> bytes:
    too_long = Problem(413, "content-too-large", f"send at most {MAX_BODY} bytes")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > MAX_BODY:
        raise too_long
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY:
            raise too_long
    return bytes(received)


def _says_json(request: Request) -> bool:
    sent = request.headers.getlist("content-type")
    media, *parameters = (part.strip().lower() for part in (sent[0] if len(sent) == 1 else "").split(";"))
    return media == "application/json" and all(p in ("", "charset=utf-8", 'charset="utf-8"') for p in parameters)


class _Repeated(Exception):
    """Marks an object in which a key stands twice; `parse` finds out where it was."""


class _Object(dict[str, Any]):
    twice: str | None = None


def parse(raw: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Problem: 422 `malformed-json`; with a pointer where there is a place to point at.
    """
    structure = _TEXTS.sub(b"", raw)
    if sum(map(structure.count, (b",", b"[", b"{"))) > MAX_VALUES:
        _malformed(f"it holds more than {MAX_VALUES} values")
    if _depth(structure) > MAX_DEPTH:
        _malformed(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        _malformed(f"it is not UTF-8 at byte {error.start}")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        _malformed(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    if not isinstance(value, dict):
        _malformed("the body must be an object")
    if wrong := next(_odd(value, ()), None):
        _malformed(wrong.detail, wrong)
    return value


def _depth(structure: bytes) -> int:
    """How deep objects and lists are nested, told without a parser that would have to go there."""
    deepest = level = 0
    for bracket in _BRACKETS.findall(structure):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object()
    for key, value in pairs:
        if key in found:
            found.twice = key
        found[key] = value
    return found


def _constant(word: str) -> NoReturn:
    _malformed(f"{word} is no JSON number")


def _float(text: str) -> float:
    if math.isinf(value := float(text)):
        _malformed("a number is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        _malformed("a number is too large")
    return int(text)


def _odd(value: Any, place: Location) -> Iterator[FieldError]:
    """Keys that stand twice, and text that no database and no API server would keep."""
    if isinstance(value, str):
        if _NOT_KEPT.search(value):
            yield FieldError("holds half a surrogate pair, or the character NUL", pointer=pointer(place))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _odd(item, (*place, index))
    elif isinstance(value, _Object):
        if value.twice is not None:
            yield FieldError("stands twice in one object", pointer=pointer((*place, value.twice)))
        for key, item in value.items():
            yield from _odd(key, place)
            yield from _odd(item, (*place, key))


def _malformed(detail: str, where: FieldError | None = None) -> NoReturn:
    said = f"{where.pointer}: {detail}" if where and where.pointer else detail
    raise Problem(422, "malformed-json", said, errors=[where] if where else ())


def pointer(place: Location) -> str:
    """A place as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


def field_errors(error: ValidationError, sent: Any, model: type[BaseModel]) -> list[FieldError]:
    """What pydantic found, each place once and not without end, as pointers into what was sent."""
    found: dict[str, FieldError] = {}
    for item in error.errors(include_url=False)[:MAX_ERRORS]:
        where = pointer(_place(item, sent))
        found.setdefault(where, FieldError(words(item, model), pointer=where))
    return list(found.values())


def _place(item: ErrorDetails, sent: Any) -> Location:
    """The place without the names of types that pydantic adds where a field may have several."""
    place: list[str | int] = []
    value, last = sent, len(item["loc"]) - 1
    for index, part in enumerate(item["loc"]):
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not (index == last and item["type"] == "missing"):
            continue
        place.append(part)
    return tuple(place)


_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} items",
    "union_tag_not_found": "needs a {discriminator}",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
}


def words(item: ErrorDetails, model: type[BaseModel]) -> str:
    """What to change, without the value that was sent: it may be a secret."""
    kind, context = item["type"], item.get("ctx", {})
    if kind != "missing" and item["input"] is None:
        return "must not be null"
    if kind == "extra_forbidden":
        return "unknown field" + suggestion(str(item["loc"][-1]), fields_at(model, item["loc"][:-1]))
    if kind in ("string_too_short", "too_short", "string_pattern_mismatch"):
        least = context.get("min_length", 1)
        if context.get("pattern", r"\S") != r"\S":
            return f"must match {context['pattern']}"
        return "must not be empty" if least == 1 else f"needs at least {least}"
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return item["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
