"""What this machine must have for real pods, and how it gets the Debian packages it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.build import cache_directory
from tests.cluster.processes import die_with_parent

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "pids")
COMMAND_LIMIT_SECONDS = 900

# What each package is needed for: a program on PATH, or a file.
PACKAGES: Mapping[str, str] = {
    "buildah": "buildah",
    "containerd": "containerd",
    "runc": "runc",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "iproute2": "ip",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
}


class CommandError(Exception):
    """A command failed; the message is the command and the end of what it wrote."""


def run(*command: str | Path, env: Mapping[str, str] | None = None, input: str | None = None) -> str:
    """What a command wrote to stdout; `env` is added to the environment. It dies with the thread that called.

    Raises:
        CommandError: exit code other than 0, or no end within COMMAND_LIMIT_SECONDS.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | (env or {}),
            timeout=COMMAND_LIMIT_SECONDS,
            preexec_fn=die_with_parent(),
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(words)}: not finished after {COMMAND_LIMIT_SECONDS} s") from error
    if done.returncode:
        ending = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise CommandError(f"{' '.join(words)}: exit code {done.returncode}\n{ending}")
    return done.stdout


def run_contained(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """As `run`, for a command that mounts things and starts others; interrupted, it leaves nothing of that behind."""
    contained = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    with_run = ("sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")
    return run(*contained, *with_run, *command, env=env)


def missing() -> str | None:
    """Why this machine cannot run real pods; None when it can, perhaps after `install()`."""
    if platform.system() != "Linux":
        return f"real pods need Linux; this is {platform.system()}"
    if os.geteuid() != 0:
        return "real pods need root: namespaces, mounts and cgroups"
    if _distribution() != "debian":
        return f"the images and tools are made of Debian packages; /etc/os-release says ID={_distribution()}"
    if shutil.which("apt-get") is None and (lacking := _lacking()):
        return f"apt-get is not there to install {', '.join(lacking)}"
    return _without_cgroups() or _without_overlay()


def install() -> None:
    """Install the Debian packages that are not there yet."""
    if not (lacking := _lacking()):
        return
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    run("apt-get", "update", "-qq", env=quiet)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking, env=quiet)


def debian_mirror() -> str:
    """Where this machine's own apt gets Debian's main packages."""
    for line in run("apt-get", "indextargets", "--format", "$(CREATED_BY) $(ORIGIN) $(COMPONENT) $(REPO_URI)").split(
        "\n"
    ):
        words = line.split()
        if words[:3] == ["Packages", "Debian", "main"]:
            return words[3]
    raise CommandError("apt knows no source of Debian's main packages; run apt-get update, or name one in its sources")


def hierarchies() -> list[Path]:
    """Where cgroups are made: one place with cgroup v2, one for each controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _lacking() -> list[str]:
    return [package for package, needed in PACKAGES.items() if shutil.which(needed) is None]


def _distribution() -> str:
    return platform.freedesktop_os_release().get("ID", "") if Path("/etc/os-release").exists() else ""


def _without_cgroups() -> str | None:
    places = hierarchies()
    if not places:
        return f"no cgroups at {CGROUPS}"
    v2 = places == [CGROUPS]
    there = (
        set((CGROUPS / "cgroup.subtree_control").read_text().split())
        if v2
        else {name for path in places for name in path.name.split(",")}
    )
    if lacking := set(CONTROLLERS) - there:
        return f"no cgroup controller {', '.join(sorted(lacking))} for the children of {CGROUPS}"
    probe = places[0] / f"retl-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        return f"cannot make a cgroup: {error}"
    return None


def _without_overlay() -> str | None:
    """Whether overlayfs can be mounted on the cache directory, inside namespaces as the sandbox uses them."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_directory()) as directory:
        lower, upper, work, merged = (Path(directory, name) for name in ("lower", "upper", "work", "merged"))
        for path in (lower, upper, work, merged):
            path.mkdir()
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount: Sequence[str] = ("mount", "-t", "overlay", "overlay", "-o", layers, str(merged))
        try:
            run("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", *mount)
        except CommandError as error:
            return f"cannot mount overlayfs in namespaces of its own, on {cache_directory()}: {error}"
    return None
