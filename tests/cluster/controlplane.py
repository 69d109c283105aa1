"""A Kubernetes control plane of one's own: etcd, kube-apiserver and kube-controller-manager on free local ports.

It is the real thing (admission, RBAC, CEL, garbage collection, the Job controller) without a node. Data lives in memory
where the machine allows it, and every process is gone when the block is left, however it is left:

    with ControlPlane(crds=Path("crds"), users={"ada": ["analysts"]}) as plane:
        plane.kubectl("get", "namespaces")
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.cluster.build import build
from tests.cluster.kubectl import Access, Kubectl, KubectlError
from tests.cluster.processes import Identity, ProcessError, Program, free_ports

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")

_CONTROLLERS = (
    "job-controller",
    "cronjob-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
)
_SPARING = {"GOGC": "300", "GOMEMLIMIT": "3GiB"}
"""Memory for processor time, of which the tests leave the components little."""
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
"""
_DIRECTORY_PREFIX = "retl-cluster-"


class ControlPlane:
    """A control plane that lives as long as the `with` block, or from `start()` to `stop()`.

    Args:
        crds: directory of CustomResourceDefinitions, applied before kube-controller-manager starts: its garbage
            collector would notice them only half a minute later.
        users: further users by name with their groups, each with a token; see `user_kubeconfig`.
        directory: where data, logs and credentials go; without it a temporary one (in memory), removed at the end.
        leave_up: the processes outlive this Python process; someone stops them by their pids.
        address: what etcd and the API server listen on.
        prefix: goes before each command line, for example to enter a network namespace.
        flags: further flags by component; where one is given twice, the component takes the last.
    """

    def __init__(
        self,
        *,
        crds: Path | None = None,
        users: Mapping[str, Sequence[str]] | None = None,
        directory: Path | None = None,
        leave_up: bool = False,
        address: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._crds = crds
        self._users: dict[str, Sequence[str]] = {"admin": ["system:masters"], **(users or {})}
        self._tokens = {name: secrets.token_urlsafe(24) for name in self._users}
        self._temporary = directory is None
        self.directory = directory.resolve() if directory else _temporary_directory()
        self._leave_up = leave_up
        self._address = address
        self._prefix = prefix
        self._further_flags = flags or {}
        self._etcd_port, self._port = free_ports(2)
        self._programs: dict[str, Program] = {}
        self.server = f"https://{address}:{self._port}"
        self.kubeconfig = self.directory / "admin.kubeconfig"
        self.audit_log = self.directory / "audit.log"
        self.kubectl = Kubectl(self.kubeconfig, cache=self.directory / "kubectl-cache")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each component."""
        return {name: program.pid for name, program in self._programs.items()}

    def start(self) -> Self:
        """Build what is missing, start everything, return when it is of use; on failure nothing is left running.

        Raises:
            BuildError: a binary cannot be built.
            ProcessError: a component did not start; with the tail of its log.
        """
        try:
            self._programs = self._write_programs(build(*COMPONENTS))
            for component in ("etcd", "kube-apiserver"):
                self.resume(component)
            for user in self._users:
                self._access(user).save(self._kubeconfig_of(user), user)
            if self._crds is not None:
                self.apply_crds(self._crds)
            self.resume("kube-controller-manager")
            self._wait_for_controllers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the components, dependents first, and remove the temporary directory. May be called twice."""
        for component in reversed(COMPONENTS):
            if program := self._programs.get(component):
                program.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def halt(self, component: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """End one component (a name of COMPONENTS) with a signal; returns once it is gone."""
        self._programs[component].stop(sign)

    def resume(self, component: str) -> None:
        """Start a component, again or for the first time, with the same ports and data; returns when it is ready."""
        program = self._programs[component]
        program.start()
        program.wait_ready(
            {"etcd": self._etcd_ready, "kube-apiserver": self._api_ready}.get(component, program.running)
        )

    def restart(self, component: str, kill_signal: signal.Signals = signal.SIGKILL) -> None:
        """End one component with a signal and start it again."""
        self.halt(component, kill_signal)
        self.resume(component)

    def user_kubeconfig(self, name: str) -> Path:
        """Kubeconfig of one of the `users` this control plane was made with."""
        if name not in self._users:
            raise KeyError(f"no user {name!r}; pass users={{{name!r}: [groups]}} to ControlPlane")
        return self._kubeconfig_of(name)

    def apply_crds(self, directory: Path) -> None:
        """Apply a directory of CustomResourceDefinitions and wait until they are served."""
        self.kubectl.apply_crds(directory)

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """Every finished request so far, oldest first: who (`user.username`), `verb`, `objectRef`, `responseStatus`."""
        with self.audit_log.open() as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)

    def _kubeconfig_of(self, user: str) -> Path:
        return self.directory / f"{user}.kubeconfig"

    def _access(self, user: str) -> Access:
        return Access(self.server, self._certificate, self._tokens[user])

    @property
    def _certificate(self) -> Path:
        """What the API server serves with: made by itself at its first start, for 127.0.0.1, CA included."""
        return self.directory / "pki" / "apiserver.crt"

    def _write_programs(self, binaries: Mapping[str, Path]) -> dict[str, Program]:
        """Write the files that the components read, and return the components, not yet started."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        (self.directory / "tokens.csv").touch(mode=0o600)
        (self.directory / "tokens.csv").write_text(
            "".join(
                f'{self._tokens[user]},{user},uid-{user},"{",".join(groups)}"\n' for user, groups in self._users.items()
            )
        )
        flags = {
            "etcd": self._etcd_flags(),
            "kube-apiserver": self._apiserver_flags(),
            "kube-controller-manager": self._controller_manager_flags(),
        }
        return {
            name: Program(
                name,
                [*self._prefix, str(binaries[name]), *flags[name], *self._further_flags.get(name, ())],
                log=self.directory / f"{name}.log",
                dies_with_parent=not self._leave_up,
                environment=os.environ | _SPARING,
            )
            for name in COMPONENTS
        }

    def _etcd_flags(self) -> list[str]:
        return [
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync",  # losing the data with the machine is fine here, waiting for the disk is not
            f"--listen-client-urls=http://{self._address}:{self._etcd_port}",
            f"--advertise-client-urls=http://{self._address}:{self._etcd_port}",
            "--listen-peer-urls=http://127.0.0.1:0",
        ]

    def _apiserver_flags(self) -> list[str]:
        service_account_key = self.directory / "pki" / "apiserver.key"  # made at the first start, like the certificate
        return [
            f"--etcd-servers=http://{self._address}:{self._etcd_port}",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._port}",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.directory / 'pki'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={service_account_key}",
            f"--service-account-signing-key-file={service_account_key}",
            f"--audit-policy-file={self.directory / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
        ]

    def _controller_manager_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
            f"--root-ca-file={self._certificate}",
            f"--controllers={','.join(_CONTROLLERS)}",
        ]

    def _etcd_ready(self) -> bool:
        try:
            return httpx.get(f"http://{self._address}:{self._etcd_port}/health", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _api_ready(self) -> bool:
        if not self._certificate.exists():
            return False
        trust = ssl.create_default_context(cafile=str(self._certificate))
        headers = {"Authorization": f"Bearer {self._tokens['admin']}"}
        try:
            return httpx.get(f"{self.server}/readyz", headers=headers, verify=trust, timeout=2).is_success
        except httpx.TransportError:
            return False

    def _wait_for_controllers(self) -> None:
        """The controllers are at work once the first namespace has its ServiceAccount."""
        program = self._programs["kube-controller-manager"]

        def at_work() -> bool:
            try:
                return bool(self.kubectl("get", "serviceaccount", "default", "-n", "default", "--ignore-not-found"))
            except KubectlError:
                return False

        program.wait_ready(at_work)


def _temporary_directory() -> Path:
    """A fresh directory, in memory where possible; those of harnesses that were killed are swept away first."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_DIRECTORY_PREFIX}*"):
        pid, started, *_ = left.name.removeprefix(_DIRECTORY_PREFIX).split("-")
        if not Identity(int(pid), int(started)).alive():
            shutil.rmtree(left, ignore_errors=True)
    me = Identity.of(os.getpid())
    if me is None:
        raise ProcessError("cannot read this process's own entry in /proc")
    return Path(tempfile.mkdtemp(prefix=f"{_DIRECTORY_PREFIX}{me.pid}-{me.started}-", dir=parent))
