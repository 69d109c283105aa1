"""The command line as a person uses it against a cluster whose controller, API pod, runner and API server are real."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.examples import examples, matches
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.kubectl import Access
from tests.cluster.objects import FAR_AWAY, Namespace, phase_is, ready, run_of, stalled, sync
from tests.cluster.processes import free_ports, wait_until
from tests.cluster.test_controller_whole import ACCOUNTS, TOKEN, Whole, whole  # noqa: F401 - a fixture
from tests.rest.certificates import authority

BIN = Path(sys.executable).parent
BAD = "A-0098,Bad,Austria,5"
ARGO = "argocd.argoproj.io/tracking-id"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Person:
    """Somebody at a shell whose kubeconfig's context names the namespace."""

    kubeconfig: Path
    state_url: str

    def __call__(self, *args: str, program: str = "retl") -> Answer:
        inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        environment = inherited | {"KUBECONFIG": str(self.kubeconfig), "RETL_STATE_URL": self.state_url}
        environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
        command = [str(BIN / program), *args]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=environment
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)


def person(cluster: Cluster, namespace: str, directory: Path, state_url: str = "") -> Person:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    path = directory / "person.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return Person(path, state_url)


@pytest.fixture
def retl(whole: Whole, cluster: Cluster, tmp_path: Path) -> Person:  # noqa: F811 - the fixture
    return person(cluster, whole.namespace.name, tmp_path, whole.controller.state_url)


def test_the_page_on_clusters_says_what_is_true(whole: Whole, retl: Person) -> None:  # noqa: F811 - the fixture
    shop = whole.namespace
    whole.write(*ACCOUNTS, BAD)
    shop.patch("retl", "accounts", {"spec": {"schedule": FAR_AWAY | {"timeZone": "Europe/Vienna"}}})
    shop.until("retl", "accounts", stalled("SecretNotFound"))
    shop.until("syncsource", "files", ready)
    page = (PROJECT / "docs" / "cli-cluster.md").read_text()
    for command, shown in examples(page):
        program, *words = shlex.split(command.replace("TOKEN", TOKEN))
        answer = retl(*words, program=program)
        assert matches(shown, answer.out + answer.err), f"$ {command}\n{answer.out}{answer.err}"
        if program == "kubectl":
            whole.controller.advance(60)
            shop.until("syncdestination", "crm", ready)
            shop.until("retl", "accounts", ready)


def test_dead_letters_are_looked_at_and_sent_again(whole: Whole, retl: Person) -> None:  # noqa: F811 - the fixture
    whole.write(*ACCOUNTS, BAD)
    whole.log_in()
    ran = retl("run", "accounts", "--follow")
    assert (ran.code, '"event": "finished"' in ran.out) == (3, True), ran
    [letter] = [json.loads(line) for line in retl("dlq", "list", "accounts", "-o", "json").out.splitlines()]
    assert (letter["code"], letter["record_keys"]) == ("DESTINATION_VALIDATION", {"account_id": "A-0098"})
    shown = retl("dlq", "show", letter["id"], "--payload", program="kubectl-retl").out
    assert '"Austria"' in shown
    assert f"kubectl retl dlq replay accounts {letter['id']}" in shown
    whole.write(*ACCOUNTS, BAD.replace("Austria", "AT"))
    replayed = retl("dlq", "replay", "accounts", letter["id"], "--wait")
    assert (replayed.code, "read 1 = 1 created" in replayed.out) == (0, True), replayed

    planned = retl("plan", "accounts", "--full-refresh", "-o", "markdown")
    assert (planned.code, "### Plan of `accounts`: 41 to update" in planned.out) == (0, True), planned
    assert re.search(r"retl run accounts --approve [0-9a-f]{32}", planned.out)


def test_a_run_that_a_guard_holds_is_looked_at_and_approved(whole: Whole, retl: Person) -> None:  # noqa: F811
    whole.log_in()
    whole.namespace.patch("retl", "accounts", {"spec": {"guards": {"maxCreates": 1}}})
    held = retl("run", "accounts", "--wait")
    assert (held.code, "guards.maxCreates 1" in held.out) == (4, True), held
    name = retl("status", "accounts", "-o", "json").object["status"]["activeRun"]["name"]
    why = retl("why", "accounts").out
    assert why.startswith(f"accounts waits for a person: {name} is held until its plan is approved.")
    assert f"type:  retl approve {name}" in why

    unsure = retl("approve", name)
    assert (unsure.code, "maxCreates 1: BROKEN" in unsure.out) == (2, True), unsure
    plan_hash = re.search(r"--plan-hash (\w+)", unsure.out)
    assert plan_hash is not None
    other = retl("approve", name, "--plan-hash", "0" * 32)
    assert (other.code, f"would carry out plan {plan_hash[1]}" in other.err) == (2, True), other
    assert retl("approve", name, "--plan-hash", plan_hash[1], "-o", "name").out == f"syncrun.reverseetl.io/{name}\n"
    whole.namespace.until("syncrun", name, phase_is("Succeeded"))
    assert whole.records() == 40
    refused = retl("approve", name)
    assert (refused.code, "does not wait for approval: it is Succeeded" in refused.err) == (2, True), refused
    ended = retl("cancel", "accounts")
    assert (ended.code, "has no run under way" in ended.err) == (2, True), ended


def test_a_sync_is_paused_and_resumed_and_says_when_it_runs_next(
    cluster: Cluster, shop: Namespace, at_work: Any, tmp_path: Path
) -> None:
    retl = person(cluster, shop.name, tmp_path)
    new_year = {"cron": "0 0 1 1 *", "duration": "1h", "reason": "new year"}
    schedule: dict[str, Any] = {"timeZone": "Europe/Vienna", "blackouts": [new_year]}
    shop.apply(sync("orders", schedule=FAR_AWAY | schedule))
    shop.apply(sync("accounts", behaviour="wait", schedule={"cron": "@yearly"}))
    shop.until("retl", "accounts", ready)

    ticks = retl("next", "orders", "--count", "2").out
    assert re.search(r"01-01 00:00 CET  20\d\d-12-31T23:00:00Z .* Skipped: new year\n", ticks), ticks
    assert retl("pause", "accounts").out.startswith("accounts is Paused: no tick runs it")
    assert "spec.state is Paused" in retl("why", "accounts").out
    assert retl("status", "-o", "name").out.split() == [
        f"reverseetlsync.reverseetl.io/{n}" for n in ("accounts", "orders")
    ]
    shop.cluster.kubectl(
        "annotate", "-n", shop.name, "retl", "accounts", f"{ARGO}=app:reverseetl.io/ReverseETLSync:{shop.name}/accounts"
    )
    refused = retl("resume", "accounts")
    assert (refused.code, "is kept by Argo CD application app" in refused.err) == (2, True), refused
    assert retl("resume", "accounts", "--yes").out.startswith("accounts is Active (it was Paused)")

    run = shop.create(run_of("accounts"))
    shop.until("syncrun", run, phase_is("Running"))
    waiting = shop.create(run_of("accounts"))
    why = retl("why", "accounts").out
    assert why.startswith(f"accounts has a run under way: {run}, Running."), why
    assert f"1 run in line for the sync, oldest first: {waiting}" in why
    retl("cancel", waiting)
    assert "is told to stop" in retl("cancel", "accounts").out
    shop.until("syncrun", run, phase_is("Cancelled"))

    completed = retl("logs", "a", program="kubectl_complete-retl").out.splitlines()
    assert (set(completed[:-1]), completed[-1]) == ({"accounts", run, waiting}, ":4")
    assert retl("retl", "status", "--help", program="kubectl").out.startswith("Usage: kubectl retl status")


MISSING = [
    (["status", "acounts"], "there is no ReverseETLSync 'acounts' in namespace"),
    (["run", "orders.yaml"], "for the syncs of a file, without a cluster, write -f orders.yaml"),
    (["status", "-n", "nowhere"], "there is no namespace 'nowhere'"),
    (["status", "--context", "prod"], "has no context 'prod'; there are: retl"),
    (["logs", "nothing"], "there is no ReverseETLSync or SyncRun 'nothing'"),
    (["check", "nothing"], "there is no SyncSource or SyncDestination 'nothing'"),
]


def test_what_cannot_be_found_is_said_with_where_it_was_looked_for(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    retl = person(cluster, namespace, tmp_path)
    for args, says in MISSING:
        answer = retl(*args)
        assert (says in answer.err, answer.code in (0, 2)) == (True, True), answer


def test_a_person_without_rights_is_told_which_are_missing(cluster: Cluster, shop: Namespace, tmp_path: Path) -> None:
    token = cluster.kubectl("create", "token", "default", "-n", shop.name).strip()
    admin = Access.load(cluster.kubeconfig)
    path = tmp_path / "nobody.kubeconfig"
    Access(admin.server, admin.ca_file, token).save(path, "nobody")
    answer = Person(path, "")("status", "-n", shop.name)
    assert answer.code == 1
    assert 'cannot list resource "reverseetlsyncs" in API group "reverseetl.io" in the namespace' in answer.err
    assert f"kubectl auth can-i --list -n {shop.name}" in answer.err


@pytest.fixture(params=["http", "https"])
def api_pod(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of an API pod that runs on the node, whose state service speaks TLS or does not."""
    account = service_account_kubeconfig(cluster, "retl-api", tmp_path)
    public, internal = free_ports(2)
    command = [str(BIN / "retl"), "api", "--state", f"sqlite:///{tmp_path / 'state.db'}", "--kubeconfig", str(account)]
    command += ["--host", "127.0.0.1", "--port", str(public), "--internal-port", str(internal)]
    if request.param == "https":
        authority().issue(tmp_path)
        command += ["--state-tls-cert", str(tmp_path / "tls.crt"), "--state-tls-key", str(tmp_path / "tls.key")]
    name = f"api-{secrets.token_hex(3)}"
    ports = [{"name": "state", "containerPort": internal}]
    container = {"name": "api", "image": "api", "command": command, "ports": ports}
    labels = {"app.kubernetes.io/component": "api"}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "retl-system",
            "labels": labels,
            "annotations": {"reverseetl.io/state-scheme": request.param},
        },
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    cluster.kubectl("wait", "--for=condition=Ready", "pod", name, "-n", "retl-system", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "pod", name, "-n", "retl-system", "--grace-period=1", "--wait=false")


def test_the_state_service_is_reached_through_the_api_server(
    cluster: Cluster, namespace: str, api_pod: str, tmp_path: Path
) -> None:
    retl = person(cluster, namespace, tmp_path)

    def answers() -> bool:
        return retl("dlq", "stats", "--cluster").code == 0

    assert wait_until(answers, 30), retl("dlq", "stats", "--cluster").err
    assert retl("dlq", "stats", "--cluster").out.startswith("0 open dead letters, 0 resolved")
    elsewhere = retl("dlq", "list", "--operator-namespace", namespace)
    assert (elsewhere.code, "there is no API pod that is ready" in elsewhere.err) == (1, True), elsewhere
