"""Whom a change concerns: the object itself, and those whose decision depends on it."""

from collections.abc import Iterator
from typing import Any

from retl.apiserver.endpoints import JOB, POD
from retl.controller.cache import Cache
from retl.controller.facts import PodFacts
from retl.controller.kinds import Key, references
from retl.controller.runs.starting import ON_ITS_WAY
from retl.resources.kinds import DESTINATION, MODEL, RUN, SOURCE, SYNC, Manifest
from retl.resources.marks import CHECK_LABEL, RUN_LABEL
from retl.resources.run import TERMINAL


def concerned(cache: Cache, key: Key, before: Manifest | None, now: Manifest | None) -> Iterator[Key]:
    """Keys to look at after an object went from `before` to `now` (None: it was not there, or is gone)."""
    latest = now or before
    assert latest is not None
    if key.kind in (JOB, POD):
        yield from _owner(cache, key, latest)
        return
    if now is not None and not (before is None and _is_over(key, now)):
        yield key
    if key.kind == RUN:
        yield from _sync_and_destination(cache, key, before if now else None, latest)
    elif key.kind == SYNC:
        yield from _unfinished_runs(cache, key)
        yield from _checked_for(key, before, now)
        yield from cache.dependencies.dependents(key)
    elif key.kind == MODEL:
        yield from _checked_for(key, before, now)
    elif key.kind == DESTINATION:
        yield from _newly_admitted(key, before, now)
    if key.kind not in (RUN, SYNC) and _means_something_else(before, now):
        yield from _dependents(cache, key)


def only_to_be_noted(cache: Cache, concerned: Key, key: Key, before: Manifest | None, now: Manifest | None) -> bool:
    """Whether a change asks nothing of whom it concerns but to write it down, which has no deadline."""
    if now is None or "deletionTimestamp" in now["metadata"]:
        return False
    if key.kind in (JOB, POD):
        return _goes_its_way(key, now)
    if concerned.kind != SYNC:
        return False
    if key.kind == RUN:
        return now["status"].get("phase") not in (*TERMINAL, "AwaitingApproval") and _holder(cache, concerned) == key
    same = concerned == key and before is not None and before["spec"] == now["spec"]
    return same and _holder(cache, concerned) is not None


def _goes_its_way(key: Key, now: Manifest) -> bool:
    """Whether all there is to say of a Job or pod is that it is there."""
    if key.kind == JOB:
        return not now["status"].get("conditions")
    pod = PodFacts.read(now)
    return not pod.ended and (pod.waiting is None or pod.waiting[0] in ON_ITS_WAY)


def _holder(cache: Cache, sync: Key) -> Key | None:
    """The run for which a sync is reserved."""
    active = ((cache.get(sync) or {}).get("status") or {}).get("activeRun")
    return Key(RUN, sync.namespace, active.get("name", "")) if active else None


def _owner(cache: Cache, key: Key, manifest: Manifest) -> Iterator[Key]:
    """The run of a Job or pod, or the connection that it checks."""
    labels = manifest["metadata"].get("labels") or {}
    if run := labels.get(RUN_LABEL):
        yield Key(RUN, key.namespace, run)
    if uid := labels.get(CHECK_LABEL):
        for kind in (SOURCE, DESTINATION):
            for connection in cache.keys(kind, key.namespace):
                if (cache.get(connection) or {})["metadata"]["uid"] == uid:
                    yield connection


def _is_over(key: Key, manifest: Manifest) -> bool:
    """A run that had ended before it was seen for the first time: there is nothing to be done about it."""
    return key.kind == RUN and manifest["status"].get("phase") in TERMINAL


def _sync_and_destination(cache: Cache, key: Key, before: Manifest | None, run: Manifest) -> Iterator[Key]:
    """Who counts a run: its sync, and a destination that lets only so many go on at the same time."""
    name = ((run.get("spec") or {}).get("syncRef") or {}).get("name")
    if not name:
        return
    sync = Key(SYNC, key.namespace, name)
    if before is None or _standing(before) != _standing(run):
        yield sync
    spec = (cache.get(sync) or {}).get("spec") or {}
    destination = Key(DESTINATION, key.namespace, str((spec.get("destinationRef") or {}).get("name")))
    if ((cache.get(destination) or {}).get("spec") or {}).get("maxConcurrentRuns"):
        yield destination


def _standing(run: Manifest) -> tuple[Any, ...]:
    """What of a run makes a difference to its sync: not that it waits, or starts, or how far it is."""
    metadata, status = run["metadata"], run["status"]
    phase = status.get("phase")
    said = status if phase in TERMINAL else phase if phase == "AwaitingApproval" else bool(status.get("attempt"))
    return said, run.get("spec"), metadata.get("labels"), metadata.get("deletionTimestamp")


def _unfinished_runs(cache: Cache, sync: Key) -> Iterator[Key]:
    for run in cache.children(RUN, sync.namespace, sync.name):
        if run["status"].get("phase") not in TERMINAL:
            yield Key.of(RUN, run)


def _newly_admitted(key: Key, before: Manifest | None, now: Manifest | None) -> Iterator[Key]:
    """Runs that the destination has given a slot."""
    had = {slot["run"] for slot in _slots(before)}
    for slot in _slots(now):
        if slot["run"] not in had:
            yield Key(RUN, key.namespace, slot["run"])


def _slots(destination: Manifest | None) -> list[Manifest]:
    return ((destination or {}).get("status") or {}).get("slots") or []


def _means_something_else(before: Manifest | None, now: Manifest | None) -> bool:
    """Whether more has changed than what is said of it: its spec, or what a check found there."""
    if before is None or now is None:
        return True
    return bool(
        before["spec"] != now["spec"]
        or before["metadata"]["uid"] != now["metadata"]["uid"]
        or _catalog(before) != _catalog(now)
    )


def _catalog(connection: Manifest) -> str:
    """Digest of what its last check found: the mappings of syncs are held against it."""
    return str((connection["status"].get("lastCheck") or {}).get("catalog", ""))


def _checked_for(key: Key, before: Manifest | None, now: Manifest | None) -> Iterator[Key]:
    """Connections whose checks are to look at something else, because a sync or model names something else."""
    if before and now and before["spec"] == now["spec"]:
        return
    named = {name: None for manifest in (before, now) if manifest for name in references(manifest["spec"])}
    for kind, name in named:
        if kind != MODEL:
            yield Key(kind, key.namespace, name)


def _dependents(cache: Cache, key: Key) -> Iterator[Key]:
    """Models of a source, and the syncs that name a connection or model, directly or through a model."""
    for referrer in cache.referrers(key):
        yield referrer
        if referrer.kind == MODEL:
            yield from cache.referrers(referrer)
