"""Collects what is known of a SyncRun; the only place that asks the API server on its behalf."""

from datetime import datetime

from retl.apiserver.endpoints import JOB, POD
from retl.controller.checks import read, resolved, secret_problem, secrets_of
from retl.controller.connections.claims import in_line
from retl.controller.connections.slots import destination_of, limit_of, line
from retl.controller.decision import Problem
from retl.controller.facts import JobFacts, PodFacts, controller_uid, moment, status_of
from retl.controller.kinds import Key
from retl.controller.runs.view import Refusal, RunView, SlotFacts, SyncFacts
from retl.controller.world import World
from retl.resources import ReverseETLSync, SyncRun
from retl.resources.destination import DestinationStatus
from retl.resources.kinds import SYNC, Manifest
from retl.resources.meta import ObjectMeta
from retl.resources.names import job_name
from retl.resources.run import TERMINAL, RunStatus
from retl.resources.sync import Runner
from retl.runspec import RunSpec


async def gather(
    world: World, key: Key, now: datetime, refusal: Refusal | None = None
) -> tuple[RunView, Manifest] | None:
    """The view of a run, and the version of it that was looked at; None when it is gone.

    Args:
        now: the present (UTC).
        refusal: Kubernetes did not take the Job of its present attempt.
    """
    manifest = world.cache.get(key)
    if manifest is None:
        return None
    status = _mended(status_of(RunStatus, manifest), key.name)
    run = read(SyncRun, {**manifest, "status": {}})
    meta = ObjectMeta.model_validate(manifest["metadata"])
    if isinstance(run, Problem) or status.phase in TERMINAL:
        spec = run if isinstance(run, Problem) else run.spec
        return RunView(meta, spec, status, scheduled=False, sync=None, job=_known_job(world, key, status)), manifest
    sync_manifest = await _sync(world, run, status, manifest)
    sync = _facts(world, sync_manifest)
    held = sync is not None and sync.active_run == key.name
    spec_of_run = await _resolved(world, run, sync_manifest) if sync_manifest and held else None
    unrecorded = False
    if not status.attempt and sync is not None and controller_uid(manifest) == sync.uid:
        goes_on = held and isinstance(spec_of_run, RunSpec) and not run.spec.cancel and refusal is None
        status, unrecorded = await _with_first_job(world, key, status, sure=goes_on)
    job = await _job(world, key, status)
    pods = await _pods(world, key, status, job)
    view = RunView(
        meta=meta,
        spec=run.spec,
        status=status,
        unrecorded=unrecorded,
        scheduled=sync is not None and controller_uid(manifest) == sync.uid,
        sync=sync,
        resolved=spec_of_run,
        job=job,
        pods=pods,
        leftovers=_leftovers(world, key, sync_manifest),
        obstacle=await world.questions.obstacle(key.namespace, job, pods, spec_of_run, now) if job else None,
        refusal=refusal,
        progress=world.progress.of(meta.uid),
        slot=await _slot(world, run, status, sync_manifest) if sync_manifest and held else None,
    )
    return view, manifest


def _mended(status: RunStatus, name: str) -> RunStatus:
    """A status that somebody edited may contradict itself. Jobs are numbered, so what happened is found again."""
    if status.phase in TERMINAL:
        return status
    if status.attempt < 1:
        phase = status.phase if status.phase is None else "Pending"
        return status.model_copy(update={"phase": phase, "attempt": 0, "job_name": None})
    named = {"phase": status.phase or "Pending", "job_name": job_name(name, status.attempt)}
    return status.model_copy(update=named)


async def _with_first_job(world: World, run: Key, status: RunStatus, *, sure: bool) -> tuple[RunStatus, bool]:
    """What the status of a tick's run would say if its first Job, which is made before it is written down, is there.

    Args:
        sure: if there is no Job it will be made, and its name tells if there was one: so nobody has to ask.
    """
    key = Key(JOB, run.namespace, job_name(run.name, 1))
    job = world.cache.get(key) or (None if sure else await world.kube.get(key))
    if job is None:
        return status, False
    made = moment(job["metadata"]["creationTimestamp"])
    first = {"attempt": 1, "job_name": key.name, "started_at": made}
    return status.model_copy(update=first), True


async def _sync(world: World, run: SyncRun, status: RunStatus, manifest: Manifest) -> Manifest | None:
    """The run's sync. Before anything is concluded from its absence, or from a reservation that is not there, ask."""
    key = Key(SYNC, run.metadata.namespace, run.spec.sync_ref.name)
    known = world.cache.get(key)
    if known is None:
        return await world.fresh(key)
    reserved = ((known["status"].get("activeRun")) or {}).get("name") == run.metadata.name
    ours = controller_uid(manifest) == known["metadata"]["uid"]
    if not reserved and (ours or status.attempt):
        return await world.fresh(key)
    return known


def _facts(world: World, manifest: Manifest | None) -> SyncFacts | None:
    if manifest is None or "deletionTimestamp" in manifest["metadata"]:
        return None
    sync = world.readings.read(ReverseETLSync, manifest)
    spec = None if isinstance(sync, Problem) else sync.spec
    return SyncFacts(
        uid=manifest["metadata"]["uid"],
        state=spec.state if spec else None,
        active_run=(manifest["status"].get("activeRun") or {}).get("name"),
        runner=spec.runner if spec else Runner(),
        labels=manifest["metadata"].get("labels") or {},
    )


async def _resolved(world: World, run: SyncRun, sync_manifest: Manifest) -> RunSpec | Problem:
    namespace = run.metadata.namespace
    sync = world.readings.read(ReverseETLSync, sync_manifest)
    if isinstance(sync, Problem):
        return sync
    spec = resolved(sync, run, world.readings.lookup(world.cache, namespace))
    if isinstance(spec, Problem):
        return spec
    missing = await world.secrets.missing(namespace, secrets_of(spec))
    return secret_problem(missing, namespace, spec) or spec


async def _slot(world: World, run: SyncRun, status: RunStatus, sync: Manifest) -> SlotFacts | None:
    """Whether the run needs a slot for its next step, and has one; None if it needs none."""
    approved = status.phase == "AwaitingApproval"
    if status.attempt and not approved:
        return None
    key = destination_of(sync)
    if key is None:
        return None
    # The slot of a run that awaited approval was taken back, of which the cache may not know yet.
    destination = await world.fresh(key) if approved and run.spec.approval else world.cache.get(key)
    limit = limit_of(destination) if destination else None
    if destination is None or limit is None:
        return None
    slots = status_of(DestinationStatus, destination).slots
    if any(slot.uid == run.metadata.uid for slot in slots):
        return SlotFacts(key.name, limit, held=True)
    waiting = [claim.uid for claim in line(in_line(world, key), slots)]
    before = waiting.index(run.metadata.uid) if run.metadata.uid in waiting else len(waiting)
    return SlotFacts(key.name, limit, held=False, before=before)


def _known_job(world: World, run: Key, status: RunStatus) -> JobFacts | None:
    """The Job of the last attempt, as far as the cache knows."""
    manifest = world.cache.get(Key(JOB, run.namespace, status.job_name or job_name(run.name, 1)))
    return JobFacts.read(manifest) if manifest else None


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
    if job is None or not job.ended or any(pod.ended for pod in ours):
        return tuple(ours)
    selector = f"batch.kubernetes.io/job-name={status.job_name}"
    async for page, _ in world.kube.list(POD, run.namespace, selector):
        for pod in page:
            world.cache.put(POD, pod)
        ours = [PodFacts.read(pod) for pod in page] or ours
    return tuple(ours)


def _leftovers(world: World, run: Key, sync: Manifest | None) -> tuple[PodFacts, ...]:
    """Of an attempt whose Job was deleted, or of a run that was, the pod outlives them for up to a minute."""
    last = ((sync["status"].get("lastRun") or {}).get("name") if sync else None) or run.name
    found = []
    for name in {run.name: None, last: None}:
        for manifest in world.cache.children(POD, run.namespace, name):
            pod = PodFacts.read(manifest)
            known = world.cache.get(Key(POD, run.namespace, pod.name)) is not None
            at_home = name == run.name and world.cache.get(Key(JOB, run.namespace, pod.job)) is not None
            if known and not pod.ended and not at_home:
                found.append(pod)
    return tuple(found)
