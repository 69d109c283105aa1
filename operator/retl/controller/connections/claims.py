"""Collects the runs that are under way into a destination, or wait to be."""

from datetime import datetime

from retl.apiserver.endpoints import POD
from retl.controller.connections.slots import Claim, claim, limit_of
from retl.controller.facts import PodFacts, status_of
from retl.controller.kinds import Key
from retl.controller.world import World
from retl.resources.destination import DestinationStatus
from retl.resources.kinds import RUN, SYNC, Manifest
from retl.resources.marks import RUN_LABEL


def in_line(world: World, destination: Key) -> tuple[Claim, ...]:
    """Claims of the runs that hold the reservation of a sync into the destination."""
    found = []
    for referrer in world.cache.referrers(destination):
        sync = world.cache.get(referrer) if referrer.kind == SYNC else None
        active = sync["status"].get("activeRun") if sync else None
        run = world.cache.get(Key(RUN, referrer.namespace, active["name"])) if active else None
        if run and (one := claim(run, active)):
            found.append(one)
    return tuple(found)


async def confirmed(world: World, destination: Key, manifest: Manifest, now: datetime) -> tuple[Claim, ...]:
    """The same, with those of all runs that have a slot; only with maxConcurrentRuns.

    A slot is never taken back for what the cache believes: a run that it does not have may just have been created, and
    one that awaited approval may have got it. Nor while a pod works that was left over by a run that is over.
    """
    if limit_of(manifest) is None:
        return ()
    claims = {one.uid: one for one in in_line(world, destination)}
    for slot in status_of(DestinationStatus, manifest).slots:
        known = claims.get(slot.uid)
        if known and (known.under_way or known.waiting):
            continue
        key = Key(RUN, destination.namespace, slot.run)
        run = world.cache.get(key)
        if run is None or claim(run, None) is not None:
            run = await world.fresh(key)
        another = run is not None and run["metadata"]["uid"] != slot.uid
        if run and not another and (one := claim(run, None)):
            claims[one.uid] = one
        elif not another and await _still_works(world, key, now):
            claims[slot.uid] = Claim(slot.run, slot.uid, slot.since, under_way=True, gone=True)
    return tuple(claims.values())


async def _still_works(world: World, run: Key, now: datetime) -> bool:
    """Whether a pod still works that may outlive its run, or its Job, by a minute; the cache may lag behind."""
    async for page, _ in world.kube.list(POD, run.namespace, f"{RUN_LABEL}={run.name}"):
        if any(PodFacts.read(pod).works(now) for pod in page):
            return True
    return False
