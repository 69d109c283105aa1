"""The whole product on a real cluster: the operator as it is deployed, a warehouse, a CRM, and a team that syncs."""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.chart import SYSTEM, Helm, HelmError, Values
from tests.cluster.build import cache_directory
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.processes import tail
from tests.e2e.images import OPERATOR, RUNNER, build_images
from tests.e2e.machine import install
from tests.e2e.node import RealCluster
from tests.e2e.sandbox import NODE
from tests.e2e.services import CRM_PORT, POSTGRES_PORT, Crm, Postgres, start_crm, start_postgres

T = TypeVar("T")
TAG = OPERATOR.rpartition(":")[2]
MANIFESTS = Path(__file__).parent / "manifests"
TEAM = "growth"
TABLE = """
CREATE TABLE accounts (account_id text PRIMARY KEY, name text, country text, employees integer);
"""
ACCOUNTS = [("A-1001", "Alpenblick Hotels", "AT", 340), ("A-1002", "Bramble & Finch", "GB", 58)]
ACCOUNTS += [("A-1003", "Cordillera", "CL", 1210)]
REFUSED = ("A-1004", "No country has this code", "Norway", 87)
"""What the CRM takes of the warehouse, and what it does not."""


@dataclass
class Stage:
    """Everything, from `start()` to `stop()`; `leave_up` lets it outlive this Python process."""

    leave_up: bool = False

    def __post_init__(self) -> None:
        self.directory = cache_directory() / "e2e" / "cluster"
        self.cluster = RealCluster(self.directory, leave_up=self.leave_up)
        self.seconds: dict[str, float] = {}
        self.postgres: Postgres
        self.crm: Crm

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubectl(self) -> Kubectl:
        return self.cluster.kubectl

    @property
    def helm(self) -> Helm:
        return Helm(self.kubectl.kubeconfig)

    def start(self) -> Self:
        """Build, start and deploy; on failure nothing is left, and the logs of the pods are in the error."""
        try:
            self._timed("packages", install)
            images = self._timed("images", build_images)
            self._timed("cluster", self.cluster.start)
            self._timed("import", lambda: self.cluster.load(*images))
            self._timed("services", self._start_services)
            self._timed("chart", self._install)
            self._timed("team", self._settle)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything and remove every trace. May be called twice."""
        self.cluster.stop()

    def get(self, kind: str, name: str, namespace: str = TEAM) -> dict[str, Any]:
        """One object as the API server has it (raises KubectlError when there is none)."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, kind: str, selector: str, namespace: str = TEAM) -> list[dict[str, Any]]:
        """The objects that a label selector matches."""
        found = json.loads(self.kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def account(self) -> str:
        """What a person would look at first when something is wrong."""
        told = []
        for command in (
            ["get", "reverseetlsyncs,syncruns,jobs,pods", "-A", "-o", "wide"],
            ["get", "events", "-A", "--sort-by=.lastTimestamp"],
            ["logs", "-n", SYSTEM, "deployment/retl-controller", "--all-pods", "--tail=40"],
            ["logs", "-n", SYSTEM, "deployment/retl-api", "--all-pods", "--tail=40"],
            ["logs", "-n", TEAM, "-l", "app.kubernetes.io/managed-by=reverse-etl-operator", "--tail=20", "--prefix"],
        ):
            try:
                told.append(f"$ kubectl {' '.join(command)}\n{self.kubectl(*command)}")
            except KubectlError as error:
                told.append(str(error))
        told.append(tail(self.directory / "plane" / "kube-controller-manager.log", lines=40))
        return "\n".join(told)

    def _start_services(self) -> None:
        self.postgres = start_postgres(self.cluster.sandbox)
        self.crm = start_crm(self.cluster.sandbox)
        with self.postgres.connect() as connection:
            for database in ("state", "warehouse"):
                connection.execute(f"CREATE DATABASE {database}")
        with self.postgres.connect("warehouse") as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.executemany("INSERT INTO accounts VALUES (%s, %s, %s, %s)", [*ACCOUNTS, REFUSED])

    def install(self, tag: str = TAG, **values: Any) -> None:
        """Install the chart, or upgrade it; returns when its pods are ready (raises AssertionError with an account)."""
        try:
            self.helm.install({**_values(tag), **values}, "--wait", "--timeout=120s")
        except HelmError as error:
            raise AssertionError(f"{error}\n{self.account()}") from None

    def _install(self) -> None:
        self._apply("namespaces.yaml")
        self.state_key = b64encode(os.urandom(32)).decode()
        self._secret(SYSTEM, "state-database", url=self.postgres.url("state"), key=self.state_key)
        self.install()

    def _settle(self) -> None:
        """A team comes, with logins and syncs of its own."""
        self._secret(TEAM, "warehouse-login", username="postgres", password=self.postgres.password)
        self._secret(TEAM, "crm-login", token=self.crm.token)
        self._apply("sync.yaml")

    def _secret(self, namespace: str, name: str, **values: str) -> None:
        literals = [f"--from-literal={key}={value}" for key, value in values.items()]
        self.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)

    def _apply(self, manifest: str) -> None:
        self.kubectl("apply", "--server-side", "-f", str(MANIFESTS / manifest))

    def _timed(self, step: str, action: Callable[[], T]) -> T:
        began = time.monotonic()
        done = action()
        self.seconds[step] = time.monotonic() - began
        return done


def _values(tag: str) -> Values:
    """The chart's values: everything as it comes, but for where this cluster's images are."""
    registry, _, operator = OPERATOR.rpartition(":")[0].rpartition("/")
    runner = RUNNER.rpartition(":")[0].rpartition("/")[2]
    reached = [{"cidr": f"{NODE}/32", "ports": [POSTGRES_PORT, CRM_PORT]}]
    return {
        "imageRegistry": registry,
        "image": {"repository": operator, "tag": tag, "pullPolicy": "Never"},
        "runner": {
            "image": {"repository": runner, "tag": tag, "pullPolicy": "Never"},
            "allowedPrivateNetworks": [f"{NODE}/32"],
        },
        "state": {"existingSecret": "state-database"},
        "networkPolicy": {"runners": [{"namespace": TEAM, "to": reached}]},
    }
