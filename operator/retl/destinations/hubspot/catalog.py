"""HubSpot's objects and properties as it describes them, and whether a sync can be carried out with them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from retl.destinations.base import FieldInfo, Target
from retl.destinations.hubspot.config import HubSpotAssociation
from retl.destinations.hubspot.records import ASSOCIATIONS, RECORD_ID, Link
from retl.errors import DestinationError
from retl.runspec import paths

STANDARD = ("companies", "contacts", "deals", "line_items", "products", "tickets")
"""Objects that are listed in every account that the app may see them in; any other can be named as well."""
EMAILS = frozenset({"contacts", "contact", "0-1"})
"""Contacts, as calls may name them: their e-mail address is unique, although its property does not say so."""

Said = Mapping[str, Any]


def fields_of(properties: Iterable[Said], required: Iterable[str] = ()) -> list[FieldInfo]:
    """The properties of an object, and what stands for its associations."""
    needed = set(required)
    found = [
        FieldInfo(str(each["name"]), str(each.get("type") or ""), _is_read_only(each), each["name"] in needed)
        for each in properties
        if not each.get("archived")
    ]
    return [*found, FieldInfo(ASSOCIATIONS, "ids by object")]


def unique_of(name: str, properties: Iterable[Said]) -> set[str]:
    """The properties that records of an object are told apart by."""
    unique = {str(each["name"]) for each in properties if each.get("hasUniqueValue")}
    return unique | {RECORD_ID} | ({"email"} if name.lower() in EMAILS else set())


def key_of(target: Target, unique: set[str]) -> str | None:
    """The property that the sync's records are found by; None if they are only appended.

    Raises:
        DestinationError: the mappings have none that HubSpot finds records by.
    """
    if target.mode == "append":
        return None
    if len(target.key) != 1:
        keys = ", ".join(target.key) or "none"
        raise DestinationError(f"HubSpot finds records by one property, and the mappings have as keys: {keys}")
    [key] = target.key
    if key not in unique:
        choices = ", ".join(sorted(unique))
        raise DestinationError(
            f"mappings: {key} is no property with unique values of {target.object}; set key: true on one of: {choices}"
        )
    if key == RECORD_ID and target.mode not in ("update", "delete"):
        raise DestinationError(
            f"mappings: HubSpot gives {RECORD_ID} itself, so records cannot be made by it; use mode update or delete, "
            "or a property with unique values as key"
        )
    return key


def check_fields(target: Target, fields: Sequence[FieldInfo]) -> None:
    """Raise DestinationError for a field that the object does not have, or that cannot be written."""
    known = {field.name: field for field in fields}
    for path in target.fields:
        name = str(paths.parse(path)[0])
        if name not in known:
            [hint] = [f"did you mean {each}?" for each in get_close_matches(name, known, 1)] or ["see retl check"]
            raise DestinationError(f"mappings: {target.object} has no property {name}; {hint}")
        written = target.mode != "delete" and name not in target.key
        if known[name].read_only and written:
            raise DestinationError(f"mappings: property {name} of {target.object} cannot be written; take it out")


def links_of(target: Target) -> list[str]:
    """Names of the associations that the mappings write (raises DestinationError)."""
    steps = [paths.parse(path) for path in target.fields]
    named = [path[1:] for path in steps if path[0] == ASSOCIATIONS]
    if any(len(path) != 1 or not isinstance(path[0], str) for path in named):
        raise DestinationError(f"mappings: an association is {ASSOCIATIONS}.NAME, its value one id or a list of ids")
    return [str(path[0]) for path in named]


def link_of(name: str, labelled: HubSpotAssociation | None, labels: Iterable[Said]) -> Link:
    """The kind of association that a name stands for (raises DestinationError).

    Args:
        labels: the kinds that there are between the two objects.
    """
    wanted = labelled.label if labelled else None
    kinds = [each for each in labels if (each.get("label") or None) == wanted]
    if not kinds:
        known = ", ".join(sorted(str(each["label"]) for each in labels if each.get("label"))) or "none"
        missing = f"no association with label {wanted!r}; labels: {known}" if wanted else "no association without label"
        raise DestinationError(f"config.associations: {name}: HubSpot has {missing}")
    return Link(labelled.object if labelled else name, str(kinds[0]["category"]), int(kinds[0]["typeId"]))


def _is_read_only(described: Said) -> bool:
    metadata = described.get("modificationMetadata") or {}
    return bool(metadata.get("readOnlyValue") or described.get("calculated"))
