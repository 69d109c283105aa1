"""Collects what is known of a SyncRun; the only place that asks the API server on its behalf."""

from retl.controller.checks import lookup_in, read, resolved, secret_problem, secrets_of
from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts, controller_uid
from retl.controller.kinds import JOB, POD, SYNC, Key, Manifest
from retl.controller.runs.view import RunView, SyncFacts
from retl.controller.world import World
from retl.resources import Resource, ReverseETLSync, SyncRun
from retl.resources.meta import ObjectMeta
from retl.resources.run import TERMINAL, RunStatus
from retl.resources.sync import Runner
from retl.runspec import RunSpec


async def gather(world: World, key: Key, refused: str = "") -> tuple[RunView, Manifest] | None:
    """The view of a run, and the version of it that was looked at; None when it is gone.

    Args:
        refused: why Kubernetes will never take the Job of its present attempt.
    """
    manifest = world.cache.get(key)
    if manifest is None:
        return None
    status = RunStatus.model_validate(manifest["status"])
    run = read(SyncRun, manifest)
    meta = ObjectMeta.model_validate(manifest["metadata"])
    if isinstance(run, Problem) or status.phase in TERMINAL:
        spec = run if isinstance(run, Problem) else run.spec
        return RunView(meta, spec, status, scheduled=False, sync=None), manifest
    sync_manifest = await _sync(world, run, manifest)
    sync = _facts(sync_manifest)
    held = sync is not None and sync.active_run == key.name
    job = await _job(world, key, status)
    view = RunView(
        meta=meta,
        spec=run.spec,
        status=status,
        scheduled=sync is not None and controller_uid(manifest) == sync.uid,
        sync=sync,
        resolved=await _resolved(world, run, sync_manifest) if sync_manifest and held else None,
        job=job,
        pods=await _pods(world, key, status, job),
        refused=refused,
    )
    return view, manifest


async def _sync(world: World, run: SyncRun, manifest: Manifest) -> Manifest | None:
    """The run's sync. Before anything is concluded from its absence, or from a reservation that is not there, ask."""
    key = Key(SYNC, run.metadata.namespace, run.spec.sync_ref.name)
    known = world.cache.get(key)
    if known is None:
        return await world.fresh(key)
    reserved = ((known["status"].get("activeRun")) or {}).get("name") == run.metadata.name
    ours = controller_uid(manifest) == known["metadata"]["uid"]
    if not reserved and (ours or run.status.attempt):
        return await world.fresh(key)
    return known


def _facts(manifest: Manifest | None) -> SyncFacts | None:
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        return None
    sync = read(ReverseETLSync, manifest)
    spec = None if isinstance(sync, Problem) else sync.spec
    return SyncFacts(
        uid=manifest["metadata"]["uid"],
        state=spec.state if spec else None,
        active_run=(manifest["status"].get("activeRun") or {}).get("name"),
        runner=spec.runner if spec else Runner(),
    )


async def _resolved(world: World, run: SyncRun, sync_manifest: Manifest) -> RunSpec | Problem:
    namespace = run.metadata.namespace
    sync = read(ReverseETLSync, sync_manifest)
    if isinstance(sync, Problem):
        return sync

    def find(model: type[Resource], name: str) -> Manifest | None:
        return world.cache.get(Key(model.__name__, namespace, name))

    spec = resolved(sync, run, lookup_in(find))
    if isinstance(spec, Problem):
        return spec
    missing = await world.secrets.missing(namespace, secrets_of(spec))
    return secret_problem(missing, namespace, spec) or spec


async def _job(world: World, run: Key, status: RunStatus) -> JobFacts | None:
    """The Job of the present attempt; one that the cache lacks is asked for, because it may be somebody else's."""
    if not status.attempt or not status.job_name:
        return None
    key = Key(JOB, run.namespace, status.job_name)
    manifest = world.cache.get(key) or await world.kube.get(key)
    return JobFacts.read(manifest) if manifest else None


async def _pods(world: World, run: Key, status: RunStatus, job: JobFacts | None) -> tuple[PodFacts, ...]:
    """The attempt's pods. When the Job has ended before their end was seen, they are asked for."""
    pods = [PodFacts.read(pod) for pod in world.cache.children(POD, run.namespace, run.name)]
    ours = [pod for pod in pods if pod.job == status.job_name]
    if job is None or not job.ended or any(pod.exit_code is not None or pod.reason for pod in ours):
        return tuple(ours)
    selector = f"batch.kubernetes.io/job-name={status.job_name}"
    async for page, _ in world.kube.list(POD, run.namespace, selector):
        for pod in page:
            world.cache.put(POD, pod)
        ours = [PodFacts.read(pod) for pod in page] or ours
    return tuple(ours)
