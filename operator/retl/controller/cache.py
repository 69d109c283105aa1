"""What the API server said last, slimmed, by kind, namespace and name.

It is filled by LISTs and kept by watch events and by the answers to the controller's own writes. Everything in it has
an order that only depends on what it was told, so that a simulated run can be repeated exactly.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable

from retl.apiserver.endpoints import POD
from retl.controller.facts import controller_uid
from retl.controller.kinds import Key, references, slim
from retl.controller.syncs.dependencies import named
from retl.resources.kinds import MODEL, RUN, SYNC, Manifest
from retl.resources.marks import CHECK_LABEL, RUN_LABEL
from retl.schedule.dependencies import Dependencies

_GRAVES = 10_000
"""Deletions that are remembered, to tell "deleted" from "not created yet"."""
_LAST_WORDS = 1_000
"""Runs whose deleted pods are remembered: a pod that is cancelled says its result and is gone at once."""

Changed = Callable[[Key, Manifest | None, Manifest | None], None]
"""Told of (key, object before, object now)."""


class Cache:
    """The newest known version of each object."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self.dependencies = Dependencies[Key]()
        self._objects: dict[Key, Manifest] = {}
        self._kinds: dict[tuple[str, str], dict[Key, None]] = defaultdict(dict)
        self._groups: dict[tuple[str, str, str], dict[Key, None]] = defaultdict(dict)
        self._referrers: dict[Key, dict[Key, None]] = defaultdict(dict)
        self._graves: OrderedDict[Key, tuple[str, str]] = OrderedDict()
        self._last_words: OrderedDict[tuple[str, str, str], list[Manifest]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Manifest | None:
        """The object, if it is known."""
        return self._objects.get(key)

    def keys(self, kind: str, namespace: str | None = None) -> list[Key]:
        """All known objects of a kind, in one namespace or in all."""
        if namespace is not None:
            return list(self._kinds.get((kind, namespace), ()))
        return [key for (of, _), keys in self._kinds.items() if of == kind for key in keys]

    def children(self, kind: str, namespace: str, parent: str) -> list[Manifest]:
        """SyncRuns of a sync by its name; Jobs or pods, gone ones too, of a run by its name, of checks by their uid."""
        group = (kind, namespace, parent)
        return [self._objects[key] for key in self._groups.get(group, ())] + self._last_words.get(group, [])

    def referrers(self, key: Key) -> list[Key]:
        """Syncs and models whose spec names the object, whether it is there or not."""
        return list(self._referrers.get(key, ()))

    def was_deleted(self, key: Key, uid: str | None = None, *, of: str | None = None) -> bool:
        """Whether an object of this name (with this uid, controlled by the object of that uid) was seen and is gone."""
        buried, controller = self._graves.get(key, (None, None))
        return buried is not None and uid in (None, buried) and of in (None, controller)

    def put(self, kind: str, manifest: Manifest) -> None:
        """Take in a version of an object, unless a newer one is known or it is already gone."""
        key, now = Key.of(kind, manifest), slim(kind, manifest)
        before = self._objects.get(key)
        if self.was_deleted(key, now["metadata"]["uid"]) or (before is not None and not _newer(now, before)):
            return
        if before is not None and "spec" in now and now["spec"] == before["spec"]:
            now["spec"] = before["spec"]  # the same object: who has read it need not read it again
        self._store(key, now)
        self._changed(key, before, now)

    def remove(self, kind: str, manifest: Manifest) -> None:
        """Take note that an object is gone."""
        key, uid = Key.of(kind, manifest), manifest["metadata"]["uid"]
        before = self._objects.get(key)
        if before is not None and before["metadata"]["uid"] != uid:
            return  # another object has taken the name since
        self._bury(key, kind, manifest)
        if before is not None:
            self._drop(key)
        self._changed(key, before or slim(kind, manifest), None)

    def retain(self, kind: str, namespace: str | None, listed: Iterable[Key], version: str) -> None:
        """Drop what a complete LIST of that version no longer has."""
        present = set(listed)
        for key in self.keys(kind, namespace):
            if key not in present and int(self._objects[key]["metadata"]["resourceVersion"]) <= int(version):
                self.remove(kind, self._objects[key])

    def _bury(self, key: Key, kind: str, manifest: Manifest) -> None:
        self._graves[key] = manifest["metadata"]["uid"], controller_uid(manifest)
        while len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)
        group = _parent(key, manifest)
        if kind == POD and group:
            known = self._last_words.setdefault(group, [])
            if CHECK_LABEL in (manifest["metadata"].get("labels") or {}):
                known.clear()  # a connection is checked for as long as it is there
            known.append(slim(kind, manifest))
            while len(self._last_words) > _LAST_WORDS:
                self._last_words.popitem(last=False)

    def _store(self, key: Key, manifest: Manifest) -> None:
        self._refer(key, self._objects.get(key), manifest)
        self._kinds[key.kind, key.namespace][key] = None
        if parent := _parent(key, manifest):
            self._groups[parent][key] = None
        self._objects[key] = manifest
        if key.kind == SYNC:
            self.dependencies.note(key, named(key, manifest))

    def _drop(self, key: Key) -> None:
        manifest = self._objects.pop(key)
        self._refer(key, manifest, None)
        if key.kind == SYNC:
            self.dependencies.note(key, ())
        self._kinds[key.kind, key.namespace].pop(key, None)
        if parent := _parent(key, manifest):
            self._groups[parent].pop(key, None)
            if not self._groups[parent]:
                del self._groups[parent]

    def _refer(self, key: Key, before: Manifest | None, now: Manifest | None) -> None:
        """Keep the index of references; most changes are of a status and leave it alone."""
        if key.kind not in (SYNC, MODEL) or (before and now and before["spec"] is now["spec"]):
            return
        for manifest in (before, now):
            for kind, name in references(manifest["spec"]) if manifest else ():
                referred = Key(kind, key.namespace, name)
                if manifest is now:
                    self._referrers[referred][key] = None
                elif referrers := self._referrers.get(referred):
                    referrers.pop(key, None)
                    if not referrers:
                        del self._referrers[referred]


def _newer(now: Manifest, before: Manifest) -> bool:
    """Resource versions of one kind can be compared as numbers (guaranteed since Kubernetes 1.35, true before)."""
    return int(now["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


def _parent(key: Key, manifest: Manifest) -> tuple[str, str, str] | None:
    if key.kind == RUN:
        name = ((manifest.get("spec") or {}).get("syncRef") or {}).get("name")
    else:
        labels = manifest["metadata"].get("labels") or {}
        name = labels.get(RUN_LABEL) or labels.get(CHECK_LABEL)
    return (key.kind, key.namespace, name) if name else None
