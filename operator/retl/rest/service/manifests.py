"""A sync as a manifest to commit: without what the API server, this program or another tool wrote into it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from retl.resources import GROUP
from retl.resources.fields import format_duration
from retl.resources.kinds import Manifest
from retl.resources.sync import ReverseETLSyncSpec

_FOREIGN = (
    GROUP,
    "kubectl.kubernetes.io",
    "argocd.argoproj.io",
    "kustomize.toolkit.fluxcd.io",
    "helm.toolkit.fluxcd.io",
    "meta.helm.sh",
    "app.kubernetes.io/managed-by",
)
"""Beginnings of labels and annotations that say who wrote an object; nobody commits them."""


def documents(manifests: Sequence[Manifest]) -> str:
    """Manifests as YAML, divided by `---`."""
    written = [committed(each) for each in manifests]
    return yaml.safe_dump_all(written, sort_keys=False, allow_unicode=True, explicit_start=len(written) > 1)


def committed(manifest: Manifest) -> Manifest:
    """A sync as people write it."""
    metadata = manifest["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    for field in ("labels", "annotations"):
        if own := {name: value for name, value in (metadata.get(field) or {}).items() if not _foreign(name)}:
            kept[field] = own
    head = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept}
    return head | {"spec": without_defaults(manifest.get("spec") or {})}


def without_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a sync without what says nothing: fields that have the value they have anyway."""
    return _spare(spec, ReverseETLSyncSpec)


def _spare(values: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    fields = _fields(model)
    kept: dict[str, Any] = {}
    for name, value in values.items():
        default, inner = fields.get(name, (_NONE, None))
        if inner is not None and isinstance(value, list):
            value = [_spare(each, inner) if isinstance(each, dict) else each for each in value]
        elif inner is not None and isinstance(value, dict):
            value = _spare(value, inner)
        if type(value) is not type(default) or value != default:
            kept[name] = value
    return kept


_NONE = object()
"""In the place of a default, where there is none."""


@cache
def _fields(model: type[BaseModel]) -> dict[str, tuple[Any, type[BaseModel] | None]]:
    """By the names that manifests have, each with its default as they write it and the model of its value or items."""
    fields = model.model_fields.items()
    return {field.alias or name: (_default(field), _model_in(field.annotation)) for name, field in fields}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return _NONE
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return {}
    return format_duration(default) if isinstance(default, timedelta) else default


def _foreign(name: str) -> bool:
    prefix = name.partition("/")[0]
    return any(name == each or prefix == each or prefix.endswith(f".{each}") for each in _FOREIGN)
