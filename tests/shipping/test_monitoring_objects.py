"""What the chart gives to Prometheus Operator and Grafana."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.chart import CHART, SYSTEM, HelmError, one, rendered
from tests.cluster.controlplane import ControlPlane
from tests.shipping.prometheus import RULES

STATE = {"existingSecret": "state-database"}
EVERYTHING = {
    "state": STATE,
    "monitoring": {
        "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
}


def test_without_a_wish_there_is_a_service_of_the_controllers_metrics_and_nothing_of_others_kinds() -> None:
    objects = rendered({"state": STATE})
    service = one(objects, "Service", "retl-controller-metrics")
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert [each for each in objects if each["apiVersion"].startswith("monitoring.coreos.com/")] == []
    without = rendered({"state": STATE, "monitoring": {"service": False}})
    assert [each for each in without if each["metadata"]["name"] == "retl-controller-metrics"] == []


@pytest.mark.parametrize(
    ("component", "service", "port"),
    [("controller", "retl-controller-metrics", "metrics"), ("api", "retl-api", "http")],
)
def test_a_service_monitor_finds_a_port_of_the_right_pods(component: str, service: str, port: str) -> None:
    objects = rendered(EVERYTHING)
    monitor = one(objects, "ServiceMonitor", f"retl-{component}")
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    found = [each for each in objects if each["kind"] == "Service" and chosen <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in found] == [service]
    [endpoint] = monitor["spec"]["endpoints"]
    [target] = [each["targetPort"] for each in found[0]["spec"]["ports"] if each["name"] == endpoint["port"]]
    pod = one(objects, "Deployment", f"retl-{component}")["spec"]["template"]
    assert found[0]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert target == port
    assert port in [each["name"] for each in pod["spec"]["containers"][0]["ports"]]
    assert (endpoint["path"], endpoint["interval"], endpoint["honorLabels"]) == ("/metrics", "15s", True)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_rules_are_those_of_the_file_with_a_runbook_each() -> None:
    rule = one(rendered(EVERYTHING), "PrometheusRule", "retl")
    shipped = rule["spec"]["groups"]
    places = [each["annotations"].pop("runbook") for group in shipped for each in group["rules"]]
    assert shipped == yaml.safe_load(RULES.read_text())["groups"]
    assert places[0] == "docs/runbooks/RetlDeadLettersGrowing.md"


@pytest.mark.parametrize("url", ["https://git.example.com/runbooks/", "https://git.example.com/runbooks"])
def test_alerts_that_are_not_wanted_are_left_out_and_runbooks_are_where_they_are_said_to_be(url: str) -> None:
    rules = {"enabled": True, "disabled": ["RetlSourceDown"], "runbookUrl": url}
    shipped = one(rendered({"state": STATE, "monitoring": {"rules": rules}}), "PrometheusRule", "retl")
    found = {each["alert"]: each["annotations"]["runbook_url"] for each in shipped["spec"]["groups"][0]["rules"]}
    assert "RetlSourceDown" not in found
    assert found["RetlStateDown"] == "https://git.example.com/runbooks/RetlStateDown.md"


def test_an_alert_that_is_none_cannot_be_left_out() -> None:
    values = {"state": STATE, "monitoring": {"rules": {"enabled": True, "disabled": ["RetlSourceDwon"]}}}
    with pytest.raises(
        HelmError, match=re.escape("there is no alert RetlSourceDwon; there are RetlDeadLettersGrowing")
    ):
        rendered(values)


def test_grafana_gets_the_dashboard_as_it_is_in_the_file() -> None:
    dashboard = one(rendered(EVERYTHING), "ConfigMap", "retl-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    shipped = dashboard["data"]["reverse-etl.json"]
    assert shipped.strip() == (CHART / "files" / "dashboards" / "reverse-etl.json").read_text().strip()


def test_the_api_server_takes_them(plane: ControlPlane) -> None:
    kinds = ("ServiceMonitor", "PrometheusRule", "ConfigMap")
    objects = [each for each in rendered(EVERYTHING) if each["kind"] in kinds]
    assert {each["kind"] for each in objects} == set(kinds)
    applied = plane.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", SYSTEM, "-f", "-"),
        input=yaml.safe_dump_all(objects),
    )
    assert applied.count("serverside-applied") == len(objects)
