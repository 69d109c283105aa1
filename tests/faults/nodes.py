"""The Job controller, the nodes and the runners on them.

They do what Kubernetes does with the controller's Jobs: one pod at a time, a replacement only for a pod that was
disrupted and only once that has ended, a deadline, deletion with time to say a last word. Runners end in every way
in which a run can end.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retl.apiserver.endpoints import JOB, POD
from retl.controller.kinds import Key
from retl.resources.kinds import Manifest
from retl.runspec.check import CheckResult
from retl.runspec.pod import EXIT_INVALID, RUN_SPEC_ANNOTATION
from retl.runspec.result import RunResult
from tests.faults.server import ApiServer, Change

PLAN = "0123456789abcdef"
_TRACKING = "batch.kubernetes.io/job-tracking"
_JOB_NAME = "batch.kubernetes.io/job-name"

Ends = dict[str, float]
WAYS: Ends = {
    "succeeds": 60,
    "fails": 9,
    "is wrong": 4,
    "holds": 6,
    "finds nothing new": 4,
    "is silent": 4,
    "runs out of memory": 3,
    "is evicted": 5,
    "is lost": 3,
    "hangs": 2,
}
"""How an attempt ends, and how often."""
CHECK_WAYS: Ends = {"succeeds": 60, "fails": 15, "is wrong": 4, "is silent": 4, "is evicted": 5, "is lost": 3}
CALM_WAYS: Ends = {"succeeds": 1}


@dataclass
class Runner:
    """The process in a pod.

    Attributes:
        spec: the RunSpec that it was given; of a check, the CheckSpec.
        way: how it is going to end.
    """

    pod: Key
    job: Key
    uid: str
    spec: dict[str, Any]
    way: str
    running: bool = False

    @property
    def sync(self) -> str:
        """uid of its sync; empty for a check."""
        return str(self.spec["sync"]["uid"]) if "sync" in self.spec else ""

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = self.spec.get("run") or {}
        return found

    @property
    def destination(self) -> str:
        """uid of the destination that it writes to; empty for a check."""
        return str(self.spec["destination"]["uid"]) if "sync" in self.spec else ""


class Nodes:
    """Reacts to what happens at the API server, some time later.

    Args:
        started, ended: told when a runner's process really begins and is really gone.
    """

    def __init__(
        self,
        server: ApiServer,
        rng: random.Random,
        started: Callable[[Runner], None],
        ended: Callable[[Runner], None],
    ) -> None:
        self._server = server
        self._rng = rng
        self._started = started
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._runners: dict[str, Runner] = {}
        self._longest = 900.0
        self.ways = WAYS
        server.observers.append(self._see)

    def calm_down(self) -> None:
        """From now on every new run succeeds, soon."""
        self.ways = CALM_WAYS
        self._longest = 60.0

    def _see(self, change: Change) -> None:
        if change.type == "DELETED":
            self._later(0.2, 4, self._server.collect_garbage)
        elif "deletionTimestamp" in change.manifest["metadata"]:
            self._later(0.1, 2, self._server.collect_garbage)
        if change.key.kind == JOB and change.type != "DELETED" and change.by != "jobs":
            self._later(0.1, 1.5, self._sync_job, change.key)
        if change.key.kind == POD:
            self._see_pod(change)

    def _see_pod(self, change: Change) -> None:
        if change.type == "DELETED" or change.by != "jobs":
            self._later(0.1, 1.5, self._sync_job, _job_of(change.manifest))
        deleting = "deletionTimestamp" in change.manifest["metadata"]
        if deleting and change.before and "deletionTimestamp" not in change.before["metadata"]:
            self._later(0.05, 1, self._terminate, change.key, change.manifest["metadata"]["uid"])

    def _later(self, least: float, most: float, call: Callable[..., None], *args: Any) -> None:
        self._loop.call_later(self._rng.uniform(least, most), call, *args)

    def _now(self) -> str:
        moment: datetime = self._server.now()
        return f"{moment:%FT%TZ}"

    # The Job controller

    def _sync_job(self, key: Key) -> None:
        job = self._server.find(key)
        pods = [pod for pod in self._server.all(POD, key.namespace) if _job_of(pod) == key]
        for pod in pods:
            if _over(pod) and (job is None or pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]):
                self._server.release(Key.of(POD, pod), _TRACKING, "jobs")
        if job is None or "deletionTimestamp" in job["metadata"] or _finished(job):
            return
        mine = [pod for pod in pods if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]]
        self._judge_job(key, job, mine)

    def _judge_job(self, key: Key, job: Manifest, pods: list[Manifest]) -> None:
        active = [pod for pod in pods if not _over(pod)]
        condemned = _condition(job, "FailureTarget")
        if condemned:
            if not active:
                self._finish(key, "Failed", condemned["reason"], condemned["message"])
            for pod in active:
                self._server.delete(Key.of(POD, pod), "jobs")
            return
        if any(pod["status"]["phase"] == "Succeeded" for pod in pods):
            self._finish(key, "Complete", "CompletionsReached", "")
            return
        failed = [pod for pod in pods if _over(pod) and not _condition(pod, "DisruptionTarget")]
        if failed:
            reason = "PodFailurePolicy" if _exit_code(failed[0]) == EXIT_INVALID else "BackoffLimitExceeded"
            rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
            if not any(rule["action"] == "FailJob" for rule in rules):
                reason = "BackoffLimitExceeded"
            self._finish(key, "Failed", reason, "Job has reached its end")
            return
        if not active:
            self._start_pod(key, job)

    def _finish(self, key: Key, type: str, reason: str, message: str) -> None:
        condition = {"type": type, "status": "True", "reason": reason, "message": message}
        condition |= {"lastTransitionTime": self._now()}

        def finished(job: Manifest) -> Manifest:
            conditions = [*job["status"].get("conditions", []), condition]
            return {**job, "status": {**job["status"], "conditions": conditions}}

        self._server.edit(key, finished, "jobs")

    def _start_pod(self, key: Key, job: Manifest) -> None:
        if "startTime" not in job["status"]:
            started = {**job["status"], "startTime": self._now()}
            job = self._server.edit(key, lambda one: {**one, "status": started}, "jobs")
            self._loop.call_later(job["spec"]["activeDeadlineSeconds"], self._deadline, key, job["metadata"]["uid"])
        template = job["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": JOB, "name": key.name, "uid": job["metadata"]["uid"]}
        metadata = {
            **template["metadata"],
            "generateName": f"{key.name}-",
            "namespace": key.namespace,
            "labels": {**template["metadata"]["labels"], _JOB_NAME: key.name},
            "ownerReferences": [owner | {"controller": True}],
            "finalizers": [_TRACKING],
        }
        if key.namespace in self._server.terminating:
            return
        grace = {"terminationGracePeriodSeconds": template.get("spec", {}).get("terminationGracePeriodSeconds", 30)}
        pod = self._server.create(POD, {"metadata": metadata, "spec": grace, "status": {"phase": "Pending"}}, "jobs")
        annotations = template["metadata"]["annotations"]
        text = annotations.get(RUN_SPEC_ANNOTATION) or next(v for k, v in annotations.items() if k.endswith("-spec"))
        runner = Runner(Key.of(POD, pod), key, pod["metadata"]["uid"], json.loads(text), self._way(json.loads(text)))
        self._runners[runner.uid] = runner
        self._schedule(runner)

    def _deadline(self, key: Key, uid: str) -> None:
        job = self._server.find(key)
        if job is None or job["metadata"]["uid"] != uid or _finished(job):
            return
        self._finish(key, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        self._later(0.1, 1, self._sync_job, key)

    # The nodes

    def _way(self, spec: dict[str, Any]) -> str:
        if (spec.get("run") or {}).get("approvedPlan") == PLAN:
            return "succeeds"
        ways = dict(CHECK_WAYS if self.ways is WAYS and "sync" not in spec else self.ways)
        if not spec.get("freshness"):
            ways.pop("finds nothing new", None)
        return self._rng.choices(list(ways), list(ways.values()))[0]

    def _schedule(self, runner: Runner) -> None:
        """Some pods find no node, or no image, for a while."""
        trouble = self._rng.random() if self.ways is WAYS else 1.0
        if trouble < 0.04:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
            self._later(0.1, 1, self._say, runner, {"phase": "Pending", "conditions": [condition]})
            self._later(20, 300, self._start, runner)
        elif trouble < 0.08:
            state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
            self._later(1, 5, self._say, runner, {"phase": "Pending", "containerStatuses": [{"state": state}]})
            self._later(20, 300, self._start, runner)
        else:
            self._later(0.5, 5, self._start, runner)

    def _start(self, runner: Runner) -> None:
        pod = self._server.find(runner.pod)
        if pod is None or pod["metadata"]["uid"] != runner.uid or _over(pod):
            return
        if "deletionTimestamp" in pod["metadata"]:
            return
        runner.running = True
        self._started(runner)
        self._say(runner, {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]})
        if runner.way == "hangs":
            return
        lasts = self._rng.choice((5, 20, 60, self._longest)) * self._rng.uniform(0.5, 1)
        self._loop.call_later(lasts, self._come_to_end, runner)

    def _come_to_end(self, runner: Runner) -> None:
        if not runner.running:
            return
        if runner.way == "is evicted":
            self._disrupt(runner, "EvictionByEvictionAPI")
        elif runner.way == "is lost":
            self._gone(runner)  # the node has died; it takes minutes until anybody notices
            self._later(60, 400, self._lost, runner)
        else:
            self._exit(runner, *_end(runner))

    def _disrupt(self, runner: Runner, reason: str) -> None:
        """Mark the pod as disrupted, and delete it."""
        pod = self._server.find(runner.pod)
        if pod is None or pod["metadata"]["uid"] != runner.uid:
            return
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason}
        status = {**pod["status"], "conditions": [*pod["status"].get("conditions", []), condition]}
        self._say(runner, status)
        self._server.delete(runner.pod, "nodes")

    def _lost(self, runner: Runner) -> None:
        pod = self._server.find(runner.pod)
        if pod is None or pod["metadata"]["uid"] != runner.uid or _over(pod):
            return
        self._disrupt(runner, "DeletionByPodGC")
        pod = self._server.find(runner.pod)
        if pod is not None:
            self._say(runner, {**pod["status"], "phase": "Failed", "reason": "NodeLost", "message": "the node is gone"})

    def _terminate(self, key: Key, uid: str) -> None:
        """SIGTERM: the runner says its last word within its time of grace, or is killed at its end."""
        runner, pod = self._runners[uid], self._server.find(key)
        if pod is None or pod["metadata"]["uid"] != uid or _over(pod):
            return
        if not runner.running:
            if runner.way != "is lost" or pod["status"]["phase"] == "Pending":
                self._say(runner, {**pod["status"], "phase": "Failed"})
            return
        if self._rng.random() < 0.85:
            words = _said(runner, "Cancelled", "Cancelled")
            self._later(0.1, 20, self._exit, runner, 0, words, "Completed")
        else:
            self._later(60, 60.5, self._exit, runner, 137, "", "Error")

    def _exit(self, runner: Runner, code: int, words: str, reason: str) -> None:
        if not runner.running:
            return
        self._gone(runner)
        pod = self._server.find(runner.pod)
        if pod is None or pod["metadata"]["uid"] != runner.uid:
            return
        terminated = {"exitCode": code, "reason": reason, "message": words, "finishedAt": self._now()}
        phase = "Failed" if code else "Succeeded"
        status = {**pod["status"], "phase": phase, "containerStatuses": [{"state": {"terminated": terminated}}]}
        self._later(0.01, 1, self._say, runner, status)

    def _gone(self, runner: Runner) -> None:
        if runner.running:
            runner.running = False
            self._ended(runner)

    def _say(self, runner: Runner, status: Manifest) -> None:
        """The kubelet reports, unless the pod is gone or its end was reported already."""
        pod = self._server.find(runner.pod)
        if pod is None or pod["metadata"]["uid"] != runner.uid or _over(pod):
            return
        kept = {"conditions": pod["status"]["conditions"]} if "conditions" in pod["status"] else {}
        self._server.edit(runner.pod, lambda one: {**one, "status": kept | status}, "nodes")


def _end(runner: Runner) -> tuple[int, str, str]:
    """Exit code, termination message and reason of a runner that comes to its end by itself."""
    match runner.way:
        case "fails":
            return 1, _said(runner, "Failed", "DestinationUnavailable", retriable=True), "Error"
        case "is wrong":
            return EXIT_INVALID, _said(runner, "Failed", "SourceFailed"), "Error"
        case "holds":
            return 0, _said(runner, "AwaitingApproval", "GuardBreached", plan_hash=PLAN), "Completed"
        case "finds nothing new":
            return 0, _said(runner, "Succeeded", "SourceNotFresh"), "Completed"
        case "is silent":
            return 1, "", "Error"
        case "runs out of memory":
            return 137, "", "OOMKilled"
    return 0, _said(runner, "Succeeded", ""), "Completed"


def _said(runner: Runner, status: Any, reason: str, **more: Any) -> str:
    if not runner.sync:
        return CheckResult(succeeded=status == "Succeeded", reason=reason, **more).model_dump_json(by_alias=True)
    run, sync = runner.run["name"], runner.spec["sync"]["name"]
    return RunResult(run=run, sync=sync, status=status, reason=reason, **more).model_dump_json(by_alias=True)


def _job_of(pod: Manifest) -> Key:
    return Key(JOB, pod["metadata"]["namespace"], pod["metadata"]["labels"][_JOB_NAME])


def _over(pod: Manifest) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _finished(job: Manifest) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(manifest: Manifest, type: str) -> Manifest | None:
    found = (c for c in manifest["status"].get("conditions", []) if c["type"] == type and c["status"] == "True")
    return next(found, None)


def _exit_code(pod: Manifest) -> int | None:
    for container in pod["status"].get("containerStatuses") or []:
        if terminated := container["state"].get("terminated"):
            return int(terminated["exitCode"])
    return None
