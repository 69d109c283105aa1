"""The alerts as promtool evaluates them, and the page that each of them sends a person to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT, SYSTEM, rendered
from tests.programs import program
from tests.shipping.prometheus import RULES

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
"""Unit tests in promtool's format."""
RUNBOOKS = PROJECT / "docs" / "runbooks"
ALERTS_PAGE = (PROJECT / "docs" / "alerts.md").read_text()
METRICS_PAGE = (PROJECT / "docs" / "metrics.md").read_text()
METRICS = set(re.findall(r"^\| `(retl_\w+)` \|", METRICS_PAGE, re.MULTILINE))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}


def told(name: str, *arguments: str) -> str:
    """What a program wrote to stdout; it must succeed."""
    done = subprocess.run([str(program(name)), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_fire_when_they_should_and_at_no_other_time() -> None:
    told("promtool", "test", "rules", *map(str, CASES))


def test_of_each_alert_it_is_tested_that_it_fires_and_that_it_does_not() -> None:
    groups = [group for case in CASES for group in yaml.safe_load(case.read_text())["tests"]]
    tests = [test for group in groups for test in group["alert_rule_test"]]
    assert {test["alertname"] for test in tests if test["exp_alerts"]} == ALERTS.keys()
    assert {test["alertname"] for test in tests if not test["exp_alerts"]} == ALERTS.keys()


def test_what_the_page_on_metrics_asks_can_be_asked(tmp_path: Path) -> None:
    asked = re.findall(r"`([^`]+)`", METRICS_PAGE.partition("\n## Questions\n")[2])
    asked = [expression.replace(r"\|", "|") for expression in asked if "retl_" in expression]
    assert len(asked) > 20
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in told("promtool", "check", "rules", str(tmp_path / "rules.yaml"))
    names = {re.sub(r"_bucket$", "", name) for expression in asked for name in re.findall(r"retl_\w+", expression)}
    assert names - METRICS == set()


def test_alerts_ask_for_metrics_that_the_page_on_metrics_tells_of() -> None:
    asked = {name for rule in ALERTS.values() for name in re.findall(r"retl_\w+", rule["expr"])}
    assert asked - METRICS == set()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"severity": "critical", "namespace": "growth"}, "on-call"),
        ({"severity": "warning", "namespace": "growth"}, "growth"),
        ({"severity": "warning", "namespace": "finance"}, "platform"),
    ],
)
def test_the_example_of_routing_tells_whom_it_says(labels: dict[str, str], receiver: str) -> None:
    known = [f"{name}={value}" for name, value in ({"app": "reverse-etl"} | labels).items()]
    file = f"--config.file={RUNBOOKS / 'alertmanager.yaml'}"
    assert told("amtool", "check-config", str(RUNBOOKS / "alertmanager.yaml")).startswith("Checking")
    assert told("amtool", "config", "routes", "test", file, *known).strip() == receiver


def test_the_example_of_routing_keeps_a_sync_quiet_for_itself_or_for_the_operator_alone() -> None:
    """An alert of a sync does not name its ends: muted for a destination, syncs to others would be silent as well."""
    for rule in yaml.safe_load((RUNBOOKS / "alertmanager.yaml").read_text())["inhibit_rules"]:
        [source] = rule["source_matchers"]
        assert set(re.findall(r"Retl\w+", " ".join((source, *rule["target_matchers"])))) <= ALERTS.keys()
        assert rule.get("equal") == ["namespace", "sync"] or source == 'alertname =~ "RetlNoLeader|RetlStateDown"'


def test_the_example_of_scraping_chooses_the_ports_that_tell_metrics(tmp_path: Path) -> None:
    """Debian's Prometheus does not ask Kubernetes: a file names the pods instead, as Kubernetes would."""
    [example] = re.findall(r"^```yaml\n(scrape_configs:.+?)```", ALERTS_PAGE, re.DOTALL | re.MULTILINE)
    settings = yaml.safe_load(example)
    [job] = settings["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": [SYSTEM]}}]
    job["file_sd_configs"] = [{"files": [str(tmp_path / "pods.yaml")]}]
    everything = rendered({"postgresql": {"enabled": True}, "state": {"existingSecret": ""}})
    pods = [each["spec"]["template"] for each in everything if each["kind"] in ("Deployment", "StatefulSet")]
    found = [_discovered(pod, port) for pod in pods for port in pod["spec"]["containers"][0]["ports"]]
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump(found))
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    answer = json.loads(
        told(
            "promtool", "check", "service-discovery", "--timeout=1s", str(tmp_path / "prometheus.yaml"), job["job_name"]
        )
    )
    kept = {(each["labels"]["namespace"], each["labels"]["pod"]) for each in answer if each["labels"]}
    assert len(found) > len(kept)
    assert kept == {(SYSTEM, "controller/metrics"), (SYSTEM, "api/http")}


def _discovered(pod: dict[str, Any], port: dict[str, Any]) -> dict[str, Any]:
    """A port of a pod as Prometheus learns of it."""
    labels, meta = pod["metadata"]["labels"], "__meta_kubernetes_pod"
    name = f"{labels['app.kubernetes.io/component']}/{port['name']}"
    known = {f"{meta}_label_{re.sub('[^a-z0-9]', '_', label)}": value for label, value in labels.items()}
    known |= {f"{meta}_container_port_name": port["name"], f"{meta}_name": name, "__meta_kubernetes_namespace": SYSTEM}
    return {"targets": [f"127.0.0.1:{port['containerPort']}"], "labels": known}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_has_a_runbook(name: str) -> None:
    rule, page = ALERTS[name], (RUNBOOKS / f"{name}.md").read_text()
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS


def test_every_runbook_is_of_an_alert_and_the_page_on_alerts_names_all() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == ALERTS.keys()
    listed = re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", ALERTS_PAGE, re.M)
    assert dict(listed) == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
