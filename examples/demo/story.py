"""The demo as a story: each step is a function, and `play` is their table of contents."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from examples.demo import manifests, warehouse
from examples.demo.cluster import NAMESPACE, SYSTEM, Cluster, DemoFailed, Manifest
from examples.demo.stage import PROJECT, Stage
from examples.demo.telling import Telling
from tests.cluster.cluster import PERMISSIONS, POLICIES, based
from tests.postgres import Postgres, free_port

FLIGHTS = PROJECT / "examples" / "flights"
RETL = str(Path(sys.executable).parent / "retl")
SHARE = 0.01
CRM_CALLS_PER_SECOND = 10
SCHEDULED, BY_HAND = "planes-to-crm", "daily-traffic"


@dataclass
class Story:
    """What the steps share. The later fields are set by the steps that make them."""

    stage: Stage
    telling: Telling
    cluster: Cluster = field(init=False)
    server: Postgres = field(init=False)
    crm: httpx.Client = field(init=False)
    state_url: str = field(init=False)
    internal_port: int = field(init=False)
    health_port: int = field(init=False)
    api_port: int = field(init=False)
    logins: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    def play(self) -> None:
        """Tell it from the beginning to the end (raises DemoFailed, ProcessError, KubectlError, BuildError)."""
        self.start_kubernetes()
        self.start_warehouse()
        self.start_crm()
        self.start_operator()
        self.apply()
        self.run_by_hand()
        self.run_on_schedule()
        self.look_at_the_crm()
        self.read_dead_letters()
        self.change_a_few()
        self.telling.summary()

    def start_kubernetes(self) -> None:
        with self.telling.step("Kubernetes: etcd, kube-apiserver and kube-controller-manager, real ones"):
            plane = self.stage.control_plane(PROJECT / "crds")
            self.cluster = Cluster(plane.kubectl, self.telling)
            command = [sys.executable, "-m", "tests.cluster", "node", "--kubeconfig", str(plane.kubeconfig)]
            self.stage.program(
                "node",
                [*command, "--directory", str(self.stage.directory / "node")],
                lambda: bool(plane.kubectl("get", "node", "process-node", "--ignore-not-found", "-o", "name")),
                os.environ,
            )
            self.telling.say("5 CustomResourceDefinitions; one node, which runs pods as local processes")
            self.telling.achieved("a real Kubernetes API was up, with five kinds of resources of ours")

    def start_warehouse(self) -> None:
        with self.telling.step("A warehouse: PostgreSQL with every flight that left New York in 2013"):
            self.server = self.stage.postgres()
            passwords = {}
            for name, owner in [("warehouse", "analyst"), ("operations", "dashboard"), ("state", "retl")]:
                passwords[name] = self.server.create_login(owner)
                self.server.create_database(name, owner)
            self.state_url = self.server.url("state", "retl", passwords["state"])
            self.logins["warehouse-login"] = {"username": "analyst", "password": passwords["warehouse"]}
            self.logins["operations-login"] = {"username": "dashboard", "password": passwords["operations"]}
            with self.server.connect("warehouse") as connection:
                self.rows = warehouse.load(connection)
                connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO analyst")
            with self.server.connect("operations") as connection:
                connection.execute("SET ROLE dashboard")
                connection.execute((FLIGHTS / "operations.sql").read_bytes())
            loaded = f"{self.rows['flights']:,} flights and {self.rows['planes']:,} planes"
            self.telling.say(loaded)
            self.telling.achieved(f"a PostgreSQL warehouse held {loaded}")

    def start_crm(self) -> None:
        with self.telling.step("A CRM: takes batches over HTTP, checks each record, limits calls"):
            token, url = secrets.token_urlsafe(16), f"http://127.0.0.1:{free_port()}"
            self.logins["crm-login"] = {"token": token}
            self.crm = httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=10
            )
            rate = str(CRM_CALLS_PER_SECOND)
            command = [sys.executable, "-m", "examples.crm", "--port", str(self.crm.base_url.port)]
            command += ["--calls-per-second", rate, "--burst", rate]
            self.stage.program(
                "crm", command, lambda: _answers(self.crm, "/api/stats"), os.environ | {"CRM_TOKEN": token}
            )
            self.telling.say(f"{url}, {CRM_CALLS_PER_SECOND} calls a second at most, no records yet")
            self.telling.achieved("a CRM took calls: it asks for a token, checks each record, and limits the rate")

    def start_operator(self) -> None:
        with self.telling.step("The operator: API pod and controller, each with its own ServiceAccount"):
            admin = self.cluster.kubectl.kubeconfig
            self.cluster.kubectl("apply", *based(*PERMISSIONS, *POLICIES))
            configs = {
                account: self.cluster.account_kubeconfig(admin, account, self.stage.directory / f"{account}.kubeconfig")
                for account in ("retl-api", "retl-controller")
            }
            self.api_port, self.internal_port, self.health_port = free_port(), free_port(), free_port()
            ports = ["--port", str(self.api_port), "--internal-port", str(self.internal_port)]
            self.stage.program(
                "api",
                [RETL, "api", "--host", "127.0.0.1", *ports, "--kubeconfig", str(configs["retl-api"])],
                _ready_at(self.api_port, "/readyz"),
                os.environ | {"RETL_STATE_DATABASE_URL": self.state_url},
            )
            ports = ["--metrics-port", "0", "--health-port", str(self.health_port)]
            runner = ["--runner-image", "reverse-etl-runner", "--runner-command", f"{RETL} execute"]
            state = ["--state-url", f"http://127.0.0.1:{self.internal_port}", "--lease-namespace", SYSTEM]
            self.stage.program(
                "controller",
                [RETL, "controller", *runner, *state, *ports, "--kubeconfig", str(configs["retl-controller"])],
                _ready_at(self.health_port, "/healthz"),
                os.environ,
            )
            self.telling.achieved("API pod and controller were at work, each with the rights it needs and no others")

    def apply(self) -> None:
        with self.telling.step("Two syncs as YAML"):
            values = manifests.Values(self.server.port, str(self.crm.base_url).rstrip("/"), self.logins)
            folder = self.stage.directory / "manifests"
            manifests.fill(FLIGHTS, folder, values)
            self.telling.command("kubectl", "apply", "-f", "examples/flights")
            self.telling.say(self.cluster.kubectl("apply", "-f", str(folder)))
            for kind in ("syncsource", "syncmodel", "syncdestination", "retl"):
                self.cluster.wait([kind, "--all"], "condition=Ready", 30)
            self.telling.say("all Ready")
            self.telling.achieved("two syncs were applied with kubectl, checked, and Ready")

    def run_by_hand(self) -> None:
        with self.telling.step(f"A run by hand: {self.rows['flights']:,} flights, summed up by day, into PostgreSQL"):
            run = self._create_run(BY_HAND)
            found = self.cluster.finished(run, 60)
            self.telling.say(_counts(found))
            with self.server.connect("operations") as connection:
                (rows,) = connection.execute("SELECT count(*) FROM daily_traffic").fetchone() or (0,)
            if rows != found["status"]["counts"]["created"]:
                raise DemoFailed(f"daily_traffic holds {rows} rows: {found['status']}")
            self.telling.say(f"the table daily_traffic now holds {rows:,} rows")
            self.telling.achieved(
                f"by hand: {self.rows['flights']:,} flights became {rows:,} rows of daily traffic, "
                f"{_seconds(found['status']):.0f} s from SyncRun to result"
            )

    def run_on_schedule(self) -> None:
        with self.telling.step("A run on schedule: planes into the CRM, when the minute is full"):
            self.cluster.wait([f"retl/{SCHEDULED}"], "jsonpath={.status.lastRun}", 120)
            found = self.cluster.finished(self.cluster.first_run(SCHEDULED), 60)
            self.refused = found["status"]["counts"]["rejected"]
            # The rest is told at leisure: no further ticks, runs by hand stay possible.
            self._set_state("Paused")
            self.telling.say(_counts(found))
            self.cluster.show("get", "retl,retlrun")
            self.telling.achieved(
                f"on schedule: {self.rows['planes']:,} planes went to the CRM, "
                f"{_seconds(found['status']):.0f} s from the tick's SyncRun to result"
            )

    def look_at_the_crm(self) -> None:
        with self.telling.step("What the CRM has now"):
            page = self.crm.get("/api/objects/aircraft", params={"limit": 1}).raise_for_status().json()
            if page["total"] != self.rows["planes"] - self.refused:
                raise DemoFailed(f"the CRM has {page['total']} aircraft, not {self.rows['planes'] - self.refused}")
            self.telling.say(f"{page['total']:,} aircraft; the first one:")
            record = page["records"][0]
            self.telling.say(
                "\n".join(f"  {name:17} {'-' if value is None else value}" for name, value in record.items())
            )
            stats = self.crm.get("/api/stats").raise_for_status().json()
            calls, limited = stats["calls"], stats["calls_limited"]
            self.telling.say(f"calls: {calls}; {limited} of them it put off by 429, and got again when it had said")
            self.telling.achieved(
                f"the CRM had {page['total']:,} aircraft, from {calls - limited} calls it let through"
            )

    def read_dead_letters(self) -> None:
        with self.telling.step(
            f"What it refused: {self.refused} of {self.rows['planes']:,}, each with the CRM's reason"
        ):
            command = ["dlq", "list", "--sync", SCHEDULED, "-n", NAMESPACE]
            self.telling.command("retl", *command)
            environment = os.environ | {"RETL_STATE_DATABASE_URL": self.state_url}
            done = subprocess.run([RETL, *command], capture_output=True, text=True, env=environment)
            # Two lines each, below a header.
            if done.returncode or len(done.stdout.splitlines()) != 2 * self.refused + 1:
                raise DemoFailed(f"expected {self.refused} dead letters: {done.stdout}{done.stderr}")
            self.telling.say(done.stdout)
            self.telling.achieved(
                f"it had refused {self.refused}: kept as dead letters, each with the CRM's own reason"
            )

    def change_a_few(self) -> None:
        with self.telling.step("One in a hundred planes changes in the warehouse; the sync runs again"):
            self.crm.delete("/api/stats").raise_for_status()
            with self.server.connect("warehouse") as connection:
                changed = warehouse.refit(connection, SHARE)
            self.telling.say(f"UPDATE planes SET seats = seats + 1 …: {changed} rows")
            found = self.cluster.finished(self._create_run(SCHEDULED), 60)
            self.telling.say(_counts(found))
            sent = self.crm.get("/api/stats").raise_for_status().json()["records"]
            self.telling.say(f"the CRM's own counter: {sent} records received")
            if sent != changed or found["status"]["counts"]["updated"] != changed:
                raise DemoFailed(f"{changed} rows changed, {sent} were sent")
            self.telling.achieved(
                f"{changed} planes changed and the sync ran again: the CRM received {sent}, and no other"
            )

    def how_to_look(self) -> None:
        """What to try while everything is still up."""
        self._set_state("Active")
        token = self.logins["crm-login"]["token"]
        operations = self.server.url("operations", "dashboard", self.logins["operations-login"]["password"])
        self.telling.plain(
            f"""
It is all still up, and {SCHEDULED} runs each minute. To look around:
  export KUBECONFIG={self.cluster.kubectl.kubeconfig}
  kubectl -n {NAMESPACE} get retl,retlrun,job,pod
  kubectl -n {NAMESPACE} describe retl {SCHEDULED}
  kubectl create -f {(FLIGHTS / "runs" / f"{BY_HAND}.yaml").relative_to(PROJECT)}
  curl -H 'Authorization: Bearer {token}' '{str(self.crm.base_url).rstrip("/")}/api/objects/aircraft?limit=3'
  psql {operations} -c 'select * from daily_traffic limit 5'
  RETL_STATE_DATABASE_URL={self.state_url} retl dlq list -n {NAMESPACE}
  curl http://127.0.0.1:{self.api_port}/metrics
Logs and filled-in manifests are in {self.stage.directory}. To stop everything:
  make demo-down"""
        )

    def _create_run(self, sync: str) -> str:
        file = FLIGHTS / "runs" / f"{sync}.yaml"
        self.telling.command("kubectl", "create", "-f", str(file.relative_to(PROJECT)))
        said = self.cluster.kubectl("create", "-f", str(file), "-o", "name").strip()
        self.telling.say(f"{said} created")
        return said.rpartition("/")[2]

    def _set_state(self, state: str) -> None:
        patch = f'{{"spec": {{"state": "{state}"}}}}'
        self.cluster.kubectl("-n", NAMESPACE, "patch", "retl", SCHEDULED, "--type=merge", "-p", patch)


def _ready_at(port: int, path: str) -> Callable[[], bool]:
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    return lambda: _answers(client, path)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


def _counts(run: Manifest) -> str:
    counts: dict[str, int] = run["status"]["counts"]
    parts = [f"{number:,} {name}" for name, number in counts.items() if name != "read" and number]
    return (
        f"{run['metadata']['name']}: read {counts['read']:,} = {' + '.join(parts)}, in {_seconds(run['status']):.1f} s"
    )


def _seconds(status: Manifest) -> float:
    began, ended = (datetime.fromisoformat(status[name]) for name in ("startedAt", "finishedAt"))
    return (ended - began).total_seconds()
