"""An API server in memory, as far as the controller, the Job controller and people use one.

It keeps what the real one promises: one version counter, preconditions, the status subresource, generations, uids that
are never used twice, deletion in the foreground and in the background, a garbage collector, and a log of events that a
watch can go on from until it is compacted. Manifests are never changed in place, so everyone may hold on to them.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retl.apiserver.endpoints import JOB, POD
from retl.controller.kinds import RESOURCES, Key
from retl.resources.kinds import Manifest

Now = Callable[[], datetime]
_FOREGROUND = "foregroundDeletion"


class Refusal(Exception):
    """An answer other than 2xx.

    Attributes:
        status: HTTP status.
        reason: the API server's word.
        cause: of a refused creation, such as NamespaceTerminating.
    """

    def __init__(self, status: int, reason: str, message: str = "", cause: str = "") -> None:
        super().__init__(message or reason)
        self.status = status
        self.reason = reason
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log that watches read.

    Attributes:
        by: who asked for it: a controller's name, `person`, `jobs`, `nodes`, `gc`.
        before: None when the object was created.
    """

    version: int
    type: str
    key: Key
    manifest: Manifest
    before: Manifest | None
    by: str


class ApiServer:
    """Objects by kind, namespace and name."""

    def __init__(self, now: Now, rng: random.Random) -> None:
        self.now = now
        self._rng = rng
        self._version = 100
        self._objects: dict[str, dict[Key, Manifest]] = defaultdict(dict)
        self.log: dict[str, list[Change]] = defaultdict(list)
        self._compacted: dict[str, int] = defaultdict(int)
        self.terminating: set[str] = set()
        self.observers: list[Callable[[Change], None]] = []
        """Called at once with every change, in order: the judge, watches, the Job controller."""

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def find(self, key: Key) -> Manifest | None:
        """The object, if it is there."""
        return self._objects[key.kind].get(key)

    def all(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Manifest]:
        """Objects of a kind, by name."""
        wanted = _wanted(selector)
        found = self._objects[kind]
        return [found[key] for key in sorted(found) if namespace in (None, key.namespace) and _has(found[key], wanted)]

    def since(self, kind: str, version: int) -> list[Change]:
        """The log after a version (refuses what was compacted)."""
        if version < self._compacted[kind]:
            raise Refusal(410, "Expired", f"too old resource version: {version} ({self._compacted[kind]})")
        log = self.log[kind]
        start = len(log)
        while start and log[start - 1].version > version:
            start -= 1
        return log[start:]

    def compact(self) -> None:
        """Forget the past: whoever is not up to date must list again."""
        for kind, log in self.log.items():
            self._compacted[kind] = self._version
            log.clear()

    def create(self, kind: str, manifest: Manifest, by: str) -> Manifest:
        """Create an object (refuses a taken name, and anything in a namespace that is going away)."""
        metadata = dict(manifest["metadata"])
        if "generateName" in metadata and not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + f"{self._rng.getrandbits(20):05x}"
        key = Key(kind, metadata["namespace"], metadata["name"])
        if key.namespace in self.terminating:
            raise Refusal(403, "Forbidden", f"namespace {key.namespace} is being terminated", "NamespaceTerminating")
        if self.find(key):
            raise Refusal(409, "AlreadyExists", f"{key} already exists")
        if kind in (JOB, *RESOURCES) and len(key.name) > 63:
            raise Refusal(422, "Invalid", f"{key}: must be no more than 63 characters")
        metadata |= {
            "uid": f"{self._rng.getrandbits(64):016x}",
            "generation": 1,
            "creationTimestamp": f"{self.now():%FT%TZ}",
        }
        status = {} if kind in RESOURCES else manifest.get("status", {})
        return self._store("ADDED", key, {**manifest, "metadata": metadata, "status": status}, None, by)

    def put_status(self, key: Key, body: Manifest, by: str) -> Manifest:
        """Replace the status; whatever else the body says is ignored."""
        standing = self._checked(key, body["metadata"])
        return self._update(key, standing, {**standing, "status": body.get("status") or {}}, by)

    def replace(self, key: Key, body: Manifest, by: str) -> Manifest:
        """Replace an object that has no status."""
        standing = self._checked(key, body["metadata"])
        return self._update(key, standing, {**standing, "spec": body["spec"]}, by)

    def edit(self, key: Key, change: Callable[[Manifest], Manifest], by: str) -> Manifest:
        """Change an object whatever version it has; a change of its spec counts as a generation."""
        standing = self.find(key)
        if standing is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        changed = change(standing)
        if changed.get("spec") != standing.get("spec"):
            generation = standing["metadata"]["generation"] + 1
            changed = {**changed, "metadata": {**changed["metadata"], "generation": generation}}
        return self._update(key, standing, changed, by)

    def delete(self, key: Key, by: str, uid: str | None = None, propagation: str = "Background") -> None:
        """Delete an object: at once, or once its children and finalizers are gone."""
        standing = self.find(key)
        if standing is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        if uid is not None and standing["metadata"]["uid"] != uid:
            raise Refusal(409, "Conflict", f"{key}: the uid is another one")
        if "deletionTimestamp" in standing["metadata"]:
            return
        grace = timedelta(seconds=standing.get("spec", {}).get("terminationGracePeriodSeconds", 0))
        metadata = {**standing["metadata"], "deletionTimestamp": f"{self.now() + grace:%FT%TZ}"}
        if propagation == "Foreground":
            metadata["finalizers"] = [*metadata.get("finalizers", []), _FOREGROUND]
        if metadata.get("finalizers"):
            self._update(key, standing, {**standing, "metadata": metadata}, by)
        else:
            self._drop(key, standing, by)

    def children(self, uid: str) -> Iterator[tuple[Key, Manifest]]:
        """Objects that name this one as their owner."""
        for found in list(self._objects.values()):
            for key in sorted(found):
                owners = found[key]["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == uid for owner in owners):
                    yield key, found[key]

    def collect_garbage(self) -> None:
        """One round of the garbage collector: children without owner go, and owners that waited for their children."""
        uids = {m["metadata"]["uid"] for found in self._objects.values() for m in found.values()}
        for found in list(self._objects.values()):
            for key in sorted(found):
                if key in found:
                    self._collect(key, found[key], uids)

    def _collect(self, key: Key, manifest: Manifest, uids: set[str]) -> None:
        metadata = manifest["metadata"]
        owners = metadata.get("ownerReferences") or []
        if owners and not any(owner["uid"] in uids for owner in owners):
            self.delete(key, "gc", propagation="Background")
        elif _FOREGROUND in metadata.get("finalizers", []):
            children = list(self.children(metadata["uid"]))
            for child, _ in children:
                self.delete(child, "gc", propagation="Foreground" if child.kind != POD else "Background")
            if not children:
                self.release(key, _FOREGROUND, "gc")

    def release(self, key: Key, finalizer: str, by: str) -> None:
        """Take a finalizer off; an object that was only waiting for that is gone."""
        standing = self.find(key)
        if standing is None or finalizer not in standing["metadata"].get("finalizers", []):
            return
        left = [name for name in standing["metadata"]["finalizers"] if name != finalizer]
        changed = {**standing, "metadata": {**standing["metadata"], "finalizers": left}}
        if left or "deletionTimestamp" not in changed["metadata"]:
            self._update(key, standing, changed, by)
        else:
            self._drop(key, changed, by)

    def _checked(self, key: Key, metadata: Mapping[str, Any]) -> Manifest:
        standing = self.find(key)
        if standing is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        for field in ("uid", "resourceVersion"):
            if metadata.get(field) not in (None, standing["metadata"][field]):
                raise Refusal(409, "Conflict", f"{key}: the object has been modified")
        return standing

    def _update(self, key: Key, before: Manifest, after: Manifest, by: str) -> Manifest:
        if after == before:
            return before  # no change, no new version
        return self._store("MODIFIED", key, after, before, by)

    def _store(self, type: str, key: Key, manifest: Manifest, before: Manifest | None, by: str) -> Manifest:
        stored = self._versioned(manifest)
        self._objects[key.kind][key] = stored
        self._tell(Change(self._version, type, key, stored, before, by))
        return stored

    def _drop(self, key: Key, manifest: Manifest, by: str) -> None:
        del self._objects[key.kind][key]
        self._tell(Change(self._version + 1, "DELETED", key, self._versioned(manifest), manifest, by))

    def _versioned(self, manifest: Manifest) -> Manifest:
        self._version += 1
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self._version)}}

    def _tell(self, change: Change) -> None:
        self.log[change.key.kind].append(change)
        for observer in self.observers:
            observer(change)


def _wanted(selector: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in selector.split(",") if part)
    return [(name, value) for name, _, value in pairs]


def _has(manifest: Manifest, wanted: list[tuple[str, str]]) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return all(name in labels and value in ("", labels[name]) for name, value in wanted)


def selected(manifest: Manifest, selector: str) -> bool:
    """Whether a label selector (`a=b,c`) takes an object."""
    return _has(manifest, _wanted(selector))
