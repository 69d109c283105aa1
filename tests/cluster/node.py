"""The process node: scheduler and kubelet for pods whose containers are plain local processes.

A control plane without a node leaves every pod Pending. This one binds them to itself, runs the one container's command
as a process with its environment and volumes, and reports what a kubelet would; and it fails on request: killed, out of
memory, evicted, lost, without an image. What it does with a pod follows from the pod's state alone, so it survives
restarts of the API server and of itself. Containers are never restarted, whatever `restartPolicy` says; probes are
ignored, and of images only the name counts.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import podspec, podstatus
from tests.cluster.api import STRATEGIC_PATCH, Api, ApiError
from tests.cluster.kubectl import Access
from tests.cluster.kubelet import Kubelet
from tests.cluster.podfiles import PodFiles
from tests.cluster.podlife import Life, Run
from tests.cluster.podspec import Pod
from tests.cluster.podstatus import Cause

START_LIMIT_SECONDS = 30.0

log = logging.getLogger(__name__)


class ProcessNode:
    """A node that runs in a thread of this process, from `start()` to `stop()` or for a `with` block.

    Args:
        kubeconfig: an administrator's, as `ControlPlane` writes it.
        name: of the Node object.
        directory: where pods' directories and logs go; a temporary one, removed at the end, when not given.
    """

    def __init__(self, kubeconfig: Path, name: str = "process-node", directory: Path | None = None) -> None:
        self.name = name
        self._access = Access.load(kubeconfig)
        self._temporary = directory is None
        self.directory = directory.resolve() if directory else Path(tempfile.mkdtemp(prefix="retl-node-"))
        self._kubelet = Kubelet(self.directory, self._log_file, self._has_process)
        self._runs: dict[str, Run] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._schedulable = asyncio.Event()
        self._schedulable.set()
        self._missing_images: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._serving: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Register the node and serve; returns once it has seen all pods."""
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        self._thread.start()
        try:
            self.return_()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill all processes of pods and end the thread, without a word to the API server. May be called twice."""
        if self._thread.is_alive():
            self.lose()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def lose(self) -> None:
        """Be lost: kill all processes and report nothing, until `return_()`."""
        self._call(self._lose())

    def return_(self) -> None:
        """Come back: running pods whose processes are gone are reported Failed."""
        self._call(self._return())

    def hold(self) -> None:
        """Leave new pods Pending (Unschedulable) until `release()`."""
        self._loop.call_soon_threadsafe(self._schedulable.clear)

    def release(self) -> None:
        """Take the pods that were held back, and new ones."""
        self._loop.call_soon_threadsafe(self._schedulable.set)

    @contextmanager
    def without_image(self, image: str) -> Iterator[None]:
        """For a while no registry has the image: new pods with it stay Pending (ErrImagePull, ImagePullBackOff)."""
        self._missing_images.add(image)
        try:
            yield
        finally:
            self._missing_images.discard(image)

    def kill(self, namespace: str, pod: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the pod's process, as if it came from outside."""
        self._running(namespace, pod).signal(sign)

    def oom(self, namespace: str, pod: str) -> None:
        """Kill the pod's process as the kernel does when memory runs out: exit code 137, reason OOMKilled."""
        self._end(namespace, pod, Cause.OUT_OF_MEMORY)

    def evict(self, namespace: str, pod: str) -> None:
        """End the pod as a kubelet under memory pressure does: Failed, Evicted, condition DisruptionTarget."""
        self._end(namespace, pod, Cause.EVICTION)

    def logs(self, namespace: str, pod: str) -> str:
        """What the pod has written to stdout and stderr so far; also after it has been deleted."""
        return self._log_file(namespace, pod).read_text(errors="replace")

    def pids(self) -> list[int]:
        """Process ids of all pods that run now."""
        runs = list(self._runs.values())
        return [run.process.pid for run in runs if run.process is not None and run.running()]

    def _end(self, namespace: str, pod: str, cause: Cause) -> None:
        run = self._running(namespace, pod)
        run.cause = cause
        run.kill()

    def _running(self, namespace: str, pod: str) -> Run:
        for run in list(self._runs.values()):
            if podstatus.key(run.pod) == (namespace, pod) and run.running():
                return run
        raise LookupError(f"pod {namespace}/{pod} has no process on {self.name}")

    def _has_process(self, namespace: str, pod: str) -> bool:
        return any(podstatus.key(run.pod) == (namespace, pod) and run.running() for run in self._runs.values())

    def _log_file(self, namespace: str, pod: str) -> Path:
        return self.directory / "logs" / f"{namespace}_{pod}.log"

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_LIMIT_SECONDS)

    # The node as a whole: everything from here on runs in the thread's event loop.

    async def _return(self) -> None:
        seen_all = asyncio.Event()
        self._serving = asyncio.create_task(self._serve(seen_all))
        waiting = asyncio.create_task(seen_all.wait())
        await asyncio.wait({self._serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._serving.done():
            self._serving.result()

    async def _lose(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})

    async def _serve(self, seen_all: asyncio.Event) -> None:
        """Follow all pods, each with a task of its own, until cancelled."""
        api = Api(self._access)
        try:
            await self._kubelet.start()
            await self._register(api)
            while True:
                listing = await api.request("GET", "/api/v1/pods")
                self._observe_all(api, listing["items"])
                seen_all.set()
                async for event, pod in api.watch("/api/v1/pods", listing["metadata"]["resourceVersion"]):
                    self._observe(api, event, pod)
        finally:
            lives = list(self._lives.values())
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
            await self._kubelet.stop()
            await api.aclose()

    async def _register(self, api: Api) -> None:
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}}
        try:
            await api.request("POST", "/api/v1/nodes", node)
        except ApiError as error:
            if error.status != 409:
                raise
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "runs pods as processes"}
        now = podstatus.timestamp(datetime.now(UTC))
        status = {
            "capacity": podspec.NODE_CAPACITY,
            "allocatable": podspec.NODE_CAPACITY,
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
            "addresses": [{"type": "InternalIP", "address": podspec.POD_IP}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._kubelet.port}},
        }
        await api.request("PATCH", f"/api/v1/nodes/{self.name}", {"spec": {"taints": None}}, STRATEGIC_PATCH)
        await api.request("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status}, STRATEGIC_PATCH)

    def _observe_all(self, api: Api, pods: list[Pod]) -> None:
        there = {pod["metadata"]["uid"] for pod in pods}
        for uid in self._lives.keys() - there:
            self._lives[uid].cancel()
        for pod in pods:
            self._observe(api, "ADDED", pod)

    def _observe(self, api: Api, event: str, pod: Pod) -> None:
        uid = pod["metadata"]["uid"]
        if event == "DELETED":
            if uid in self._lives:
                self._lives[uid].cancel()
            return
        if uid not in self._lives:
            if not self._concerns_us(pod):
                return
            files = PodFiles(api, pod, self.directory / "pods" / uid)
            self._runs[uid] = Run(pod, files, self._log_file(*podstatus.key(pod)))
            self._lives[uid] = asyncio.create_task(self._live(api, uid, self._runs[uid]))
        self._runs[uid].observe(pod)

    def _concerns_us(self, pod: Pod) -> bool:
        """Not bound to another node, and not both ended and handed over for deletion (only finalizers hold it)."""
        has_ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        handed_over = has_ended and pod["metadata"].get("deletionGracePeriodSeconds") == 0
        return pod["spec"].get("nodeName", self.name) == self.name and not handed_over

    async def _live(self, api: Api, uid: str, run: Run) -> None:
        try:
            await Life(api, self.name, run, self._schedulable, self._missing_images).live()
        except ApiError as error:
            if error.status != 404:  # 404: the pod was deleted meanwhile
                log.error("pod %s/%s: %s", *podstatus.key(run.pod), error)
        finally:
            run.kill()
            if run.process is not None:
                run.process.wait()
            shutil.rmtree(run.files.directory, ignore_errors=True)
            del self._lives[uid], self._runs[uid]
