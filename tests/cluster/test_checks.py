"""Checks of real connections by real runners: what is not there stalls a sync before it runs, and heals by itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from retl.runspec.pod import STATE_AUDIENCE
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.controllers import ControllerProcess, running, service_account_kubeconfig
from tests.cluster.objects import Namespace, condition, object_of, ready, stalled
from tests.cluster.processes import Program, free_ports
from tests.postgres import Postgres, postgres

RETL = str(Path(sys.executable).with_name("retl"))
WAREHOUSE = "CREATE TABLE accounts (account_id int PRIMARY KEY, name text, plan text)"
CRM = "CREATE TABLE crm_accounts (id int PRIMARY KEY, name text)"


@dataclass(frozen=True, slots=True)
class Checked:
    """A PostgreSQL at both ends, and the three processes."""

    shop: Namespace
    server: Postgres

    def run(self, *statements: str) -> None:
        with self.server.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, request: str) -> dict[str, Any]:
        """Ask for a check of the destination; it, once that has been answered."""
        self.shop.cluster.kubectl(
            "annotate", "syncdestination", "crm", "-n", self.shop.name, f"reverseetl.io/check-requested-at={request}"
        )
        return self.shop.until(
            "syncdestination", "crm", lambda found: found["status"].get("lastHandledCheck") == request
        )

    def connection(self, kind: str, name: str) -> dict[str, Any]:
        server = self.server
        config = {"host": server.host, "port": server.port, "database": "postgres"}
        spec = {"connector": "postgres", "config": config, "credentials": {"secretRef": {"name": "login"}}}
        return object_of(kind, name, spec)


@pytest.fixture
def checked(cluster: Cluster, namespace: str, account: Path, tmp_path: Path) -> Iterator[Checked]:
    public, internal = free_ports(2)
    api_account = service_account_kubeconfig(cluster, "retl-api", tmp_path)
    token = tmp_path / "state-token"
    wanted = ("-n", "retl-system", "--duration=1h", f"--audience={STATE_AUDIENCE}")
    token.write_text(cluster.kubectl("create", "token", "retl-controller", *wanted).strip())
    controller = ControllerProcess(
        tmp_path,
        account,
        [namespace],
        command=[RETL, "execute"],
        state_url=f"http://127.0.0.1:{internal}",
        state_token=token,
    )
    command = [RETL, "api", "--state", f"sqlite:///{tmp_path}/state.db", "--kubeconfig", str(api_account)]
    command += ["--host", "127.0.0.1", "--port", str(public), "--internal-port", str(internal)]
    command += ["--controller-account", "retl-system/retl-controller"]
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "operator")])
    api = Program("api", command, tmp_path / "api.log", environment=os.environ | {"PYTHONPATH": path})
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        stack.callback(api.stop)
        api.start()
        api.wait_ready(lambda: _ready(f"http://127.0.0.1:{public}/readyz"))
        shop = Namespace(cluster, namespace)
        login = (f"--from-literal=username={server.user}", f"--from-literal=password={server.password}")
        cluster.kubectl("create", "secret", "generic", "login", "-n", namespace, *login)
        stack.enter_context(running(controller))
        yield Checked(shop, server)


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def sync(*fields: str) -> dict[str, Any]:
    names = {"id": "account_id"}
    mappings = [{"source": names.get(f, f), "destination": f} | ({"key": True} if f == "id" else {}) for f in fields]
    spec = {
        "modelRef": {"name": "accounts"},
        "destinationRef": {"name": "crm"},
        "object": "crm_accounts",
        "mappings": mappings,
    }
    return object_of("ReverseETLSync", "accounts", spec)


def test_a_field_that_is_not_there_stalls_its_sync_until_a_check_finds_it(checked: Checked) -> None:
    shop = checked.shop
    checked.run(WAREHOUSE, CRM)
    model = {"sourceRef": {"name": "warehouse"}, "table": "accounts", "primaryKey": ["account_id"]}
    shop.apply(
        object_of("SyncModel", "accounts", model),
        sync("id", "name", "plan"),
        checked.connection("SyncSource", "warehouse"),
        checked.connection("SyncDestination", "crm"),
    )

    held = shop.until("retl", "accounts", stalled("FieldNotFound"))
    assert "spec.mappings[2].destination: there is no field 'plan'" in condition(held, "Stalled")["message"]
    destination = shop.until("syncdestination", "crm", ready)
    last = destination["status"]["lastCheck"]
    assert (last["succeeded"], last["server"][:10]) == (True, "PostgreSQL")
    assert condition(destination, "CatalogChanged") == {}

    checked.run("ALTER TABLE crm_accounts ADD COLUMN plan text")
    destination = checked.ask("now")
    changed = condition(destination, "CatalogChanged")
    assert (changed["status"], changed["message"]) == ("True", "crm_accounts.plan is new")
    shop.until("retl", "accounts", ready)

    checked.run("ALTER TABLE accounts DROP COLUMN plan")
    shop.cluster.kubectl("annotate", "syncsource", "warehouse", "-n", shop.name, "reverseetl.io/check-requested-at=x")
    held = shop.until("retl", "accounts", stalled("ColumnNotFound"))
    assert "the query has no column 'plan'" in condition(held, "Stalled")["message"]

    checked.run("DROP TABLE accounts")
    shop.cluster.kubectl(
        "annotate", "--overwrite", "syncsource", "warehouse", "-n", shop.name, "reverseetl.io/check-requested-at=y"
    )
    model_found = shop.until("syncmodel", "accounts", stalled("RowsUnreadable"))
    assert 'relation "accounts" does not exist' in condition(model_found, "Stalled")["message"]

    checks = shop.list("jobs", "-l", "reverseetl.io/check")
    assert {job["metadata"]["ownerReferences"][0]["kind"] for job in checks} == {"SyncSource", "SyncDestination"}
    written = json.dumps([shop.list("syncsource"), shop.list("syncdestination"), checks, shop.list("pods")])
    assert checked.server.password not in written


def test_a_login_that_is_refused_stalls_the_connection_and_says_what_to_mend(checked: Checked) -> None:
    shop = checked.shop
    checked.run(CRM)
    namespace = ("-n", shop.name)
    shop.cluster.kubectl("create", "secret", "generic", "wrong", *namespace, "--from-literal=username=nobody",
                         "--from-literal=password=secret-word")  # fmt: skip
    connection = checked.connection("SyncDestination", "crm")
    connection["spec"]["credentials"] = {"secretRef": {"name": "wrong"}}
    shop.apply(connection)
    held = shop.until("syncdestination", "crm", stalled("DestinationAuth"))
    assert "check username and password in the Secret" in condition(held, "Ready")["message"]

    shop.patch("syncdestination", "crm", {"spec": {"credentials": {"secretRef": {"name": "login"}}}})
    healed = shop.until("syncdestination", "crm", ready)
    assert condition(healed, "Stalled") == {}
    assert healed["status"]["lastCheck"]["number"] == 2
