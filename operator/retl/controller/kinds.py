"""The kinds that the controller reads, and how a key of the cache and the queue names one object."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from retl.resources import GROUP, KINDS, VERSION

Manifest = dict[str, Any]
"""An object as the API server gives it."""


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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a kind lives in the API."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection (all namespaces when None), an object, or a subresource of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return "/".join([f"{root}{scope}/{self.plural}", *(part for part in (name, subresource) if part)])


RESOURCES = tuple(KINDS)
SYNC, RUN, SOURCE, MODEL, DESTINATION = "ReverseETLSync", "SyncRun", "SyncSource", "SyncModel", "SyncDestination"
JOB, POD, SECRET, LEASE, EVENT = "Job", "Pod", "Secret", "Lease", "Event"

ENDPOINTS = {kind: Endpoint(GROUP, VERSION, model.plural) for kind, model in KINDS.items()} | {
    JOB: Endpoint("batch", "v1", "jobs"),
    POD: Endpoint("", "v1", "pods"),
    SECRET: Endpoint("", "v1", "secrets"),
    LEASE: Endpoint("coordination.k8s.io", "v1", "leases"),
    EVENT: Endpoint("events.k8s.io", "v1", "events"),
}

SYNC_LABEL = f"{GROUP}/sync"
RUN_LABEL = f"{GROUP}/run"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "reverse-etl-operator"
CHECK_LABEL = f"{GROUP}/check"
"""On the Job of a check and on its pod: the uid of the SyncSource or SyncDestination."""
PINNED_LABEL = f"{GROUP}/pinned"
"""On a SyncRun that history limits leave alone, with the value `true`."""
CHECK_REQUESTED = f"{GROUP}/check-requested-at"
"""Annotation on a connection: any new value asks for a check."""
KUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")
"""Labels that a Job takes over from its SyncRun, else from its sync; the only ones."""
OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
"""Label selector of the Jobs and pods that the controller made."""


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
    asked = (manifest["metadata"].get("annotations") or {}).get(CHECK_REQUESTED)
    if asked is not None:
        metadata["annotations"] = {CHECK_REQUESTED: asked}
    kept = {"metadata": metadata, "status": manifest.get("status") or {}}
    if kind in RESOURCES:
        kept |= {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "spec": manifest.get("spec")}
    return kept
