"""Queries for records by the values of one field.

Pure. See the SOQL and SOSL Reference, Quoted String Escape Sequences; and the REST API Developer Guide, Query, for the
16,384 bytes that an address and its headers may have together.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from retl.destinations.salesforce.objects import NUMBERS, Field

LONGEST = 12_000
"""Bytes of a query in an address."""
ESCAPES = {"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"}
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def queries(object_name: str, select: Sequence[str], field: Field, values: Sequence[Any]) -> Iterator[str]:
    """Queries, escaped for an address, that find records by values of a field; as few as they fit into."""
    head = quote(f"SELECT {','.join(dict.fromkeys(select))} FROM {object_name} WHERE {field.name} IN (", safe="")
    held: list[str] = []
    size = 0
    for value in values:
        if (literal := _literal(value, field)) is None:
            continue
        escaped = quote(literal, safe="")
        if held and len(head) + size + len(escaped) > LONGEST:
            yield f"{head}{','.join(held)})"
            held, size = [], 0
        held.append(escaped)
        size += len(escaped) + 1
    if held:
        yield f"{head}{','.join(held)})"


def _literal(value: Any, field: Field) -> str | None:
    """A value as it stands in a query; None if no record can have it."""
    if field.type in NUMBERS:
        return str(value) if NUMBER.fullmatch(str(value)) else None
    return "'" + "".join(ESCAPES.get(char, char) for char in str(value)) + "'"
