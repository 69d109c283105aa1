"""Who holds a local claim, and whether that process is still there.

After a run was killed on a laptop, the next one should start at once, without waiting for the lease. That is safe only
where we can tell for sure: same machine since the same boot, same process namespace. Elsewhere the lease decides.
"""

import hashlib
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path


def this_process() -> str:
    """This process as `host/pid/start`, for `ClaimRequest.owner`."""
    return owner(os.getpid())


def owner(pid: int) -> str:
    """A process of this host as `host/pid/start`."""
    return f"{_host()}/{pid}/{_started(pid)}"


def is_gone(claimed_by: str) -> bool:
    """Whether the owner is a process of this very host that has ended; False whenever that is not certain."""
    host, _, rest = claimed_by.partition("/")
    pid, _, started = rest.partition("/")
    if host != _host() or not pid.isdecimal() or not started:
        return False
    return _started(int(pid)) != started


@cache
def _host() -> str:
    """Host name, with a fingerprint of boot and process namespace: a pid means something only within those."""
    name = socket.gethostname()
    if sys.platform != "linux":
        return name
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    namespace = bytes(Path("/proc/self/ns/pid").readlink())
    return f"{name}~{hashlib.sha256(boot + namespace).hexdigest()[:8]}"


def _started(pid: int) -> str | None:
    """When a process started, in words that differ if the pid is used again; None if there is none."""
    if sys.platform != "linux":
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip().replace("/", "-") or None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in {"Z", "X"} else fields[19]  # field 22 of proc(5): clock ticks since boot
