"""What an installation goes through after its first day: an alert, an upgrade, and its end. Hence these come last."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.chart import RELEASE, SYSTEM
from tests.cluster.processes import wait_until
from tests.e2e.ground import KINDS, OURS, TEAM, ours, remove
from tests.e2e.runs import counts, ended, reads, runner, start
from tests.e2e.stage import Stage
from tests.shipping.prometheus import RULES, Prometheus, quickened

pytestmark = pytest.mark.e2e

CRD = "customresourcedefinition.apiextensions.k8s.io/"


def images(stage: Stage, selector: str, namespace: str) -> set[str]:
    pods = stage.list("pods", selector, namespace)
    current = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return {container["image"] for pod in current for container in pod["spec"]["containers"]}


def test_a_dead_letter_of_a_critical_sync_is_all_that_a_real_prometheus_has_to_report(
    stage: Stage, tmp_path: Path
) -> None:
    start(stage, "accounts-to-crm", "refused-again")
    ended(stage, "refused-again")
    stage.kubectl("label", "retl", "accounts-to-crm", "-n", TEAM, "reverseetl.io/critical=true")
    targets = {
        component: [
            stage.forward(SYSTEM, f"pod/{pod['metadata']['name']}", 8080)
            for pod in stage.list("pods", f"{OURS},app.kubernetes.io/component={component}", SYSTEM)
        ]
        for component in ("controller", "api")
    }
    with Prometheus(tmp_path / "prometheus", targets, quickened(RULES, tmp_path / "rules.yaml")) as prometheus:
        alert = prometheus.wait_firing("RetlDeadLetterCritical")
        assert wait_until(lambda: prometheus.query("sum(up)")[0]["value"][1] == "4", limit=20), "two pods of each"
        firing = [each for each in prometheus.alerts() if each["state"] == "firing"]
    assert (alert["labels"]["namespace"], alert["labels"]["sync"]) == (TEAM, "accounts-to-crm")
    assert {each["labels"]["alertname"] for each in firing if each["labels"]["severity"] == "critical"} == {
        "RetlDeadLetterCritical"
    }


def test_an_upgrade_in_the_middle_of_a_run_loses_nothing(stage: Stage, gate: psycopg.Connection) -> None:
    names = stage.ground.names
    secret = stage.get("secret", "retl-state-tls", SYSTEM)["data"]
    before = stage.crm.get("/api/stats")
    start(stage, "gated", "upgraded", fullRefresh=True)
    reads(stage, "upgraded")
    stage.install(names.next_tag, commonLabels={"edition": "next"})
    assert images(stage, f"{OURS},edition=next", SYSTEM) == {names.image("operator", names.next_tag), "postgres:18"}
    assert images(stage, "reverseetl.io/run=upgraded", TEAM) == {names.image("runner", names.tag)}
    gate.close()
    status = ended(stage, "upgraded")
    sent = status["counts"]["created"] + status["counts"]["updated"]
    assert (status["attempt"], status["counts"]["read"], sent) == (1, 3, 3)
    assert stage.crm.get("/api/stats")["records"] - before["records"] == 3
    assert stage.get("secret", "retl-state-tls", SYSTEM)["data"] == secret

    start(stage, "gated", "afterwards")
    assert counts(ended(stage, "afterwards")) == {"read": 3, "unchanged": 3}
    assert images(stage, "reverseetl.io/run=afterwards", TEAM) == {names.image("runner", names.next_tag)}


def test_uninstalling_in_the_middle_of_a_run_keeps_what_teams_made_and_leaves_nothing_that_is_stuck(
    stage: Stage, gate: psycopg.Connection
) -> None:
    start(stage, "gated", "abandoned")
    reads(stage, "abandoned")
    stage.helm("uninstall", RELEASE, "-n", SYSTEM, "--wait", "--timeout=90s")
    assert [name for name in ours(stage.kubectl) if not name.startswith(("namespace/", CRD))] == []
    assert stage.list("deployments,statefulsets,services,configmaps,jobs,serviceaccounts", OURS, SYSTEM) == []
    assert stage.list("networkpolicies", OURS, SYSTEM) + stage.list("networkpolicies", OURS) == []
    database = stage.list("secrets,persistentvolumeclaims", OURS, SYSTEM)
    assert {each["metadata"]["name"] for each in database} == {"retl-state", "data-retl-postgresql-0"}
    kept = stage.list(",".join(KINDS), "", TEAM)
    assert {"accounts-to-crm", "warehouse", "abandoned"} <= {each["metadata"]["name"] for each in kept}
    assert not [each["metadata"]["name"] for each in kept if each["metadata"].get("finalizers")]

    pod = runner(stage, "abandoned")
    assert pod["status"]["phase"] == "Running"
    # With nobody left to hand its claim back to, it would try for all of its grace, a minute.
    stage.kubectl("delete", "pod", pod["metadata"]["name"], "-n", TEAM, "--grace-period=2", "--timeout=30s")
    remove(stage.kubectl)
    assert ours(stage.kubectl) == []
