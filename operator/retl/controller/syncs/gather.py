"""Collects what is known of a ReverseETLSync; the only place that asks the API server on its behalf."""

from retl.controller.checks import lookup_in, read, secret_problem, secrets_of, sync_problem
from retl.controller.decision import Problem
from retl.controller.kinds import RUN, Key, Manifest
from retl.controller.syncs.view import RunFacts, SyncView
from retl.controller.world import World
from retl.resources import Resource, ReverseETLSync
from retl.resources.meta import ObjectMeta
from retl.resources.sync import ReverseETLSyncSpec, SyncStatus


async def gather(world: World, key: Key) -> tuple[SyncView, Manifest] | None:
    """The view of a sync, and the version of it that was looked at; None when it is gone."""
    manifest = world.cache.get(key)
    if manifest is None:
        return None
    vanished = False
    reserved = _reserved(key, manifest)
    if reserved and world.cache.get(reserved) is None:
        confirmed, vanished = await _confirm(world, key)
        if confirmed is None:
            return None
        manifest = confirmed
    spec, problem = await _checked(world, key, manifest)
    view = SyncView(
        meta=ObjectMeta.model_validate(manifest["metadata"]),
        spec=spec,
        status=SyncStatus.model_validate(manifest["status"]),
        problem=problem,
        runs=_runs(world, key, manifest),
        vanished=vanished,
    )
    return view, manifest


def _runs(world: World, key: Key, manifest: Manifest) -> tuple[RunFacts, ...]:
    """The SyncRuns that name the sync, and whatever has the name that is reserved."""
    runs = {run["metadata"]["name"]: run for run in world.cache.children(RUN, key.namespace, key.name)}
    reserved = _reserved(key, manifest)
    if reserved and (holder := world.cache.get(reserved)):
        runs[reserved.name] = holder
    return tuple(RunFacts.read(run) for run in runs.values())


async def _confirm(world: World, key: Key) -> tuple[Manifest | None, bool]:
    """The sync as it is now, and whether the run that holds it is gone for good.

    A reserved run that the cache does not have was deleted, or is not created yet, or the watches are behind: so ask.
    """
    manifest = await world.fresh(key)
    reserved = _reserved(key, manifest) if manifest else None
    if manifest is None or reserved is None or await world.fresh(reserved) is not None:
        return manifest, False
    made_by_a_person = "tick" not in manifest["status"]["activeRun"]
    return manifest, made_by_a_person or world.cache.was_deleted(reserved)


async def _checked(world: World, key: Key, manifest: Manifest) -> tuple[ReverseETLSyncSpec | None, Problem | None]:
    sync = read(ReverseETLSync, manifest)
    if isinstance(sync, Problem):
        return None, sync

    def find(model: type[Resource], name: str) -> Manifest | None:
        return world.cache.get(Key(model.__name__, key.namespace, name))

    found = sync_problem(sync, lookup_in(find))
    if isinstance(found, Problem):
        return sync.spec, found
    missing = await world.secrets.missing(key.namespace, secrets_of(found))
    return sync.spec, secret_problem(missing, key.namespace, found)


def _reserved(key: Key, manifest: Manifest) -> Key | None:
    active = manifest["status"].get("activeRun")
    return Key(RUN, key.namespace, active["name"]) if active else None
