"""The Job of one check of a connection, and what it found. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import ValidationError

from retl.controller.facts import JobFacts, PodFacts
from retl.controller.manifests import POD_FAILURE_POLICY, Told, owner, pod_template
from retl.controller.runs.outcome import outcome
from retl.controller.settings import RunnerSettings
from retl.resources.kinds import Manifest
from retl.resources.marks import CHECK_LABEL, MANAGED_BY, MANAGED_BY_LABEL, UNTRACKED
from retl.resources.meta import ObjectMeta
from retl.resources.names import check_job_name
from retl.resources.sync import RunnerResources
from retl.runspec import pod
from retl.runspec.check import CheckResult, CheckSpec

DEADLINE = timedelta(minutes=5)
_KEPT = timedelta(minutes=10)
"""How long a finished Job stays, for whoever wants to read its log."""


def check_job(connection: ObjectMeta, spec: CheckSpec, settings: RunnerSettings) -> Manifest:
    """The Job of one check.

    Args:
        connection: metadata of the SyncSource or SyncDestination.
        spec: what the runner is told; its number gives the Job its name.
        settings: what all runners have in common.
    """
    labels = {MANAGED_BY_LABEL: MANAGED_BY, CHECK_LABEL: connection.uid}
    secrets = (spec.connection.secret,) if spec.connection.secret else ()
    text = spec.model_dump_json(by_alias=True, exclude_none=True)
    told = Told(pod.CHECK_SPEC_ANNOTATION, pod.ENV_CHECK_SPEC, pod.CHECK_SPEC_PATH, text, secrets)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": check_job_name(connection.name, connection.uid, spec.number),
            "namespace": connection.namespace,
            "labels": labels,
            "annotations": UNTRACKED,
            "ownerReferences": [owner(spec.kind, connection)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(DEADLINE.total_seconds()),
            "ttlSecondsAfterFinished": int(_KEPT.total_seconds()),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": POD_FAILURE_POLICY,
            "template": pod_template(labels, told, RunnerResources(), settings),
        },
    }


def found(job: JobFacts, pods: Sequence[PodFacts]) -> CheckResult:
    """What a check found whose Job has ended; a runner that said nothing leaves it to Kubernetes to say why."""
    last = max((each for each in pods if each.ended), key=lambda each: each.created, default=None)
    if last is not None:
        try:
            said = CheckResult.model_validate_json(last.last_words)
        except ValidationError:
            pass
        else:
            return said if said.finished_at else said.model_copy(update={"finished_at": last.ended_at or job.ended_at})
    if job.failed and job.failed[0] == "DeadlineExceeded":
        reason, message = "DeadlineExceeded", f"the check took longer than {int(DEADLINE.total_seconds())} s"
    else:
        died = outcome(job, pods)
        reason, message = died.reason, died.message
    return CheckResult(succeeded=False, reason=reason, message=message[:2000], retriable=True, finished_at=job.ended_at)
