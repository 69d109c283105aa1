"""The JSON record: written by DuckDB as nested objects and arrays, read again where a dead letter names its keys."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from retl.engine.values import literal, quoted
from retl.runspec.paths import Node, parse, tree

REDACTED = "‹redacted›"
"""Stands for a value that must not be shown."""

_STRING = rb'"(?:\\.|[^"\\])*"'
_TOKEN = re.compile(_STRING + rb"|[][{},]", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_NAME = re.compile(rb"(" + _STRING + rb"):", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Member:
    """A field of the record.

    Attributes:
        path: names and places, or for destinations that take columns one name.
        sql: its value as JSON text, NULL for null.
        skip: whether null is left out.
    """

    path: str
    sql: str
    skip: bool = False


def record(members: Sequence[Member], *, nested: bool) -> str:
    """SQL of the record as JSON text.

    Args:
        nested: whether the members' paths are paths; else each is the name of a field.
    """
    if nested:
        root = tree([member.path for member in members])
    else:
        root = Node(-1, children={member.path: Node(i, i) for i, member in enumerate(members)})
    return _object(root, members)


def kept_keys(keys: Sequence[str], *, nested: bool) -> str:
    """SQL of the record with its key fields alone, out of a column `payload`."""

    def place(key: str) -> str:
        steps = parse(key) if nested else (key,)
        return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" for step in steps)

    members = [Member(key, f"CAST(json_extract(payload, {literal(place(key))}) AS VARCHAR)") for key in keys]
    return record(members, nested=nested)


def record_keys(
    payload: bytes, keys: Sequence[str], sensitive: Sequence[str], *, nested: bool
) -> dict[str, str | None]:
    """The key fields of a record, as text, for a dead letter.

    Args:
        keys: destination fields that identify the record.
        sensitive: destination fields whose values must not be shown.
        nested: as in `record`.
    """
    return {key: REDACTED if key in sensitive else _text(find(payload, key, nested=nested) or b"null") for key in keys}


def find(record: bytes, key: str, *, nested: bool) -> bytes | None:
    """The JSON text of a field; None if the record has none.

    Args:
        nested: as in `record`.
    """
    for step in parse(key) if nested else (key,):
        inner: dict[str | int, bytes] = dict(_members(record) if isinstance(step, str) else enumerate(_items(record)))
        if step not in inner:
            return None
        record = inner[step]
    return record


def without_values(message: str, values: Iterable[bytes], *, cut: bool) -> str:
    """The message, with REDACTED for each value in it, as text or escaped as in JSON, and of numbers in any form.

    Args:
        values: JSON texts; null and the empty string are no values.
        cut: whether the message may end within a value.
    """
    texts: set[str] = set()
    numbers: set[Decimal] = set()
    for leaf in (leaf for value in values for leaf in _leaves(value)):
        if isinstance(leaf, Decimal):
            numbers.add(leaf)
        else:
            texts |= {leaf, json.dumps(leaf)[1:-1], json.dumps(leaf, ensure_ascii=False)[1:-1]}
    if cut:
        forms = [form for form in (*texts, *map(str, numbers)) if form[:1] in message]
        ends = (n for form in forms for n in range(1, min(len(form), len(message))) if message.endswith(form[:n]))
        message = message[: len(message) - max(ends, default=0)]
    found = "|".join(map(re.escape, sorted(texts - {""}, key=len, reverse=True)))
    pieces = message.split(REDACTED)
    if found:
        pieces = [piece for each in pieces for piece in re.split(found, each, flags=re.IGNORECASE)]
    if numbers:
        pieces = [_NUMBER.sub(lambda n: REDACTED if Decimal(n[0]) in numbers else n[0], piece) for piece in pieces]
    return REDACTED.join(pieces)


def _value(node: Node, members: Sequence[Member]) -> tuple[str, bool]:
    """SQL of what stands at one place, and whether it may be NULL and is left out then."""
    if node.leaf is not None:
        member = members[node.leaf]
        return (member.sql, True) if member.skip else (f"coalesce({member.sql}, 'null')", False)
    inner = [_value(child, members) for child in node.children.values()]
    skip = all(skips for _, skips in inner)
    if all(isinstance(step, str) for step in node.children):
        return (f"nullif({_object(node, members)}, '{{}}')" if skip else _object(node, members)), skip
    items = dict(zip(node.children, inner, strict=True))
    highest = max(step for step in items if isinstance(step, int))
    texts = [f"coalesce({items[at][0]}, 'null')" if at in items else "'null'" for at in range(highest + 1)]
    array = f"concat('[', concat_ws(',', {', '.join(texts)}), ']')"
    found = ", ".join(sql for sql, _ in inner)
    return (f"CASE WHEN coalesce({found}, NULL) IS NOT NULL THEN {array} END" if skip else array), skip


def _object(node: Node, members: Sequence[Member]) -> str:
    parts = []
    for name, child in node.children.items():
        sql, skip = _value(child, members)
        parts.append((quoted(str(name)) + ":", sql, skip))
    if any(skip for *_, skip in parts):
        texts = (f"{literal(name)} || {sql}" for name, sql, _ in parts)
        return f"concat('{{', concat_ws(',', {', '.join(texts)}), '}}')"
    texts = (f"{literal(('{' if i == 0 else ',') + name)}, {sql}" for i, (name, sql, _) in enumerate(parts))
    return f"concat({', '.join(texts)}, '}}')"


def _items(record: bytes) -> Iterator[bytes]:
    """The JSON of each part; reads no deeper than that, so that no value in it can be a reason to fail."""
    depth, start = 0, 1
    for token in _TOKEN.finditer(record):
        depth += (token[0] in b"[{") - (token[0] in b"]}")
        if depth == 0 or (depth == 1 and token[0] == b","):
            yield record[start : token.start()]
            start = token.end()


def _members(record: bytes) -> Iterator[tuple[str, bytes]]:
    for item in _items(record):
        if name := _NAME.match(item):
            yield json.loads(name[1]), item[name.end() :]


def _text(value: bytes) -> str | None:
    """A value as text; what is no text in Unicode (half a surrogate pair) becomes a question mark."""
    if value == b"null":
        return None
    text = value.decode()
    return str(json.loads(text)).encode(errors="replace").decode() if text.startswith('"') else text


def _leaves(value: bytes) -> Iterator[str | Decimal]:
    """The texts and numbers in a JSON text."""
    if value[:1] in (b"{", b"["):
        for item in _items(value):
            name = _NAME.match(item)
            yield from _leaves(item[name.end() :] if name else item)
    elif value.startswith(b'"'):
        yield str(json.loads(value))
    elif _NUMBER.fullmatch(number := value.decode().removeprefix("-")):
        yield Decimal(number)
    elif value != b"null":
        yield value.decode()
