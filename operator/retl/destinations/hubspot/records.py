"""What is sent to HubSpot: the engine's records as inputs of its batch calls.

Pure. HubSpot's properties are texts, whatever their type: an empty one clears a property, several choices of a list
stand in one text with semicolons between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from retl.destinations.web.words import parsed

RECORD_ID = "hs_object_id"
"""The property that holds HubSpot's own id of a record; it is no unique property as others are."""
ASSOCIATIONS = "associations"
"""The member of a record under which the ids of associated records stand; no property may be called so."""

Input = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as HubSpot takes it.

    Attributes:
        key: the value by which HubSpot finds it; empty if it has none.
        links: ids of the records that it is to be associated with, by the association's name.
    """

    key: str
    properties: Mapping[str, str]
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A kind of association.

    Attributes:
        object: the other object.
        type_id: of the association's type, in its category.
    """

    object: str
    category: str
    type_id: int

    @property
    def types(self) -> list[Input]:
        """As calls name it."""
        return [{"associationCategory": self.category, "associationTypeId": self.type_id}]


def record_of(payload: bytes, key: str | None) -> Record:
    """The engine's record as HubSpot takes it.

    Args:
        key: property that records are found by; None if they are not.
    """
    fields = parsed(payload, exactly=True)
    links = fields.pop(ASSOCIATIONS, None) or {}
    properties = {name: text(value) for name, value in fields.items()}
    found_by = properties.get(key, "") if key else ""
    properties.pop(RECORD_ID, None)
    return Record(found_by, properties, {name: ids(value) for name, value in links.items() if value is not None})


def text(value: Any) -> str:
    """A JSON value as a property's text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ";".join(text(each) for each in value)
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


def ids(value: Any) -> list[str]:
    """Ids of associated records: one, or a list of them."""
    several = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(text(each) for each in several if each not in (None, "")))


def same(key: str) -> str:
    """Keys for which this is equal are one record's for HubSpot."""
    return key.strip().lower()


def input_of(operation: str, place: int, record: Record, key: str | None, links: Mapping[str, Link]) -> Input:
    """One input of a batch call. The trace id, its place, makes HubSpot answer for each input by itself."""
    traced: Input = {"objectWriteTraceId": str(place), "properties": dict(record.properties)}
    if operation in ("insert", "append"):
        traced["associations"] = [
            {"to": {"id": other}, "types": links[name].types}
            for name, others in record.links.items()
            for other in others
        ]
        return traced
    if key != RECORD_ID:
        traced["idProperty"] = key
    return {"id": record.key, **traced}


def pairs(records: Mapping[str, Record]) -> dict[str, list[tuple[str, str]]]:
    """What is to be associated, by the association's name: ids from and to.

    Args:
        records: by their ids.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for record_id, record in records.items():
        for name, others in record.links.items():
            found.setdefault(name, []).extend((record_id, other) for other in others)
    return {name: each for name, each in found.items() if each}
