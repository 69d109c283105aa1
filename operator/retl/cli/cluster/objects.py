"""The cluster's objects by the names that people type."""

from retl.cli.cluster.client import Cluster
from retl.errors import InvalidInput, Unresolved
from retl.resources.kinds import RUN, SYNC
from retl.resources.problems import suggestion
from retl.resources.views import Other, Run, Sync

_FEW = 20
"""Names that a message may list."""


async def the_sync(cluster: Cluster, name: str) -> Sync:
    """The sync of that name.

    Raises:
        Unresolved: there is none; the message guesses which was meant.
    """
    found = await cluster.find(SYNC, name)
    if found is not None:
        return Sync.read(found)
    if (run := await cluster.find(RUN, name)) is not None:
        raise Unresolved(f"{name} is a SyncRun; name its sync: {Run.read(run).sync}", reason="NotFound")
    raise await nowhere(cluster, SYNC, name)


async def the_run(cluster: Cluster, name: str) -> Run:
    """The run of that name; of a sync of that name the active run, else the newest.

    Raises:
        Unresolved: there is neither.
    """
    found = await cluster.find(RUN, name)
    if found is not None:
        return Run.read(found)
    manifest = await cluster.find(SYNC, name)
    if manifest is None:
        raise await nowhere(cluster, SYNC, name, RUN)
    sync = Sync.read(manifest)
    runs = await runs_of(cluster, sync)
    active = sync.status.active_run
    chosen = next((run for run in runs if active and run.name == active.name), None) or next(iter(runs), None)
    if chosen is None:
        raise InvalidInput(f"ReverseETLSync {name} has had no run yet; start one with retl run {name}")
    return chosen


async def runs_of(cluster: Cluster, sync: Sync) -> list[Run]:
    """Runs of a sync that are still there, newest first."""
    listed = await cluster.list(RUN, namespace=sync.meta.namespace, fields=f"spec.syncRef.name={sync.name}")
    listed.sort(key=lambda run: (run["metadata"]["creationTimestamp"], run["metadata"]["name"]), reverse=True)
    return [Run.read(each) for each in listed]


async def names(cluster: Cluster, *kinds: str) -> list[str]:
    """Names of all objects of some kinds."""
    return [each["metadata"]["name"] for kind in kinds for each in await cluster.list(kind)]


async def other(cluster: Cluster, kind: str, name: str) -> Other:
    """A source, destination or model."""
    return Other.read(kind, name, await cluster.find(kind, name))


async def nowhere(cluster: Cluster, kind: str, name: str, *other_kinds: str) -> Unresolved:
    """The error of a name that nothing has, with a guess at the one that was meant."""
    known = await names(cluster, kind, *other_kinds)
    hint = suggestion(name, known)
    if name.endswith((".yaml", ".yml")):
        hint = f"; for the syncs of a file, without a cluster, write -f {name}"
    elif not known and await cluster.lacks_namespace():
        hint = "; there is no such namespace, choose another with -n"
    elif len(known) > _FEW and "did you mean" not in hint:
        hint = ""
    kinds = " or ".join([kind, *other_kinds])
    place = f"in namespace {cluster.namespace!r} of {cluster.where}"
    return Unresolved(f"there is no {kinds} {name!r} {place}{hint}", reason="NotFound")
