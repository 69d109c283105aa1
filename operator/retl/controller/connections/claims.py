"""Collects the runs that are under way into a destination, or wait to be."""

from retl.controller.connections.slots import Claim, claim, limit_of
from retl.controller.facts import status_of
from retl.controller.kinds import RUN, SYNC, Key, Manifest
from retl.controller.world import World
from retl.resources.destination import DestinationStatus


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


async def confirmed(world: World, destination: Key, manifest: Manifest) -> tuple[Claim, ...]:
    """The same, with those of all runs that have a slot; only with maxConcurrentRuns.

    A slot is never taken back for what the cache believes: a run that it does not have may just have been created, and
    one that awaited approval may have got it.
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
        if run and run["metadata"]["uid"] == slot.uid and (one := claim(run, None)):
            claims[one.uid] = one
    return tuple(claims.values())
