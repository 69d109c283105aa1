"""The OpenAPI 3.1 description of the public port, put together once."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from retl.rest.requests.documented import problem_schema

TITLE = "Reverse ETL Operator"
VERSIONED = "/v1"
"""Prefix under which the paths of /api/reverse-etl are served once more."""
_DESCRIPTION = """\
Syncs, runs and dead letters of a workspace, which is a Kubernetes namespace. Both dialects show and change the same
resources. The credential is a Kubernetes token or an API key; what it may do is what RBAC says."""
_METHODS = ("get", "put", "post", "delete", "patch")


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an app whose routes are declared by `documented.operation`."""
    document = get_openapi(
        title=TITLE,
        version=version("reverse-etl-operator"),
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = problem_schema()
    for operation in _operations(document):
        _hoist(operation, schemas)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"bearer": []}]
    for path, item in document["paths"].items():
        if path.startswith("/api/reverse-etl"):
            item["servers"] = [{"url": "/"}, {"url": VERSIONED}]
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in _METHODS if method in item)


def _hoist(value: Any, schemas: dict[str, Any]) -> None:
    """Move the definitions that a model's schema brings along to the components, where references find them."""
    if isinstance(value, list):
        for item in value:
            _hoist(item, schemas)
    if not isinstance(value, dict):
        return
    definitions = value.pop("$defs", None)
    if definitions:
        names = {name: _free(name, schema, schemas) for name, schema in definitions.items()}
        for name, schema in definitions.items():
            schemas[names[name]] = schema
            _refer(schema, names)
        _refer(value, names)
    for item in value.values():
        _hoist(item, schemas)


def _free(name: str, schema: Any, schemas: Mapping[str, Any]) -> str:
    """A name for a schema: its own, unless another schema has it."""
    number, free = 1, name
    while free in schemas and schemas[free] != schema:
        number += 1
        free = f"{name}{number}"
    return free


def _refer(value: Any, names: Mapping[str, str]) -> None:
    if isinstance(value, list):
        for item in value:
            _refer(item, names)
    if isinstance(value, dict):
        target = value.get("$ref", "")
        if isinstance(target, str) and target.startswith("#/$defs/"):
            value["$ref"] = f"#/components/schemas/{names[target.removeprefix('#/$defs/')]}"
        mapping = (
            value.get("discriminator", {}).get("mapping") if isinstance(value.get("discriminator"), dict) else None
        )
        if mapping:
            for key, target in mapping.items():
                mapping[key] = f"#/components/schemas/{names[target.removeprefix('#/$defs/')]}"
        for item in value.values():
            _refer(item, names)
