"""The OpenAPI 3.1 description of the public port, put together once."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from retl.rest.requests.documented import problem_schema

TITLE = "Reverse ETL Operator"
VERSIONED = "/v1"
"""Prefix under which the paths of /api/reverse-etl are served once more."""
_DESCRIPTION = """\
Syncs, runs and dead letters of a workspace, which is a Kubernetes namespace. Both dialects show and change the same
resources. The credential is a Kubernetes token or an API key; what it may do is what RBAC says."""
_LOCAL = "#/$defs/"
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
    _put_examples(document, app)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = problem_schema()
    shared = _Components(schemas)
    for operation in _operations(document):
        shared.hoist(operation)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"bearer": []}]
    for path, item in document["paths"].items():
        if path.startswith("/api/reverse-etl"):
            item["servers"] = [{"url": "/"}, {"url": VERSIONED}]
    return document


def _put_examples(document: Mapping[str, Any], app: FastAPI) -> None:
    """Put examples of answers as they are declared: FastAPI leaves out of them whatever is null."""
    for route in iter_route_contexts(app.routes):
        item = document["paths"].get(route.path_format, {})
        if not item or not isinstance(route.original_route, APIRoute):
            continue
        for method in route.methods or ():
            answers = item[method.lower()]["responses"]
            for status, declared in route.original_route.responses.items():
                for media, content in declared.get("content", {}).items():
                    if "example" in content:
                        answers[str(status)]["content"][media]["example"] = content["example"]


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in _METHODS if method in item)


class _Components:
    """Schemas that several operations refer to, each by a name of its own."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self._origins: dict[str, str] = {}

    def hoist(self, value: Any) -> None:
        """Move the definitions that a model's schema brings along to here, where references find them."""
        if isinstance(value, dict) and (definitions := value.pop("$defs", None)):
            names = {name: self._name(name, definitions) for name in definitions}
            for name, schema in definitions.items():
                _refer(schema, names)
                self._schemas[names[name]] = schema
            _refer(value, names)
        for item in _inside(value):
            self.hoist(item)

    def _name(self, name: str, definitions: Mapping[str, Any]) -> str:
        """The definition's own name, or with a number if another one has it that is not the same."""
        origin = json.dumps(_reachable(name, definitions), sort_keys=True)
        number, free = 1, name
        while self._origins.setdefault(free, origin) != origin:
            number += 1
            free = f"{name}{number}"
        return free


def _reachable(name: str, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A definition with all that it refers to."""
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        if (each := waiting.pop()) not in found:
            found[each] = definitions[each]
            waiting += [target.removeprefix(_LOCAL) for target in _targets(definitions[each])]
    return found


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(_LOCAL):
        yield value
    for item in _inside(value):
        yield from _targets(item)


def _refer(value: Any, names: Mapping[str, str]) -> None:
    """Let references within a schema, and those of a discriminator, lead to the components."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and item.startswith(_LOCAL):
                value[key] = f"#/components/schemas/{names[item.removeprefix(_LOCAL)]}"
    for item in _inside(value):
        _refer(item, names)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
