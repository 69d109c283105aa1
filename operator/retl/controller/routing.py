"""Whom a change concerns: the object itself, and those whose decision depends on it."""

from collections.abc import Iterator

from retl.controller.cache import Cache
from retl.controller.kinds import DESTINATION, JOB, MODEL, POD, RUN, RUN_LABEL, SOURCE, SYNC, Key, Manifest
from retl.resources.run import TERMINAL


def concerned(cache: Cache, key: Key, before: Manifest | None, now: Manifest | None) -> Iterator[Key]:
    """Keys to look at after an object went from `before` to `now` (None: it was not there, or is gone)."""
    latest = now or before
    assert latest is not None
    if key.kind in (JOB, POD):
        run = (latest["metadata"].get("labels") or {}).get(RUN_LABEL)
        if run:
            yield Key(RUN, key.namespace, run)
        return
    if now is not None:
        yield key
    if key.kind == RUN:
        sync = ((latest.get("spec") or {}).get("syncRef") or {}).get("name")
        if sync:
            yield Key(SYNC, key.namespace, sync)
    elif key.kind == SYNC:
        yield from _unfinished_runs(cache, key)
        yield from cache.dependencies.dependents(key)
    elif _means_something_else(before, now):
        yield from _dependents(cache, key)


def _unfinished_runs(cache: Cache, sync: Key) -> Iterator[Key]:
    for run in cache.children(RUN, sync.namespace, sync.name):
        if run["status"].get("phase") not in TERMINAL:
            yield Key.of(RUN, run)


def _means_something_else(before: Manifest | None, now: Manifest | None) -> bool:
    """Whether more than the status has changed."""
    if before is None or now is None:
        return True
    return bool(before["spec"] != now["spec"] or before["metadata"]["uid"] != now["metadata"]["uid"])


def _dependents(cache: Cache, key: Key) -> Iterator[Key]:
    """Models of a source, and the syncs that name a connection or model, directly or through a model."""
    models: set[str] = {key.name} if key.kind == MODEL else set()
    if key.kind == SOURCE:
        for model in cache.keys(MODEL, key.namespace):
            if _refers(cache, model, "sourceRef", key.name):
                models.add(model.name)
                yield model
    for sync in cache.keys(SYNC, key.namespace):
        spec = (cache.get(sync) or {}).get("spec") or {}
        query = spec.get("query") or {}
        named = {DESTINATION: _name(spec, "destinationRef"), SOURCE: _name(query, "sourceRef")}
        if named.get(key.kind) == key.name or _name(spec, "modelRef") in models:
            yield sync


def _refers(cache: Cache, key: Key, field: str, name: str) -> bool:
    spec: Manifest = (cache.get(key) or {}).get("spec") or {}
    return _name(spec, field) == name


def _name(spec: Manifest, field: str) -> str:
    return str((spec.get(field) or {}).get("name", ""))
