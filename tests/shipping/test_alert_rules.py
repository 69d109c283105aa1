"""The alerts as promtool evaluates them, and the page that each of them sends a person to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT
from tests.programs import program
from tests.shipping.prometheus import RULES

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
"""Unit tests in promtool's format."""
RUNBOOKS = PROJECT / "docs" / "runbooks"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}


def test_alerts_fire_when_they_should_and_at_no_other_time() -> None:
    command = [str(program("promtool")), "test", "rules", *map(str, CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_of_each_alert_it_is_tested_that_it_fires_and_that_it_does_not() -> None:
    groups = [group for case in CASES for group in yaml.safe_load(case.read_text())["tests"]]
    tests = [test for group in groups for test in group["alert_rule_test"]]
    assert {test["alertname"] for test in tests if test["exp_alerts"]} == ALERTS.keys()
    assert {test["alertname"] for test in tests if not test["exp_alerts"]} == ALERTS.keys()


def test_alerts_ask_for_metrics_that_the_page_on_metrics_tells_of() -> None:
    told = set(re.findall(r"^\| `(retl_\w+)` \|", (PROJECT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    asked = {name for rule in ALERTS.values() for name in re.findall(r"retl_\w+", rule["expr"])}
    assert asked - told == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_has_a_runbook(name: str) -> None:
    rule, page = ALERTS[name], (RUNBOOKS / f"{name}.md").read_text()
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS


def test_every_runbook_is_of_an_alert_and_the_page_on_alerts_names_all() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == ALERTS.keys()
    listed = re.findall(
        r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", (PROJECT / "docs" / "alerts.md").read_text(), re.M
    )
    assert dict(listed) == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
