"""What a CustomResourceDefinition refuses or forgets of what an older one of the same version took.

Objects that are stored, and files in Git, go on working when the operator is upgraded: a version of a kind grows by
optional fields, further words of an enum and wider bounds, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_AT_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
_THE_SAME = (
    *("type", "format", "pattern", "default", "x-kubernetes-int-or-string"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields"),
)
_NAMES = ("kind", "listKind", "plural", "singular")


def broken(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Promises of the older CRD that the newer one breaks, each with its place; none is what a release needs."""
    return list(_definition(old["spec"], new["spec"]))


def _definition(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for what, before, after in (
        ("group", old["group"], new["group"]),
        ("scope", old["scope"], new["scope"]),
        *((f"names.{name}", old["names"].get(name), new["names"].get(name)) for name in _NAMES),
    ):
        if before != after:
            yield f"{what}: was {before}, is {after}"
    for name in set(old["names"].get("shortNames", [])) - set(new["names"].get("shortNames", [])):
        yield f"names.shortNames: {name} is gone"
    versions = {version["name"]: version for version in new["versions"]}
    for before in old["versions"]:
        after = versions.get(before["name"])
        if after is None or (before["served"] and not after["served"]):
            yield f"{before['name']}: is not served any more"
            continue
        for subresource in before.get("subresources", {}).keys() - after.get("subresources", {}).keys():
            yield f"{before['name']}: subresource {subresource} is gone"
        fields = [[each["jsonPath"] for each in of.get("selectableFields", [])] for of in (before, after)]
        for field in set(fields[0]) - set(fields[1]):
            yield f"{before['name']}: field selector {field} is gone"
        yield from _schema(before["schema"]["openAPIV3Schema"], after["schema"]["openAPIV3Schema"], before["name"])


def _schema(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for word in _THE_SAME:
        if old.get(word) != new.get(word):
            yield f"{place}: {word} was {old.get(word)}, is {new.get(word)}"
    if old.get("nullable") and not new.get("nullable"):
        yield f"{place}: may not be null any more"
    yield from _bounds(old, new, place)
    rules = {rule["rule"] for rule in old.get("x-kubernetes-validations", [])}
    for rule in new.get("x-kubernetes-validations", []):
        if rule["rule"] not in rules:
            yield f"{place}: has a new rule: {rule['rule']}"
    for name in new.get("required", []):
        if name not in old.get("required", []):
            yield f"{place}.{name}: has become required"
    for name, field in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _schema(field, new["properties"][name], f"{place}.{name}")
        else:
            yield f"{place}.{name}: is gone"
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), Mapping) and isinstance(new.get(inner), Mapping):
            yield from _schema(old[inner], new[inner], f"{place}.{inner}")
        elif old.get(inner) != new.get(inner):
            yield f"{place}: {inner} was {old.get(inner)}, is {new.get(inner)}"
    for choice in ("oneOf", "anyOf", "allOf", "not"):
        if old.get(choice) != new.get(choice):
            yield f"{place}: {choice} is another one"


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for word, sign in (*((word, 1) for word in _AT_LEAST), *((word, -1) for word in _AT_MOST)):
        before, after = old.get(word), new.get(word)
        if after is not None and (before is None or sign * after > sign * before):
            yield f"{place}: {word} was {before}, is {after}"
    if "enum" in new:
        if "enum" not in old:
            yield f"{place}: takes only certain words now"
        for word in old.get("enum", []):
            if word not in new["enum"]:
                yield f"{place}: does not take {word} any more"
