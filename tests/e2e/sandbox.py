"""Linux namespaces that hold a whole node, and take all of it away when they end.

The first process of a PID namespace takes every other one with it, whatever became of the harness; the network
namespace takes links, routes, iptables rules and sysctls, the mount namespace all mounts. What is left are the work
directory, and cgroups below one directory of their own. A machine that already is a node is not disturbed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.processes import Identity, ProcessError, Program, wait_until
from tests.e2e.machine import CommandError, hierarchies, run

LINK = "retl-e2e"  # the machine's end of the only link into the sandbox; its name is taken once a machine
NETWORK = ipaddress.ip_network("10.245.0.0/22")
PODS = "10.245.0.0/24"
HOST, NODE = "10.245.1.1", "10.245.1.2"
SERVICES = "10.245.2.0/24"
CGROUP = "retl-e2e"

# The kubelet writes to these, which belong to the whole machine; in the sandbox it finds plain files in their place.
_MACHINE_WIDE = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
_PREPARE = """
set -e
mount -t tmpfs tmpfs /run
mkdir "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/var,upperdir=$1/upper,workdir=$1/work" /var
shift
for name in "$@"; do
  mkdir -p "/run/sys/$name"
  cat "/proc/sys/$name" > "/run/sys/$name/value"
  mount --bind "/run/sys/$name/value" "/proc/sys/$name"
done
"""


class Sandbox:
    """The namespaces, from `start()` to `stop()`.

    Args:
        directory: private work directory; it is removed by `stop()`.
        leave_up: they outlive this Python process; `stop_recorded` ends them.
    """

    def __init__(self, directory: Path, *, leave_up: bool = False) -> None:
        self.directory = directory
        self._leave_up = leave_up
        self._first: Identity | None = None

    @property
    def prefix(self) -> list[str]:
        """Goes before a command line that shall run inside."""
        if self._first is None:
            raise ProcessError("the sandbox has not been started")
        return ["nsenter", "--target", str(self._first.pid), "--net", "--mount", "--pid", "--"]

    def program(self, name: str, *command: str | Path) -> Program:
        """A program that will run inside, with its log in the work directory; not yet started."""
        words = [*self.prefix, *map(str, command)]
        return Program(name, words, log=self.directory / f"{name}.log", dies_with_parent=not self._leave_up)

    def run(self, *command: str | Path) -> str:
        """What a command inside wrote to stdout (raises CommandError)."""
        return run(*self.prefix, *command)

    def start(self) -> None:
        """Make the namespaces, the link into them and what the machine must not share with them.

        Raises:
            ProcessError: there is one already, or its addresses are taken.
        """
        if recorded(self.directory):
            raise ProcessError("a cluster with real pods is up already; stop it with: python -m tests.e2e down")
        stop_recorded(self.directory)
        _refuse_taken_addresses()
        self.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        # SIGCHLD is ignored so that the kernel buries what is orphaned: the first process does not.
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        words += ["env", "--ignore-signal=CHLD", "sleep", "infinity"]
        outer = Program("sandbox", words, log=self.directory / "sandbox.log", dies_with_parent=not self._leave_up)
        outer.start()
        try:
            outer.wait_ready(lambda: _sleeps(_child(outer.pid)), limit=10)
        except BaseException:
            outer.stop()
            raise
        first = Identity.of(_child(outer.pid))
        if first is None:
            raise ProcessError("the sandbox ended at once")
        self._first = first
        _record(self.directory).write_text(json.dumps({"pid": first.pid, "started": first.started}))
        for hierarchy in hierarchies():
            (hierarchy / CGROUP).mkdir(exist_ok=True)
        self._connect(first.pid)
        var = self.directory / "var"
        var.mkdir()
        self.run("sh", "-c", _PREPARE, "sh", var, *_MACHINE_WIDE)

    def stop(self) -> None:
        """End everything inside and remove every trace. May be called twice, and leaves alone what others started."""
        if self._first is not None:
            stop_recorded(self.directory)
            self._first = None

    def _connect(self, pid: int) -> None:
        run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "node0", "netns", str(pid))
        run("ip", "address", "add", f"{HOST}/30", "dev", LINK)
        run("ip", "link", "set", LINK, "up")
        for command in ("link set lo up", f"address add {NODE}/30 dev node0", "link set node0 up"):
            self.run("ip", *command.split())
        for network in (PODS, SERVICES):
            run("ip", "route", "add", network, "via", NODE)
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def recorded(directory: Path) -> Identity | None:
    """The first process of the sandbox that was started in this directory; None when there is none alive."""
    try:
        first = Identity(**json.loads(_record(directory).read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return first if first.alive() else None


def stop_recorded(directory: Path) -> None:
    """End the sandbox that was started in this directory, also by a harness that is no more, and remove its traces."""
    if not _record(directory).exists():
        return
    if first := recorded(directory):
        os.kill(first.pid, signal.SIGKILL)  # nothing inside is worth an orderly end
        if not wait_until(lambda: not first.alive(), limit=30):
            raise ProcessError(f"the sandbox's first process, {first.pid}, is still there 30 s after SIGKILL")
    with contextlib.suppress(CommandError):  # it goes with its other end, usually before we come here
        run("ip", "link", "delete", LINK)
    for hierarchy in hierarchies():
        _remove_cgroup(hierarchy / CGROUP)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_cgroup(top: Path) -> None:
    """Remove a tree of cgroups, which the kernel allows once the last of the killed processes has been reaped."""

    def gone() -> bool:
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        return not top.exists()

    if not wait_until(gone, limit=10):
        raise ProcessError(f"cgroup {top} cannot be removed; its processes: {_members(top)}")


def _members(top: Path) -> Sequence[str]:
    return [pid for path in top.rglob("cgroup.procs") for pid in path.read_text().split()]


def _record(directory: Path) -> Path:
    return directory / "sandbox.json"


def _child(pid: int) -> int:
    """The only child of a process; 0 when there is none yet."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0


def _sleeps(pid: int) -> bool:
    """Whether `unshare` and `env` have done their part and become `sleep`."""
    try:
        return pid != 0 and Path(f"/proc/{pid}/comm").read_text().strip() == "sleep"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _refuse_taken_addresses() -> None:
    for route in json.loads(run("ip", "-json", "-4", "route", "show")):
        destination = route["dst"]
        if destination != "default" and ipaddress.ip_network(destination).overlaps(NETWORK):
            taken_by = f"route {destination} of device {route.get('dev')}"
            raise ProcessError(f"the sandbox needs {NETWORK}, which overlaps with {taken_by}")
