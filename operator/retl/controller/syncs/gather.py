"""Collects what is known of a ReverseETLSync; the only place that asks the API server on its behalf."""

import re

from retl.controller.checks import existence_problem, secret_problem, secrets_of
from retl.controller.decision import Problem
from retl.controller.kinds import Key
from retl.controller.syncs.lenient import lenient
from retl.controller.syncs.view import DependencyFacts, RunFacts, SyncView
from retl.controller.world import World
from retl.resources import ReverseETLSync
from retl.resources.kinds import DESTINATION, MODEL, RUN, SOURCE, SYNC, Manifest
from retl.resources.meta import ObjectMeta
from retl.resources.run import TERMINAL
from retl.resources.sync import ReverseETLSyncSpec, SyncStatus
from retl.runspec import RunSpec

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


async def gather(world: World, key: Key) -> tuple[SyncView, Manifest] | None:
    """The view of a sync, and the version of it that was looked at; None when it is gone."""
    manifest = world.cache.get(key)
    if manifest is None:
        return None
    status, repaired = lenient(SyncStatus, manifest["status"])
    vanished = False
    reserved = _reserved(key, status)
    if reserved and world.cache.get(reserved) is None:
        manifest = await world.fresh(key)
        if manifest is None:
            return None
        status, repaired = lenient(SyncStatus, manifest["status"])
        reserved = _reserved(key, status)
        vanished = reserved is not None and await _vanished(world, reserved, status, manifest["metadata"]["uid"])
    if reserved is None:
        await _ask_for_those_under_way(world, key)
    spec, problem = await _checked(world, key, manifest)
    runs = tuple(RunFacts.read(run) for run in world.cache.children(RUN, key.namespace, key.name))
    view = SyncView(
        meta=ObjectMeta.model_validate(manifest["metadata"]),
        spec=spec,
        status=status,
        problem=problem,
        runs=runs,
        stranger=_stranger(world, reserved, runs),
        vanished=vanished,
        dependencies=_dependencies(world, key, spec),
        circle=tuple(other.name for other in world.cache.dependencies.circle(key)),
        skewed=world.skewed(),
        repaired=repaired,
    )
    return view, manifest


def _reserved(key: Key, status: SyncStatus) -> Key | None:
    return Key(RUN, key.namespace, status.active_run.name) if status.active_run else None


async def _vanished(world: World, reserved: Key, status: SyncStatus, sync: str) -> bool:
    """Whether the run that holds the sync is gone for good, and not just unknown here.

    A reserved run that the cache does not have was deleted, or is not created yet, or the watches are behind: so ask.
    That somebody else's run of a tick's name was deleted, before the tick, tells nothing of the tick's own.

    Args:
        sync: uid of the sync.
    """
    if not _NAME.fullmatch(reserved.name):
        return True  # nothing can have this name
    if await world.fresh(reserved) is not None:
        return False
    made_by_a_person = status.active_run is not None and status.active_run.tick is None
    return made_by_a_person or world.cache.was_deleted(reserved, of=sync)


async def _ask_for_those_under_way(world: World, key: Key) -> None:
    """A run that is under way while nothing holds its sync will hold it again; or the watch of runs is behind: so ask.

    One that has ended, and perhaps is deleted by now, would have its tick answered twice.
    """
    for run in world.cache.children(RUN, key.namespace, key.name):
        if run["status"].get("attempt") and run["status"].get("phase") not in TERMINAL:
            await world.fresh(Key.of(RUN, run))


def _stranger(world: World, reserved: Key | None, runs: tuple[RunFacts, ...]) -> RunFacts | None:
    """The run that has the reserved name and is not among those that name the sync."""
    holder = world.cache.get(reserved) if reserved else None
    if reserved is None or holder is None or any(run.name == reserved.name for run in runs):
        return None
    return RunFacts.read(holder)


def _dependencies(world: World, key: Key, spec: ReverseETLSyncSpec | None) -> tuple[DependencyFacts, ...]:
    if spec is None or spec.schedule is None:
        return ()
    names = dict.fromkeys(dependency.sync_ref.name for dependency in spec.schedule.depends_on)
    return tuple(DependencyFacts.read(name, world.cache.get(Key(SYNC, key.namespace, name))) for name in names)


async def _checked(world: World, key: Key, manifest: Manifest) -> tuple[ReverseETLSyncSpec | None, Problem | None]:
    sync = world.readings.read(ReverseETLSync, manifest)
    if isinstance(sync, Problem):
        return None, sync
    found = world.readings.sync_problem(sync, world.readings.lookup(world.cache, key.namespace))
    if isinstance(found, Problem):
        return sync.spec, found
    missing = await world.secrets.missing(key.namespace, secrets_of(found))
    problem = secret_problem(missing, key.namespace, found) or await _not_there(world, sync, found)
    return sync.spec, problem


async def _not_there(world: World, sync: ReverseETLSync, spec: RunSpec) -> Problem | None:
    """What the sync names and the last checks of its two ends did not find."""
    namespace, model = sync.metadata.namespace, sync.spec.model_ref
    row_set = f"{MODEL}/{model.name}" if model else f"{SYNC}/{sync.metadata.name}"
    source = await world.catalog(Key(SOURCE, namespace, spec.source.name))
    destination = await world.catalog(Key(DESTINATION, namespace, spec.destination.name))
    return existence_problem(spec, row_set, source, destination)
