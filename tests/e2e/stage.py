"""The whole product on a real cluster: the operator as it is deployed, a warehouse, a CRM, and a team that syncs."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Self

from tests.chart import PROJECT, SYSTEM, Helm, HelmError
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.e2e.forward import Forward
from tests.e2e.ground import TEAM, Ground, Stopwatch
from tests.e2e.machine import run
from tests.e2e.services import CRM_PORT, POSTGRES_PORT, Crm, Warehouse

MANIFESTS = Path(__file__).parent / "manifests"
TABLE = """
CREATE TABLE accounts (account_id text PRIMARY KEY, name text, country text, employees integer);
"""
ACCOUNTS = [("A-1001", "Alpenblick Hotels", "AT", 340), ("A-1002", "Bramble & Finch", "GB", 58)]
ACCOUNTS += [("A-1003", "Cordillera", "CL", 1210)]
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
"""Where a cluster's pods and Services are, and so the CRM."""
REFUSED = ("A-1004", "No country has this code", "Norway", 87)
"""What the CRM takes of the warehouse, and what it does not."""


@dataclass
class Stage:
    """Everything, from `start()` to `stop()`."""

    ground: Ground
    seconds: Stopwatch = field(default_factory=Stopwatch)
    warehouse: Warehouse = field(init=False)
    crm: Crm = field(init=False)
    _ending: ExitStack = field(default_factory=ExitStack, init=False)

    @property
    def kubectl(self) -> Kubectl:
        return self.ground.kubectl

    @property
    def helm(self) -> Helm:
        return Helm(self.kubectl.kubeconfig)

    def start(self) -> Self:
        """Build, start and deploy; on failure nothing is left, and the logs of the pods are in the error."""
        self.ground.start(self.seconds)
        self._ending.callback(self.ground.stop)
        try:
            self._prepare()
            self.seconds("chart", self.install)
            self.seconds("team", self._settle)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything and remove every trace. May be called twice."""
        self._ending.close()

    def get(self, kind: str, name: str, namespace: str = TEAM) -> dict[str, Any]:
        """One object as the API server has it (raises KubectlError when there is none)."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, kind: str, selector: str, namespace: str = TEAM) -> list[dict[str, Any]]:
        """The objects that a label selector matches."""
        found = json.loads(self.kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def forward(self, namespace: str, target: str, port: int) -> str:
        """Where a pod's port is on this machine, as HOST:PORT, for as long as the stage is up."""
        directory = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="retl-e2e-")))
        forward = Forward(self.kubectl, namespace, target, port, directory)
        self._ending.callback(forward.stop)
        return forward.address

    def shell(self, commands: str) -> str:
        """What a person's commands, typed in a clone, write to stdout (raises CommandError)."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": programs, "KUBECONFIG": str(self.kubectl.kubeconfig)}
        return run("sh", "-ec", f"cd '{PROJECT}'\n{commands}", env=environment)

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
        return "\n".join([*told, self.ground.log()])

    def install(self, tag: str | None = None, **values: Any) -> None:
        """Install the chart, or upgrade it; returns when its pods are ready (raises AssertionError with an account).

        All values are as they come, but for where the images are, a database and what runners of the team reach.
        """
        names = self.ground.names
        reached = [{"cidr": "0.0.0.0/0", "ports": [POSTGRES_PORT, CRM_PORT]}]
        images = names.values(tag or names.tag)
        ours = {
            **images,
            "runner": {**images["runner"], "allowedPrivateNetworks": PRIVATE},
            "postgresql": {"enabled": True},
            "networkPolicy": {"runners": [{"namespace": TEAM, "to": reached}]},
        }
        try:
            self.helm.install({**ours, **values}, "--wait", "--timeout=120s")
        except HelmError as error:
            raise AssertionError(f"{error}\n{self.account()}") from None

    def _prepare(self) -> None:
        """Namespaces, and in the team's what it syncs from and to: it starts while the chart is installed."""
        names = self.ground.names
        self._apply("namespaces.yaml")
        self._password, self._token = secrets.token_hex(12), secrets.token_hex(12)
        self._secret("warehouse-login", username="warehouse", password=self._password)
        self._secret("crm-login", token=self._token)
        program = (f"--from-file={path}" for path in sorted((PROJECT / "examples" / "crm").glob("*.py")))
        self.kubectl("create", "configmap", "crm", "-n", TEAM, *program)
        self._apply("services.yaml", IMAGE=names.image("operator", names.tag), PULL_POLICY=names.pull_policy)

    def _settle(self) -> None:
        """The team comes, with rows and syncs of its own."""
        for name in ("warehouse", "crm"):
            self.kubectl("rollout", "status", f"deployment/{name}", "-n", TEAM, "--timeout=120s", timeout=130)
        self.warehouse = Warehouse(self.forward(TEAM, "service/warehouse", POSTGRES_PORT), self._password)
        self.crm = Crm(self.forward(TEAM, "service/crm", CRM_PORT), self._token)
        with self.warehouse.connect() as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.executemany("INSERT INTO accounts VALUES (%s, %s, %s, %s)", [*ACCOUNTS, REFUSED])
        self._apply("sync.yaml")

    def _secret(self, name: str, **values: str) -> None:
        literals = [f"--from-literal={key}={value}" for key, value in values.items()]
        self.kubectl("create", "secret", "generic", name, "-n", TEAM, *literals)

    def _apply(self, manifest: str, **places: str) -> None:
        text = (MANIFESTS / manifest).read_text()
        self.kubectl("apply", "--server-side", "-f", "-", input=Template(text).substitute(places) if places else text)
