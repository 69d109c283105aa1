"""JSON schemas for kubeconform out of what a real API server says of itself (`/openapi/v3`), CRDs included.

One file a kind, named as kubeconform looks for it. An object may have no field that the server does not know: the API
server drops such fields in silence, and a chart that has one does not do what it says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.kubectl import Kubectl

LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"


def write_schemas(kubectl: Kubectl, directory: Path) -> str:
    """Write the schema of every kind of the cluster; what kubeconform is to be given as -schema-location."""
    for path in json.loads(kubectl("get", "--raw", "/openapi/v3"))["paths"]:
        if path.count("/") in (1, 2) and "v" in path.rpartition("/")[2]:
            _write_group(json.loads(kubectl("get", "--raw", f"/openapi/v3/{path}")), directory)
    return str(directory / LOCATION)


def _write_group(document: dict[str, Any], directory: Path) -> None:
    schemas: dict[str, Any] = document.get("components", {}).get("schemas", {})
    for schema in schemas.values():
        _close(schema)
    for name, schema in schemas.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].split(".")[0]
            file = "-".join(part for part in (kind["kind"].lower(), group, kind["version"]) if part) + ".json"
            text = json.dumps({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})
            (directory / file).write_text(text)


def _close(schema: Any) -> None:
    """No further fields where the fields are known, at every depth."""
    if isinstance(schema, list):
        for item in schema:
            _close(item)
    if not isinstance(schema, dict):
        return
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        schema["additionalProperties"] = False
    for value in schema.values():
        _close(value)
