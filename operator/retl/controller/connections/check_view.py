"""Collects what is known of a connection's checks."""

from datetime import datetime, timedelta

from retl.apiserver.endpoints import JOB, POD
from retl.controller.checks import read
from retl.controller.connections.checking import MOST_AT_ONCE, Asked, CheckView
from retl.controller.facts import JobFacts, PodFacts, status_of
from retl.controller.kinds import Key
from retl.controller.wanted import REMEMBERED, Wanted
from retl.controller.world import World
from retl.resources import KINDS, SyncDestination, SyncSource
from retl.resources.kinds import DESTINATION, SOURCE, Manifest
from retl.resources.marks import CHECK_REQUESTED
from retl.resources.names import check_job_name
from retl.resources.source import ActiveCheck, ConnectionStatus
from retl.runspec.check import CheckSpec
from retl.runspec.resolve import connection

_UNKNOWN_INTERVAL = timedelta(hours=6)
"""Of a connection whose spec cannot be understood: it is not checked."""


async def confirmed_check(world: World, key: Key, manifest: Manifest) -> tuple[Manifest | None, Manifest | None]:
    """A connection, and the Job of its active check.

    A Job that is not there has not been made yet, or its check was recorded long ago and the cache is behind: so ask.
    """
    job = await _job(world, key, manifest)
    if job is not None or status_of(ConnectionStatus, manifest).active_check is None:
        return manifest, job
    fresh = await world.fresh(key)
    return fresh, await _job(world, key, fresh) if fresh else None


def check_view(
    world: World, key: Key, manifest: Manifest, job: Manifest | None, now: datetime, refused: str
) -> CheckView:
    """The checks of a source or destination.

    Args:
        job: of the active check, if it is there.
        refused: why Kubernetes did not take the Job of the active check; empty if it did not say so.
    """
    metadata, active = manifest["metadata"], status_of(ConnectionStatus, manifest).active_check
    wanted = world.wanted.get(world.cache, key, now)
    found = read(KINDS[key.kind], manifest | {"status": {}})
    known = found if isinstance(found, SyncSource | SyncDestination) else None
    return CheckView(
        spec=_spec(key, known, wanted) if known else None,
        asked=Asked(
            generation=metadata.get("generation", 1),
            request=(metadata.get("annotations") or {}).get(CHECK_REQUESTED, ""),
            wanted=wanted.digest,
        ),
        interval=known.spec.check_interval if known else _UNKNOWN_INTERVAL,
        left_out=wanted.left_out,
        wanted_until=None if wanted.at == now else wanted.at + REMEMBERED,
        busy=active is None and _under_way(world) >= MOST_AT_ONCE,
        job=JobFacts.read(job) if job else None,
        pods=_pods(world, key, metadata["uid"], active),
        refused=refused,
    )


def _spec(key: Key, found: SyncSource | SyncDestination, wanted: Wanted) -> CheckSpec:
    return CheckSpec(
        kind="SyncSource" if isinstance(found, SyncSource) else "SyncDestination",
        namespace=key.namespace,
        number=1,
        connection=connection(found),
        row_sets=list(wanted.row_sets),
        objects=list(wanted.objects),
    )


def _under_way(world: World) -> int:
    """Checks in all namespaces."""
    keys = (*world.cache.keys(SOURCE), *world.cache.keys(DESTINATION))
    return sum(1 for key in keys if (known := world.cache.get(key)) and known["status"].get("activeCheck"))


async def _job(world: World, key: Key, manifest: Manifest) -> Manifest | None:
    """The Job of the active check; one that the cache lacks is asked for, because it may be somebody else's."""
    active = status_of(ConnectionStatus, manifest).active_check
    if active is None:
        return None
    job = Key(JOB, key.namespace, check_job_name(key.name, manifest["metadata"]["uid"], active.number))
    return world.cache.get(job) or await world.kube.get(job)


def _pods(world: World, key: Key, uid: str, active: ActiveCheck | None) -> tuple[PodFacts, ...]:
    if active is None:
        return ()
    name = check_job_name(key.name, uid, active.number)
    pods = (PodFacts.read(pod) for pod in world.cache.children(POD, key.namespace, uid))
    return tuple(pod for pod in pods if pod.job == name)
