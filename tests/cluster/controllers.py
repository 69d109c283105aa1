"""Controllers under test: processes of their own, with the rights of the real ServiceAccount."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.cluster import PERMISSIONS, PROJECT, Cluster, based
from tests.cluster.kubectl import Access
from tests.cluster.objects import Namespace, crm, warehouse
from tests.cluster.processes import Program, tail

TINY_RUNNER = (sys.executable, "-S", "-E", str(Path(__file__).parent / "tiny_runner.py"))
MINUTE = 60.0


def service_account_kubeconfig(cluster: Cluster, name: str, directory: Path) -> Path:
    """A kubeconfig with a real token of one of the operator's ServiceAccounts; the accounts are made first."""
    cluster.kubectl("apply", *based(*PERMISSIONS))
    token = cluster.kubectl("create", "token", name, "-n", "retl-system", "--duration=2h").strip()
    admin = Access.load(cluster.kubeconfig)
    path = directory / f"{name}.kubeconfig"
    Access(admin.server, admin.ca_file, token).save(path, name)
    return path


@dataclass
class ControllerProcess:
    """One controller: started, killed and started again at will; `advance` moves the time it believes in."""

    directory: Path
    kubeconfig: Path
    namespaces: Sequence[str] = ()
    command: Sequence[str] = TINY_RUNNER
    retry_seconds: float = 0.0
    state_url: str = "http://127.0.0.1:1"
    state_token: Path | None = None
    metrics_port: int = 0
    health_port: int = 0
    lease: str = ""
    name: str = "controller"
    offset: float = field(default=0.0, init=False)
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "tests.cluster.controller_main", str(self._file("json"))]
        path = os.pathsep.join([str(PROJECT), str(PROJECT / "operator")])
        self.program = Program(self.name, command, self._file("log"), environment=os.environ | {"PYTHONPATH": path})
        self.advance(0)

    def start(self, *, dies_before: int = 0, dies_after: int = 0) -> None:
        """Start it; it kills itself before or after that many writes, if that is wanted."""
        death = {"write": dies_before or dies_after, "after": bool(dies_after)} if dies_before or dies_after else None
        config = {
            "kubeconfig": str(self.kubeconfig),
            "namespaces": list(self.namespaces),
            "command": list(self.command),
            "retry_seconds": self.retry_seconds,
            "state_url": self.state_url,
            "state_token": str(self.state_token) if self.state_token else "",
            "clock": str(self._file("offset")),
            "metrics_port": self.metrics_port,
            "health_port": self.health_port,
            "lease": self.lease,
            "dies": death,
        }
        self._file("json").write_text(json.dumps(config))
        self.program.start()

    def stop(self) -> None:
        self.program.stop()

    def kill(self) -> None:
        """kill -9."""
        self.program.stop(signal.SIGKILL)

    def advance(self, seconds: float) -> None:
        """Move its clock forward."""
        self.offset += seconds
        partial = self._file("offset.partial")
        partial.write_text(str(self.offset))
        partial.replace(self._file("offset"))

    def log(self) -> str:
        return tail(self._file("log"), 60)

    def _file(self, suffix: str) -> Path:
        return self.directory / f"{self.name}.{suffix}"


@contextmanager
def running(controller: ControllerProcess) -> Iterator[ControllerProcess]:
    """The controller, started for as long as the block lasts."""
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


@pytest.fixture(scope="session")
def account(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return service_account_kubeconfig(cluster, "retl-controller", tmp_path_factory.mktemp("account"))


@pytest.fixture
def controller(account: Path, namespace: str, tmp_path: Path) -> ControllerProcess:
    """A controller of the test's namespace, not started yet."""
    return ControllerProcess(tmp_path, account, [namespace])


@pytest.fixture
def at_work(controller: ControllerProcess) -> Iterator[ControllerProcess]:
    with running(controller):
        yield controller


@pytest.fixture
def shop(cluster: Cluster, namespace: str) -> Namespace:
    """The test's namespace with a source and a destination."""
    place = Namespace(cluster, namespace)
    place.apply(warehouse(), crm())
    return place
