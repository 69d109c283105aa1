"""Whether what a sync's manifest names is there: the columns of its rows, and the fields of its destination's object.

Pure. The command line asks both ends, the controller the catalogs of the last checks; both say it in the same words.
"""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Protocol

from retl.resources.sync import Mapping
from retl.runspec import paths
from retl.runspec.capabilities import Capabilities
from retl.runspec.spec import RunSpec

_INSERTING = ("upsert", "insert", "mirror", "append")
_SHOWN = 20


class Field(Protocol):
    """A field as a destination or a catalog describes it."""

    @property
    def name(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def read_only(self) -> bool: ...


def missing_columns(spec: RunSpec, columns: Collection[str]) -> list[str]:
    """Columns that the manifest names and the query does not return, each with the field that names it."""
    named = [(f"mappings[{i}].source", m.source) for i, m in enumerate(spec.mappings) if m.source is not None]
    named += [("primaryKey", name) for name in spec.primary_key]
    if spec.change_detection.column is not None:
        named.append(("changeDetection.column", spec.change_detection.column))
    return [
        f"spec.{where}: the query has no column {name!r}; {_hint(name, columns, 'returns')}"
        for where, name in named
        if name not in columns
    ]


def wrong_fields(
    mappings: Sequence[Mapping], fields: Sequence[Field], mode: str, capabilities: Capabilities
) -> Iterator[str]:
    """Mappings into fields that the object does not have, or that cannot be written."""
    known = {field.name: field for field in fields}
    semantics = capabilities.semantics(mode)
    for i, mapping in enumerate(mappings):
        name = field_of(mapping, capabilities)
        # A record is only found by its key where none is made.
        written = semantics != "delete" and not (semantics == "update" and mapping.key)
        if name not in known:
            yield f"spec.mappings[{i}].destination: there is no field {name!r}; {_hint(name, known, 'has')}"
        elif known[name].read_only and written:
            yield f"spec.mappings[{i}].destination: {name!r} cannot be written; take it out of the mappings"


def missing_fields(
    mappings: Sequence[Mapping], fields: Sequence[Field], mode: str, capabilities: Capabilities
) -> Iterator[str]:
    """Fields that a new record needs and no mapping has."""
    if capabilities.semantics(mode) not in _INSERTING:
        return
    mapped = {field_of(mapping, capabilities) for mapping in mappings}
    for field in fields:
        if field.required and field.name not in mapped:
            yield f"field {field.name!r} is required and not mapped; a new record would be refused"


def field_of(mapping: Mapping, capabilities: Capabilities) -> str:
    """The destination's field that a mapping writes: of a path, its first step."""
    name = mapping.destination
    return str(paths.parse(name)[0]) if capabilities.payload == "json" else name


def _hint(name: str, known: Collection[str], has: str) -> str:
    guess = get_close_matches(name, known, 1)
    if guess:
        return f"did you mean {guess[0]!r}?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"it {has}: {', '.join(list(known)[:_SHOWN])}{more}"
