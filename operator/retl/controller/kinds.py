"""The kinds that the controller reads, and how a key of the cache and the queue names one object."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from retl.resources import GROUP, KINDS, VERSION
from retl.resources.kinds import DESTINATION, MODEL, SOURCE, Manifest
from retl.resources.marks import CHECK_REQUESTED, MAX_AGE, TRIGGERED_BY

RESOURCES = tuple(KINDS)
_READ = (CHECK_REQUESTED, MAX_AGE, TRIGGERED_BY)
"""The annotations that are kept of an object."""


class Key(NamedTuple):
    """One object."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, kind: str, manifest: Manifest) -> "Key":
        return cls(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def references(spec: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of each connection and model, of the same namespace, that the spec of a sync or model names.

    Args:
        spec: as the API server gives it; one that was written past our schema names what can be made out.
    """
    if not isinstance(spec, dict):
        return
    query = spec.get("query")
    named = [(MODEL, spec.get("modelRef")), (DESTINATION, spec.get("destinationRef")), (SOURCE, spec.get("sourceRef"))]
    if isinstance(query, dict):
        named.append((SOURCE, query.get("sourceRef")))
    for of, ref in named:
        if isinstance(ref, dict) and isinstance(ref.get("name"), str):
            yield of, ref["name"]


def slim(kind: str, manifest: Manifest) -> Manifest:
    """An object without what nobody here reads: most of a Job or pod, and the bookkeeping in everyone's metadata."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in ("managedFields", "annotations", "selfLink")}
    annotations = manifest["metadata"].get("annotations") or {}
    if told := {name: annotations[name] for name in _READ if name in annotations}:
        metadata["annotations"] = told
    kept = {"metadata": metadata, "status": manifest.get("status") or {}}
    if kind in RESOURCES:
        kept |= {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "spec": manifest.get("spec")}
    return kept
