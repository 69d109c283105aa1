"""The life of one pod on the process node, from Pending to deleted, as a task that reads top to bottom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster import podspec, podstatus
from tests.cluster.api import STRATEGIC_PATCH, Api, ApiError
from tests.cluster.podfiles import PodFiles
from tests.cluster.podspec import Container, MissingReference, Pod, UnsupportedPod
from tests.cluster.podstatus import Cause, End, Status
from tests.cluster.processes import die_with_parent, tail

RETRY_SECONDS = 1.0


@dataclass
class Run:
    """One pod on its way through the node, shared by its life and those who look at it or do it harm."""

    pod: Pod
    files: PodFiles
    log: Path
    deletion: asyncio.Event = field(default_factory=asyncio.Event)
    process: subprocess.Popen[bytes] | None = None
    cause: Cause = Cause.ITSELF

    def observe(self, pod: Pod) -> None:
        """Take note of the pod's present state."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self.deletion.set()

    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def signal(self, sign: signal.Signals) -> None:
        """Send a signal to the process (not to those it started)."""
        if self.process is not None and self.running():
            os.kill(self.process.pid, sign)

    def kill(self) -> None:
        """SIGKILL to the process and all that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Launch:
    """All that starting a container takes."""

    command: list[str]
    environment: Mapping[str, str]
    directory: Path


class Life:
    """Binds a pod, runs its container, reports, and deletes it when asked to."""

    def __init__(
        self, api: Api, node: str, run: Run, schedulable: asyncio.Event, missing_images: Collection[str]
    ) -> None:
        self._api = api
        self._node = node
        self._run = run
        self._schedulable = schedulable
        self._missing_images = missing_images
        namespace, name = podstatus.key(run.pod)
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self._last_waiting: Status = {}

    async def live(self) -> None:
        """From whatever state the pod is in to its end. ApiError 404: the pod is gone."""
        if not self._run.pod["spec"].get("nodeName"):
            await self._bind()
        phase = self._run.pod["status"].get("phase", "Pending")
        if phase == "Pending":
            await self._report(await self._execute())
        elif phase == "Running":  # an earlier life of this node started it
            lost = "The container could not be located when the pod was terminated"
            container = podspec.only_container(self._run.pod)
            await self._report(podstatus.without_process(container, 137, "ContainerStatusUnknown", lost))
        await self._run.deletion.wait()
        await self._delete()

    async def _bind(self) -> None:
        if not self._schedulable.is_set():
            await self._report(podstatus.unschedulable(f"0/1 nodes are available: {self._node} is held."))
        await self._schedulable.wait()
        metadata = {"name": self._run.pod["metadata"]["name"], "uid": self._run.pod["metadata"]["uid"]}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata}
        target = {"apiVersion": "v1", "kind": "Node", "name": self._node}
        try:
            await self._api.request("POST", f"{self._path}/binding", binding | {"target": target})
        except ApiError as error:
            if error.status != 409:  # 409: bound already, by a request whose answer was lost
                raise

    async def _execute(self) -> Status:
        """Run the container; the status to report at its end."""
        try:
            container = podspec.only_container(self._run.pod)
            launch = await self._prepare(container)
        except UnsupportedPod as error:
            return podstatus.failed("Unsupported", str(error))
        if launch is None:
            return podstatus.failed("Deleted", "The pod was deleted before its container started.")
        started = datetime.now(UTC)
        try:
            process = self._spawn(launch)
        except OSError as error:
            return podstatus.without_process(container, 128, "StartError", str(error))
        self._run.process = process
        ending = asyncio.create_task(self._until_exit(process))
        await self._report(podstatus.running(container, started, process.pid))
        await ending
        code = podstatus.exit_code(process.returncode)
        message = self._termination_message(container, code)
        end = End(code, started, datetime.now(UTC), message, self._run.cause)
        return podstatus.ended(container, end, process.pid)

    async def _prepare(self, container: Container) -> Launch | None:
        """Make volumes and environment, waiting for what is missing; None when the pod is deleted first."""
        while not self._run.deletion.is_set():
            try:
                await self._run.files.write()
            except MissingReference as missing:
                await self._wait_for_volume(container, str(missing))
                continue
            if container.get("image") in self._missing_images:
                await self._back_off(container)
                continue
            try:
                return await self._launch(container)
            except MissingReference as missing:
                await self._wait_as(podstatus.waiting(container, "CreateContainerConfigError", str(missing)))
        return None

    async def _back_off(self, container: Container) -> None:
        """A kubelet says what the registry said once, and then that it waits before it asks again."""
        image = container["image"]
        if not self._last_waiting:
            said = f'failed to pull and unpack image "{image}": not found'
            await self._wait_as(podstatus.waiting(container, "ErrImagePull", said))
        await self._wait_as(podstatus.waiting(container, "ImagePullBackOff", f'Back-off pulling image "{image}"'))

    async def _wait_for_volume(self, container: Container, message: str) -> None:
        """A kubelet says what is wrong with a volume in an Event only; the status stays at ContainerCreating."""
        status = podstatus.waiting(container, "ContainerCreating")
        if self._last_waiting.get("containerStatuses") != status["containerStatuses"]:
            await self._warn("FailedMount", message)
        await self._wait_as(status)

    async def _wait_as(self, status: Status) -> None:
        """Report why the container waits (once for the same reason), and let a moment pass."""
        if self._last_waiting.get("containerStatuses") != status["containerStatuses"]:
            await self._report(status)
            self._last_waiting = status
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._run.deletion.wait(), RETRY_SECONDS)

    async def _launch(self, container: Container) -> Launch:
        run, files = self._run, self._run.files
        sources: dict[tuple[str, str], Mapping[str, str] | None] = {}
        for kind, name in podspec.sources_of(container):
            contents = await files.read(kind, name)
            text = {key: value.decode(errors="replace") for key, value in (contents or {}).items()}
            sources[kind, name] = None if contents is None else text
        variables = podspec.environment(run.pod, container, sources)
        places = files.prepare_places(container)
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(files.home),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "TMPDIR": str(files.temporary),
            "HOSTNAME": run.pod["metadata"]["name"],
        }
        given = {name: podspec.replace_paths(value, places) for name, value in variables.items()}
        working = Path(podspec.replace_paths(container.get("workingDir", ""), places))
        directory = working if working.is_relative_to(files.directory) else files.home
        return Launch(podspec.command_line(container, variables, places), own | given, directory)

    def _spawn(self, launch: Launch) -> subprocess.Popen[bytes]:
        program = launch.command[0]
        with self._run.log.open("ab") as output:
            return subprocess.Popen(
                launch.command,
                executable=podspec.find_program(program, launch.environment.get("PATH", os.defpath)),
                cwd=launch.directory,
                env=launch.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def _until_exit(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the exit; on deletion ask for it by SIGTERM and, after the grace period, force it."""
        exited = asyncio.create_task(_exited(process))
        deletion = asyncio.create_task(self._run.deletion.wait())
        tokens = asyncio.create_task(self._run.files.keep_tokens_fresh())
        try:
            await asyncio.wait({exited, deletion}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                self._run.signal(signal.SIGTERM)
                grace = self._run.pod["metadata"].get("deletionGracePeriodSeconds", 30)
                await asyncio.wait({exited}, timeout=grace)
            self._run.kill()  # also what the process left behind: its pid namespace would end with it
            await exited
            process.wait()
        finally:
            for task in (exited, deletion, tokens):
                task.cancel()

    async def _delete(self) -> None:
        """Tell the API server that nothing of the pod is left here."""
        metadata = self._run.pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds"):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            await self._api.request("DELETE", self._path, {"apiVersion": "v1", "kind": "DeleteOptions"} | options)

    async def _report(self, status: Status) -> None:
        body = {"metadata": {"uid": self._run.pod["metadata"]["uid"]}, "status": status}
        await self._api.request("PATCH", f"{self._path}/status", body, STRATEGIC_PATCH)

    async def _warn(self, reason: str, message: str) -> None:
        metadata: dict[str, Any] = dict(self._run.pod["metadata"])
        about = {key: metadata[key] for key in ("namespace", "name", "uid")} | {"apiVersion": "v1", "kind": "Pod"}
        now = podstatus.timestamp(datetime.now(UTC))
        event = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": about,
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._api.request("POST", f"/api/v1/namespaces/{metadata['namespace']}/events", event)

    def _termination_message(self, container: Container, code: int) -> str:
        limit = podstatus.MESSAGE_LIMIT_BYTES
        message = self._run.files.termination_log.read_bytes()[-limit:].decode(errors="replace")
        if not message and code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return tail(self._run.log, lines=80)[-limit // 2 :]
        return message


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended, without reaping it."""
    descriptor = os.pidfd_open(process.pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
