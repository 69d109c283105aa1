"""A model's JSON schema in the form that Kubernetes calls structural.

References are inlined, `X | None` becomes an optional X (the API server drops nulls), titles and
`additionalProperties: false` go (unknown fields are refused or pruned anyway). Defaults stay in spec, so that
`kubectl get -o yaml` shows what holds; status has none, because only what the controller knows may stand there.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from retl.resources.fields import format_duration
from retl.resources.meta import Resource
from retl.resources.rules import merged

Schema = dict[str, Any]

LIST_KEYS = {"mappings": ["destination"], "conditions": ["type"]}
"""Lists whose items have an identity, so that server-side apply merges them item by item; others are replaced whole."""

_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "x-kubernetes-int-or-string",
    "x-kubernetes-validations",
)


class JsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with durations as people write them."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def structural(kind: type[Resource]) -> Schema:
    """The `openAPIV3Schema` of a kind."""
    source = kind.model_json_schema(schema_generator=JsonSchema)
    definitions = source.get("$defs", {})
    properties = source["properties"]
    return {
        "type": "object",
        "description": _sentence(kind.__doc__ or ""),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _convert("spec", properties["spec"], definitions, defaults=True),
            "status": _convert("status", properties["status"], definitions, defaults=False),
        },
    }


def _convert(name: str, source: Mapping[str, Any], definitions: Mapping[str, Any], *, defaults: bool) -> Schema:
    schema = _inline(source, definitions)
    result: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "description" in result:
        result["description"] = _sentence(result["description"])
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if schema.get("type") == "array":
        result |= _list_type(name)
        result["items"] = _convert("", schema["items"], definitions, defaults=defaults)
        if "description" in result:
            result["items"].pop("description", None)  # `kubectl explain` would print both
    elif schema.get("type") == "object":
        result |= _object(schema, definitions, defaults=defaults)
    return result | (_default(schema, result) if defaults else {})


def _inline(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Follow a reference, and unwrap `X | None`; what stands beside them wins over what they point at."""
    beside = {key: value for key, value in source.items() if key not in ("$ref", "anyOf")}
    if "$ref" in source:
        return merged(_inline(definitions[source["$ref"].rpartition("/")[2]], definitions), beside)
    if "anyOf" in source:
        (only,) = (option for option in source["anyOf"] if option != {"type": "null"})
        return merged(_inline(only, definitions), beside)
    return dict(source)


def _list_type(name: str) -> Schema:
    keys = LIST_KEYS.get(name)
    if keys is None:
        return {"x-kubernetes-list-type": "atomic"}
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any], *, defaults: bool) -> Schema:
    if "properties" not in schema:
        return {"x-kubernetes-preserve-unknown-fields": True}
    properties = {
        field: _convert(field, value, definitions, defaults=defaults) for field, value in schema["properties"].items()
    }
    required = schema.get("required")
    return {**({"required": required} if required else {}), "properties": properties}


def _default(source: Mapping[str, Any], result: Schema) -> Schema:
    """The default that the API server fills in; an object's is empty, and its fields bring their own.

    None, false and "" mean the same as an absent field; writing them into each object would only be noise.
    """
    default = source.get("default")
    if isinstance(default, dict):
        return {"default": {}} if any("default" in p for p in result.get("properties", {}).values()) else {}
    return {} if default is None or default is False or default == "" else {"default": default}


def _sentence(text: str) -> str:
    return " ".join(text.split())
