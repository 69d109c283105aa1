"""Where a value goes in a JSON record: `address.city`, `emails[0].type`, with `\\.` for a dot in a name.

Pure. Each destination field of a sync is one path; together they make a tree of objects and arrays.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from retl.errors import InvalidInput

ARRAY_MAX = 100
"""Places of an array that a path may name: what is not mapped below the highest one is null."""

_STEP = re.compile(r"(?P<dot>\.)?(?:(?P<name>(?:\\.|[^\\.\[\]])+)|\[(?P<place>[0-9]{1,6})\])", re.DOTALL)

Path = tuple[str | int, ...]
"""Names of members and places in arrays, from the outside in."""


@dataclass(slots=True)
class Node:
    """What stands at one place of the record.

    Attributes:
        first: number of the field that first named this place.
        leaf: number of the field whose value stands here; None for an object or array.
        children: what is in it: all keys are names, or all are places.
    """

    first: int
    leaf: int | None = None
    children: dict[str | int, "Node"] = field(default_factory=dict)


def parse(text: str) -> Path:
    """Split a destination path (raises InvalidInput if it is none)."""
    steps: list[str | int] = []
    end = 0
    while end < len(text):
        step = _STEP.match(text, end)
        wanted = bool(steps) and step is not None and step["name"] is not None
        if step is None or (step["dot"] is not None) != wanted or (not steps and step["place"] is not None):
            raise InvalidInput(rf"{text!r} is no path: write a.b for members, a[0] for places, \. for a dot in a name")
        if step["place"] is None:
            steps.append(re.sub(r"\\(.)", r"\1", step["name"], flags=re.DOTALL))
        elif int(step["place"]) >= ARRAY_MAX:
            raise InvalidInput(f"{text!r}: at most {ARRAY_MAX} places of an array can be mapped")
        else:
            steps.append(int(step["place"]))
        end = step.end()
    return tuple(steps)


def escaped(name: str) -> str:
    """The path of a member with just this name."""
    return re.sub(r"([\\.\[\]])", r"\\\1", name)


def problems(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Texts that are no path, or that cannot be in one record with those before: their numbers, and what is wrong."""
    root = Node(first=-1)
    for i, text in enumerate(texts):
        try:
            if other := _add(root, parse(text), i):
                yield i, f"{text!r} and {texts[other.first]!r} (mappings[{other.first}]) cannot be in one record"
        except InvalidInput as error:
            yield i, str(error)


def tree(texts: Sequence[str]) -> Node:
    """The record that these paths make, members in the order in which they are first named."""
    root = Node(first=-1)
    for i, text in enumerate(texts):
        _add(root, parse(text), i)
    return root


def _add(root: Node, path: Path, number: int) -> Node | None:
    """Put a field in its place; the node that is in the way, if there is one."""
    node = root
    for step in path:
        if node.leaf is not None or any(type(step) is not type(other) for other in node.children):
            return node
        node = node.children.setdefault(step, Node(first=number))
    if node.first != number:
        return node
    node.leaf = number
    return None
