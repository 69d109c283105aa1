"""Local processes that never outlive their use.

A test run that is interrupted must leave no API server behind. So a child runs in a session of its own (Ctrl-C reaches
only the harness, which then stops its children in order), dies with the harness unless it is meant to stay up, and is
known by pid *and* start time, so that a recorded pid that now belongs to someone else is never killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
# The kernel ties a child to the thread that started it: this one lasts as long as the harness.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


class ProcessError(Exception):
    """A process did not start, did not become ready, or could not be stopped."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for another: its pid and its start time (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this pid now; None when there is none, or only a zombie."""
        try:
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state in "ZX" else cls(pid, int(rest[18]))

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def stop(self, patience: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after `patience` seconds; returns once it is gone."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                return
            os.kill(self.pid, sign)
            if wait_until(lambda: not self.alive(), patience):
                return
        raise ProcessError(f"process {self.pid} is still there {patience:g} s after SIGKILL")


@dataclass
class Program:
    """A command line that can be started, killed and started again; output is appended to `log`."""

    name: str
    command: Sequence[str]
    log: Path
    dies_with_parent: bool = True
    directory: Path | None = None
    environment: Mapping[str, str] | None = None
    user: str | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessError(f"{self.name} has not been started")
        return self._process.pid

    def start(self) -> None:
        """Start it; it may be called from any thread, however soon that ends."""
        _STARTER.submit(self._start).result()

    def _start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment,
                user=self.user,
                start_new_session=True,
                preexec_fn=die_with_parent() if self.dies_with_parent else None,
            )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, ready: Callable[[], bool], limit: float = 60.0) -> None:
        """Wait until `ready()`.

        Raises:
            ProcessError: the program ended first, or `limit` seconds have passed; with the tail of its log.
        """
        wait_until(lambda: not self.running() or ready(), limit)
        if not self.running():
            raise ProcessError(f"{self.name} ended before it was ready; {self.log} ends with:\n{tail(self.log)}")
        if not ready():
            raise ProcessError(f"{self.name} not ready after {limit:g} s; {self.log} ends with:\n{tail(self.log)}")

    def stop(self, sign: signal.Signals = signal.SIGTERM, patience: float = 10.0) -> None:
        """Send `sign`, then SIGKILL after `patience` seconds; returns once it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(patience)


def die_with_parent() -> Callable[[], None]:
    """A `preexec_fn` after which the kernel kills the child when the *thread* that started it ends."""
    parent = os.getpid()

    def ask_the_kernel() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above took effect
            os._exit(1)

    return ask_the_kernel


def wait_until(condition: Callable[[], bool], limit: float, every: float = 0.05) -> bool:
    """Whether `condition()` came true within `limit` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return condition()


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log; empty when there is no log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
