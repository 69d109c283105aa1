"""Runs of a sync as a team sees them: kubectl in, records in the CRM out, by real pods.

One story on one cluster: a test may build on what the ones before it have synced.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.chart import SYSTEM
from tests.e2e.ground import OURS, TEAM
from tests.e2e.runs import counts, ended, reads, runner, start
from tests.e2e.stage import ACCOUNTS, REFUSED, Stage

pytestmark = pytest.mark.e2e

DATABASE = f"{OURS},app.kubernetes.io/component=postgresql"
INTERRUPTED_LIMIT = 90  # the grace of a stopped pod, the pause before the next attempt, and that attempt


def dead_letters(stage: Stage) -> list[dict[str, Any]]:
    """Open dead letters of the team, as the command line shows them."""
    told = stage.shell(f"retl dlq list --cluster --namespace {TEAM} --output json")
    return [json.loads(line) for line in told.splitlines()]


def test_a_run_sends_every_row_and_keeps_the_refused_one_as_a_dead_letter(stage: Stage) -> None:
    start(stage, "accounts-to-crm", "first")
    status = ended(stage, "first")
    assert counts(status) == {"read": 4, "created": 3, "rejected": 1}
    assert (status["phase"], status["deadLetters"], status["attempt"]) == ("Succeeded", 1, 1)
    held = stage.crm.get("/api/objects/account")
    assert [(r["account_id"], r["name"], r["country"], r["employees"]) for r in held["records"]] == ACCOUNTS
    [letter] = dead_letters(stage)
    assert (letter["run"], letter["code"], letter["record_keys"]) == (
        "first",
        "DESTINATION_VALIDATION",
        {"account_id": "A-1004"},
    )
    assert REFUSED[1] not in json.dumps(status)


def test_the_pod_leaves_its_result_as_termination_message(stage: Stage) -> None:
    [container] = runner(stage, "first")["status"]["containerStatuses"]
    end = container["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (0, "Completed")
    result = json.loads(end["message"])
    assert (result["run"], result["status"], result["counts"]["created"]) == ("first", "Succeeded", 3)


def test_the_next_run_sends_only_what_changed(stage: Stage) -> None:
    with stage.warehouse.connect() as connection:
        connection.execute("UPDATE accounts SET employees = 59 WHERE account_id = 'A-1002'")
    before = stage.crm.get("/api/stats")
    start(stage, "accounts-to-crm", "second")
    status = ended(stage, "second")
    assert counts(status) == {"read": 4, "unchanged": 2, "updated": 1, "skipped": 1}
    after = stage.crm.get("/api/stats")
    assert after["records"] - before["records"] == 1
    assert stage.crm.get("/api/objects/account/A-1002")["employees"] == 59


def test_a_plan_counts_and_writes_nothing(stage: Stage) -> None:
    with stage.warehouse.connect() as connection:
        connection.execute("UPDATE accounts SET employees = 341 WHERE account_id = 'A-1001'")
    before = stage.crm.get("/api/stats")
    start(stage, "accounts-to-crm", "plan", mode="Plan")
    assert counts(ended(stage, "plan")) == {"read": 4, "unchanged": 2, "updated": 1, "skipped": 1}
    assert stage.crm.get("/api/stats") == before


LOOK_AROUND = """
import base64, json, os, pathlib
told = dict(uid=os.getuid(), groups=os.getgroups(), pid1=pathlib.Path("/proc/1/cmdline").read_text().split("\\0")[:3])
status = dict(line.split(":\\t", 1) for line in open("/proc/1/status") if ":\\t" in line)
told["capabilities"], told["no_new_privileges"], told["seccomp"] = (
    status[name].strip() for name in ("CapEff", "NoNewPrivs", "Seccomp"))
told["spec"] = json.loads(pathlib.Path(os.environ["RETL_RUN_SPEC"]).read_text())
token = pathlib.Path(os.environ["RETL_STATE_TOKEN_FILE"]).read_text().split(".")[1]
told["token"] = json.loads(base64.urlsafe_b64decode(token + "==="))
told["api_token"] = os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
told["memory"] = int(os.environ["RETL_MEMORY_LIMIT"])
try:
    open("/opt/retl/x", "w")
except OSError as error:
    told["write"] = error.strerror
print(json.dumps(told))
"""


def test_a_runner_is_locked_down_and_knows_its_run_and_nothing_of_kubernetes(
    stage: Stage, gate: psycopg.Connection
) -> None:
    start(stage, "gated", "looked-at")
    pod = reads(stage, "looked-at")
    told = json.loads(stage.kubectl("exec", "-n", TEAM, pod, "--", "python", "-c", LOOK_AROUND))
    assert "execute" in told["pid1"]
    assert (told["uid"], told["write"]) == (10001, "Read-only file system")
    assert (told["capabilities"], told["no_new_privileges"], told["seccomp"]) == ("0000000000000000", "1", "2")
    assert (told["spec"]["run"]["name"], told["spec"]["sync"]["namespace"]) == ("looked-at", TEAM)
    assert "password" not in json.dumps(told["spec"])
    assert told["token"]["aud"] == ["reverse-etl-state"]
    assert told["token"]["sub"].startswith(f"system:serviceaccount:{TEAM}:")
    assert told["api_token"] is False
    assert told["memory"] == 1024**3
    gate.close()
    assert counts(ended(stage, "looked-at"))["read"] == 3


def test_a_run_recovers_when_its_pod_is_deleted(stage: Stage, gate: psycopg.Connection) -> None:
    start(stage, "gated", "interrupted")
    pod = reads(stage, "interrupted")
    stage.kubectl("delete", "pod", pod, "-n", TEAM, "--timeout=30s")  # well within the pod's grace of 60 s
    gate.close()
    status = ended(stage, "interrupted", limit=INTERRUPTED_LIMIT)
    assert status["attempt"] == 2
    assert counts(status)["read"] == 3


def test_a_run_outlives_a_new_api_pod(stage: Stage, gate: psycopg.Connection) -> None:
    start(stage, "gated", "patient", fullRefresh=True)
    reads(stage, "patient")
    stage.kubectl("delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=api", "--timeout=40s")
    gate.close()
    status = ended(stage, "patient")
    assert (status["attempt"], counts(status)) == (1, {"read": 3, "updated": 3})


def test_a_run_outlives_a_new_pod_of_the_state_database_which_forgets_nothing(
    stage: Stage, gate: psycopg.Connection
) -> None:
    [letter] = dead_letters(stage)
    start(stage, "gated", "remembering")
    reads(stage, "remembering")
    pod, [before] = "retl-postgresql-0", stage.list("pods", DATABASE, SYSTEM)
    stage.kubectl("delete", "pod", pod, "-n", SYSTEM, "--timeout=30s")  # well within the pod's grace of 60 s
    stage.kubectl("rollout", "status", "statefulset/retl-postgresql", "-n", SYSTEM, "--timeout=60s")
    [after] = stage.list("pods", DATABASE, SYSTEM)
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    gate.close()
    status = ended(stage, "remembering")
    assert (status["attempt"], counts(status)) == (1, {"read": 3, "unchanged": 3})
    assert dead_letters(stage) == [letter]


def test_a_runner_without_enough_memory_says_so_in_words(stage: Stage) -> None:
    start(stage, "starved", "starved")
    status = ended(stage, "starved", well=False)
    [succeeded] = [condition for condition in status["conditions"] if condition["type"] == "Succeeded"]
    assert (status["phase"], succeeded["reason"]) == ("Failed", "OOMKilled")
    assert "raise spec.runner.resources.limits.memory" in succeeded["message"]
