"""The objects that the controller makes: the SyncRun of a tick, and the Job of an attempt. Pure builders.

Labels and annotations are ours alone: but for the labels of a queue, nothing is copied from a person's object, so that
a GitOps tool's tracking marks never make it claim a child. The annotation on all of them spares Argo CD a refresh each
time a run makes progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from retl.controller.checks import secrets_of
from retl.controller.settings import RunnerSettings
from retl.resources.kinds import RUN, SYNC, Manifest
from retl.resources.marks import KUEUE_LABELS, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL, SYNC_LABEL, UNTRACKED
from retl.resources.meta import API_VERSION, ObjectMeta
from retl.resources.names import job_name, tick_run_name
from retl.resources.sync import Runner, RunnerResources
from retl.runspec import RunSpec, pod

_USER = 10001
_GRACE_SECONDS = 60
_TOKEN_SECONDS = 3600
_DEFAULT_REQUESTS = {"cpu": "250m", "memory": "512Mi"}
_DEFAULT_LIMITS = {"memory": "1Gi"}

_CONTAINER = "runner"
_NOT_ITS_FAULT = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
"""A pod that was evicted, preempted or drained is followed by another one of the same attempt."""
_FOR_GOOD = {
    "action": "FailJob",
    "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [pod.EXIT_INVALID]},
}
"""So says the runner itself: another attempt would fail as well."""

POD_FAILURE_POLICY = {"rules": [_NOT_ITS_FAULT, _FOR_GOOD]}

_TOKEN_FILE = PurePosixPath(pod.STATE_TOKEN_PATH)


@dataclass(frozen=True, slots=True)
class Told:
    """What a runner is told: an annotation of its pod, which is mounted as a file that a variable names.

    Attributes:
        text: JSON.
        secrets: names of the Secrets that it needs.
    """

    annotation: str
    variable: str
    path: str
    text: str
    secrets: tuple[str, ...]


def tick_run(sync: ObjectMeta, tick: datetime) -> Manifest:
    """The SyncRun of one tick of a sync; one tick, one name."""
    return {
        "apiVersion": API_VERSION,
        "kind": RUN,
        "metadata": {
            "name": tick_run_name(sync.name, tick),
            "namespace": sync.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, SYNC_LABEL: sync.name},
            "annotations": UNTRACKED,
            "ownerReferences": [owner(SYNC, sync)],
        },
        "spec": {"syncRef": {"name": sync.name}, "mode": "Sync", "tick": tick.astimezone(UTC).strftime("%FT%TZ")},
    }


def job(
    run: ObjectMeta, spec: RunSpec, runner: Runner, settings: RunnerSettings, sync_labels: Mapping[str, str]
) -> Manifest:
    """The Job of one attempt.

    Args:
        run: the SyncRun's metadata.
        spec: what the runner is told; its attempt gives the Job its name.
        runner: the sync's wishes for the pod.
        settings: what all runners have in common.
        sync_labels: where the run has no label that puts it into a queue, the sync's counts.
    """
    labels = {MANAGED_BY_LABEL: MANAGED_BY, SYNC_LABEL: spec.sync.name, RUN_LABEL: run.name}
    told = Told(
        pod.RUN_SPEC_ANNOTATION,
        pod.ENV_RUN_SPEC,
        pod.RUN_SPEC_PATH,
        spec.model_dump_json(by_alias=True, exclude_none=True),
        tuple(secrets_of(spec)),
    )
    job_spec: Manifest = {
        # An attempt is one pod; a further attempt is another Job, decided here and visible in the run's record.
        "backoffLimit": 0,
        "activeDeadlineSeconds": max(1, int(runner.timeout.total_seconds())),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": POD_FAILURE_POLICY,
        "template": pod_template(labels, told, runner.resources, settings),
    }
    if settings.keep_for is not None:
        job_spec["ttlSecondsAfterFinished"] = int(settings.keep_for.total_seconds())
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run.name, spec.run.attempt),
            "namespace": run.namespace,
            "labels": labels | _queue_labels(run.labels, sync_labels),
            "annotations": UNTRACKED,
            "ownerReferences": [owner(RUN, run)],
        },
        "spec": job_spec,
    }


def _queue_labels(run: Mapping[str, str], sync: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name in KUEUE_LABELS if (value := run.get(name) or sync.get(name))}


def owner(kind: str, metadata: ObjectMeta) -> Manifest:
    """The reference that makes an object the child of another."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def pod_template(
    labels: Mapping[str, str], told: Told, resources: RunnerResources, settings: RunnerSettings
) -> Manifest:
    """The pod of a run or a check."""
    # Which Secrets it gets is said beside what it is told: that has texts of people, in which a policy would find more.
    annotations = {told.annotation: told.text, pod.SECRETS_ANNOTATION: ",".join(told.secrets)}
    return {
        "metadata": {"labels": dict(labels), "annotations": UNTRACKED | annotations},
        "spec": _pod_spec(told, resources, settings),
    }


def _pod_spec(told: Told, resources: RunnerResources, settings: RunnerSettings) -> Manifest:
    return {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(told, resources, settings)],
        "volumes": _volumes(told),
    }


def _container(told: Told, resources: RunnerResources, settings: RunnerSettings) -> Manifest:
    container: Manifest = {
        "name": _CONTAINER,
        "image": settings.image,
        "command": list(settings.command),
        "env": _environment(told, settings),
        "resources": _resources(resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": pod.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            # As a single file, so that the Secrets can be mounted beside it: a volume of this kind is read-only.
            {
                "name": "run",
                "mountPath": told.path,
                "subPath": PurePosixPath(told.path).name,
                "readOnly": True,
            },
            {"name": "state-token", "mountPath": str(_TOKEN_FILE.parent), "readOnly": True},
            {"name": "staging", "mountPath": pod.STAGING_DIR},
            *(
                {"name": f"secret-{index}", "mountPath": f"{pod.SECRETS_DIR}/{name}", "readOnly": True}
                for index, name in enumerate(told.secrets)
            ),
        ],
    }
    if settings.pull_policy:
        container["imagePullPolicy"] = settings.pull_policy
    return container


def _environment(told: Told, settings: RunnerSettings) -> list[Manifest]:
    values = {
        told.variable: told.path,
        pod.ENV_SECRETS_DIR: pod.SECRETS_DIR,
        pod.ENV_STATE_URL: settings.state_url,
        pod.ENV_STATE_TOKEN_FILE: pod.STATE_TOKEN_PATH,
        pod.ENV_STAGING_DIR: pod.STAGING_DIR,
        pod.ENV_TERMINATION_LOG: pod.TERMINATION_LOG,
        "TMPDIR": pod.STAGING_DIR,  # the root file system is read-only
    }
    if settings.private_networks is not None:
        values[pod.ENV_PRIVATE_NETWORKS] = ",".join(settings.private_networks)
    if settings.state_ca is not None:
        values[pod.ENV_STATE_CA] = settings.state_ca()
    memory = {"resourceFieldRef": {"resource": "limits.memory"}}
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        {"name": pod.ENV_MEMORY_LIMIT, "valueFrom": memory},
    ]


def _volumes(told: Told) -> list[Manifest]:
    annotation = f"metadata.annotations['{told.annotation}']"
    name = PurePosixPath(told.path).name
    token = {"audience": pod.STATE_AUDIENCE, "expirationSeconds": _TOKEN_SECONDS, "path": _TOKEN_FILE.name}
    return [
        {
            "name": "run",
            "downwardAPI": {"items": [{"path": name, "fieldRef": {"fieldPath": annotation}}]},
        },
        {"name": "state-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "staging", "emptyDir": {}},
        *(
            {"name": f"secret-{index}", "secret": {"secretName": name, "defaultMode": 0o440}}
            for index, name in enumerate(told.secrets)
        ),
    ]


def _resources(wanted: RunnerResources) -> Manifest:
    """The sync's wishes; where it has none for a resource at all, modest defaults.

    A default never stands beside a wish for the same resource: it could be a limit below the request.
    """
    requests = wanted.requests.model_dump(exclude_none=True)
    limits = wanted.limits.model_dump(exclude_none=True)
    for name in ("cpu", "memory"):
        if name not in requests and name not in limits:
            if name in _DEFAULT_REQUESTS:
                requests[name] = _DEFAULT_REQUESTS[name]
            if name in _DEFAULT_LIMITS:
                limits[name] = _DEFAULT_LIMITS[name]
    if "memory" not in limits:
        limits["memory"] = requests["memory"]  # the engine sizes itself by its limit, so there always is one
    return {"requests": requests, "limits": limits} if requests else {"limits": limits}
