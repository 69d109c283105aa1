"""Controller, API pod and runner together: `retl controller`, `retl api` and `retl execute`, each the real process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from retl.resources.marks import TRIGGERED_BY
from retl.state.history import RunRow
from retl.state.sql import SqlStateStore
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.controllers import ControllerProcess, running, service_account_kubeconfig
from tests.cluster.node import ProcessNode
from tests.cluster.objects import Namespace, jobs, object_of, phase_is, pods, ready, run_of, stalled, succeeded
from tests.cluster.processes import Program, free_ports, wait_until

RETL = str(Path(sys.executable).with_name("retl"))
PERSON = "7d1f6f0c-0000-5000-8000-00000000ada0"
TOKEN = "crm-token-that-nobody-may-see"
ACCOUNTS = [f"A-{number:04},Company {number},AT,{number + 1}" for number in range(40)]


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that a sync needs to run for real.

    Attributes:
        warehouse: a CSV file that the sync reads.
        crm: base URL of the destination.
        logs: where the processes write.
    """

    namespace: Namespace
    warehouse: Path
    crm: str
    logs: Path
    controller: ControllerProcess
    api: _Served

    def write(self, *rows: str) -> None:
        self.warehouse.write_text("\n".join(["account_id,name,country,employees", *rows]) + "\n")

    def log_in(self) -> None:
        """Make the Secret that the destination needs."""
        token = f"--from-literal=token={TOKEN}"
        self.namespace.cluster.kubectl("create", "secret", "generic", "crm", "-n", self.namespace.name, token)
        self.controller.advance(60)
        self.namespace.until("retl", "accounts", ready)

    def run(self) -> dict[str, int | str | None]:
        """Run the sync as a person does; phase and counts of the run."""
        name = self.namespace.create(run_of("accounts"))
        run = self.namespace.until("syncrun", name, phase_is("Succeeded", "Failed"))
        found: dict[str, int | str | None] = {"phase": run["status"]["phase"], **run["status"].get("counts", {})}
        return {key: value for key, value in found.items() if value}

    def records(self) -> int:
        total: int = self._ask("/api/objects/account")["total"]
        return total

    def stats(self) -> dict[str, int]:
        """What the CRM says it received."""
        stats: dict[str, int] = self._ask("/api/stats")
        return stats

    def _ask(self, path: str) -> Any:
        return httpx.get(f"{self.crm}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10).json()


@pytest.fixture
def whole(cluster: Cluster, shop: Namespace, account: Path, tmp_path: Path) -> Iterator[Whole]:
    with at_work_in(cluster, shop, account, tmp_path) as found:
        yield found


@contextmanager
def at_work_in(cluster: Cluster, shop: Namespace, account: Path, directory: Path) -> Iterator[Whole]:
    """The processes, and in a namespace the sync `accounts`, for as long as the block lasts."""
    api_account = service_account_kubeconfig(cluster, "retl-api", directory)
    crm, public, internal, metrics = free_ports(4)
    state = ["--state", f"sqlite:///{directory / 'state.db'}", "--kubeconfig", str(api_account)]
    ports = ["--host", "127.0.0.1", "--port", str(public), "--internal-port", str(internal)]
    controller = ControllerProcess(
        directory,
        account,
        [shop.name],
        command=[RETL, "execute"],
        state_url=f"http://127.0.0.1:{internal}",
        metrics_port=metrics,
    )
    api = _served("api", [RETL, "api", *state, *ports], directory, f"http://127.0.0.1:{public}/readyz")
    with ExitStack() as stack:
        stack.enter_context(api)
        serve_crm = [sys.executable, "-m", "examples.crm", "--port", str(crm)]
        url = f"http://127.0.0.1:{crm}"
        stack.enter_context(_served("crm", serve_crm, directory, f"{url}/api/stats", CRM_TOKEN=TOKEN))
        stack.enter_context(running(controller))
        found = Whole(shop, directory / "accounts.csv", url, directory, controller, api)
        found.write(*ACCOUNTS)
        shop.apply(*_manifests(found))
        yield found


def _manifests(whole: Whole) -> list[dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {"account_id": {"key": True}, "name": {}, "country": {}}
    fields["employees"] = {"cast": "integer"}
    http = {
        "url": f"{whole.crm}/api/objects/{{object}}/batch",
        "envelope": "records",
        "results": {"statusField": "status", "successValues": ["created", "updated"]},
    }
    files = {"files": {"accounts": str(whole.warehouse)}}
    login = {"secretRef": {"name": "crm"}}
    sync = {
        "modelRef": {"name": "accounts"},
        "destinationRef": {"name": "crm"},
        "object": "account",
        "mappings": [{"source": name, "destination": name} | more for name, more in fields.items()],
    }
    model = {"sourceRef": {"name": "files"}, "table": "accounts", "primaryKey": ["account_id"]}
    return [
        object_of("SyncSource", "files", {"connector": "duckdb", "config": files}),
        object_of("SyncModel", "accounts", model),
        object_of("SyncDestination", "crm", {"connector": "http", "config": http, "credentials": login}),
        object_of("ReverseETLSync", "accounts", sync),
    ]


def _served(name: str, command: list[str], directory: Path, ready_url: str, **environment: str) -> _Served:
    log = directory / f"{name}.log"
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "operator")])
    program = Program(name, command, log, environment=os.environ | {"PYTHONPATH": path} | environment)
    return _Served(program, ready_url)


@dataclass
class _Served:
    """A program that answers HTTP for as long as the block lasts."""

    program: Program
    url: str

    def __enter__(self) -> None:
        self.start()

    def start(self) -> None:
        self.program.start()
        self.program.wait_ready(self._answers)

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=2).status_code < 500
        except httpx.TransportError:
            return False


def test_rows_travel_and_only_what_changed_travels_again(whole: Whole) -> None:
    waiting = whole.namespace.until("retl", "accounts", stalled("SecretNotFound"))
    assert "'crm'" in str(waiting["status"]["conditions"])
    whole.log_in()

    assert whole.run() == {"phase": "Succeeded", "read": 40, "created": 40}
    assert whole.records() == 40

    assert whole.run() == {"phase": "Succeeded", "read": 40, "unchanged": 40}

    changed = [row.replace(",AT,", ",CH,") for row in ACCOUNTS[:2]]
    whole.write(*changed, *ACCOUNTS[2:], "A-0099,Late,AT,5", "A-0098,Bad,Austria,5")
    assert whole.run() == {
        "phase": "Succeeded", "read": 42, "unchanged": 38, "created": 1, "updated": 2, "rejected": 1,
    }  # fmt: skip
    status = whole.namespace.get("retl", "accounts")["status"]
    assert (whole.records(), status["deadLetters"]) == (41, 1)

    everything = whole.namespace.cluster.kubectl(
        "get", "retl,retlrun,jobs,pods,events", "-n", whole.namespace.name, "-o", "yaml"
    )
    for secret in (TOKEN, "Company 7", "Austria"):
        assert secret not in everything
        assert secret not in whole.controller.log()


def test_a_query_that_is_wrong_fails_once_and_says_why(whole: Whole) -> None:
    whole.log_in()
    whole.namespace.patch("syncmodel", "accounts", {"spec": {"table": "nothing_there"}})
    failed = whole.namespace.until("syncrun", whole.namespace.create(run_of("accounts")), phase_is("Failed"))
    assert failed["status"]["attempt"] == 1
    assert "nothing_there" in succeeded(failed)["message"]


def test_the_history_has_a_run_as_its_syncrun_was_also_when_that_is_gone(whole: Whole) -> None:
    whole.log_in()
    asked = run_of("accounts", fullRefresh=True)
    asked["metadata"]["annotations"] = {TRIGGERED_BY: PERSON}
    name = whole.namespace.create(asked)
    made = whole.namespace.until("syncrun", name, phase_is("Succeeded"))["metadata"]
    whole.namespace.delete("syncrun", name)
    row = asyncio.run(_recorded(whole, name))
    assert row is not None
    assert (row.uid, row.state, row.full_refresh, row.counts.created) == (made["uid"], "Succeeded", True, 40)
    assert (row.created_at, str(row.triggered_by)) == (datetime.fromisoformat(made["creationTimestamp"]), PERSON)


async def _recorded(whole: Whole, run: str) -> RunRow | None:
    store = await SqlStateStore.open(f"sqlite:///{whole.logs / 'state.db'}")
    try:
        return await store.run_of(whole.namespace.name, name=run)
    finally:
        await store.close()


def test_killed_all_at_once_in_mid_delivery_a_run_still_delivers_every_row_once(
    whole: Whole, node: ProcessNode
) -> None:
    rows = [f"A-{number:04},Company {number},AT,{number + 1}" for number in range(600)]
    whole.write(*rows)
    whole.log_in()
    shop = whole.namespace
    shop.patch("retl", "accounts", {"spec": {"delivery": {"batchSize": 10, "maxInFlight": 2}}})
    name = shop.create(run_of("accounts"))
    assert wait_until(lambda: whole.stats()["records"] >= 100, 60)

    [pod] = pods(shop)
    node.kill(shop.name, pod["metadata"]["name"])
    whole.api.program.stop(signal.SIGKILL)
    whole.controller.program.stop(signal.SIGKILL)
    sent = whole.stats()
    assert sent["created"] < len(rows)
    whole.api.start()
    whole.controller.start()

    run = shop.until("syncrun", name, phase_is("Succeeded", "Failed"))
    counts = run["status"]["counts"]
    assert (run["status"]["phase"], run["status"]["attempt"]) == ("Succeeded", 2)
    assert counts["unchanged"] + counts["created"] == counts["read"] == len(rows)
    received = whole.stats()
    assert (whole.records(), received["created"]) == (len(rows), len(rows))
    assert received["updated"] <= sent["created"]
    assert [job["metadata"]["name"] for job in jobs(shop)] == [f"{name}-1", f"{name}-2"]
    assert whole.run() == {"phase": "Succeeded", "read": len(rows), "unchanged": len(rows)}
