"""A real Prometheus beside a real controller, API pod and runner: alerts fire, are handed on and end."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster  # noqa: F401 - a fixture
from tests.cluster.controllers import MINUTE, account  # noqa: F401 - a fixture
from tests.cluster.objects import EVERY_MINUTE, FAR_AWAY, Namespace, only_run, warehouse
from tests.cluster.test_cli import BAD, person
from tests.cluster.test_controller_whole import ACCOUNTS, Whole, at_work_in
from tests.shipping.prometheus import RULES, Alertmanager, Prometheus, quickened
from tests.shipping.test_dashboard import WITHOUT_DATA, Dashboard

ROUTING = PROJECT / "docs" / "runbooks" / "alertmanager.yaml"
Message = dict[str, Any]
"""What Alertmanager posts to a webhook, with the receiver's name."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A whole operator with one sync that has a dead letter, and who watches it; a minute takes a second."""

    whole: Whole
    prometheus: Prometheus
    told: Queue[Message]


@pytest.fixture(scope="module")
def watched(cluster: Cluster, account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:  # noqa: F811
    directory = tmp_path_factory.mktemp("watched")
    name = f"alerts-{secrets.token_hex(4)}"
    shop = Namespace(cluster, name).make()
    shop.apply(warehouse())  # which nobody can reach
    told: Queue[Message] = Queue()
    with at_work_in(cluster, shop, account, directory) as whole, _webhook(told) as url:
        whole.write(*ACCOUNTS, BAD)
        cluster.kubectl("label", "retl", "accounts", "-n", name, "reverseetl.io/critical=true")
        cluster.kubectl("annotate", "retl", "accounts", "-n", name, "reverseetl.io/max-age=1s")
        whole.log_in()
        _ticked(whole)
        api = whole.api.url.removeprefix("http://").removesuffix("/readyz")
        targets = {"controller": [f"127.0.0.1:{whole.controller.metrics_port}"], "api": [api]}
        rules = quickened(RULES, directory / "rules.yaml")
        with (
            Alertmanager(directory, _routing(directory, url)) as alertmanager,
            Prometheus(directory / "prometheus", targets, rules, alertmanager.address) as prometheus,
        ):
            yield Watched(whole, prometheus, told)
    shop.drop()


def _ticked(whole: Whole) -> None:
    """Let the schedule run the sync once, and not again before the test is over."""
    shop = whole.namespace
    shop.patch("retl", "accounts", {"spec": {"schedule": EVERY_MINUTE}})
    shop.until("retl", "accounts", lambda sync: bool(sync["status"].get("nextRunTime")))
    whole.controller.advance(MINUTE)
    assert only_run(shop, "accounts", "Succeeded")["status"]["counts"]["rejected"] == 1
    shop.patch("retl", "accounts", {"spec": {"schedule": FAR_AWAY}})


def _routing(directory: Path, url: str) -> Path:
    """The example of the docs, with receivers of this machine and without patience."""
    settings = yaml.safe_load(ROUTING.read_text().replace("http://alerts.example.com", url))
    settings["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    (directory / "alertmanager.yaml").write_text(yaml.safe_dump(settings))
    return directory / "alertmanager.yaml"


@contextmanager
def _webhook(told: Queue[Message]) -> Iterator[str]:
    """URL of somebody who takes notifications."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _told(watched: Watched, name: str, status: str) -> Message:
    """The first message of an alert with that status."""
    while True:
        message = watched.told.get(timeout=30)
        if message["status"] == status and message["groupLabels"]["alertname"] == name:
            return message


def test_every_query_of_the_dashboard_runs_and_shows_what_is_scraped(watched: Watched) -> None:
    watched.prometheus.wait_firing("RetlDeadLetterCritical")
    dashboard, known = Dashboard.load(), watched.prometheus.metadata()
    for name, query in dashboard.variables().items():
        found = {series["metric"][name] for series in watched.prometheus.query(query)}
        assert {"namespace": watched.whole.namespace.name, "sync": "accounts"}[name] in found
    empty = set()
    for panel, expression in dashboard.queries():
        names = {re.sub(r"_bucket$", "", metric) for metric in re.findall(r"\bretl_\w+", expression)}
        assert names - known.keys() == set(), f"{panel}: nobody tells of it"
        if not watched.prometheus.query(expression):
            empty.add(panel)
    assert empty - WITHOUT_DATA == set()


def test_a_dead_letter_of_a_critical_sync_is_told_to_who_is_on_call_until_it_is_resolved(
    watched: Watched, tmp_path: Path
) -> None:
    shop, prometheus = watched.whole.namespace, watched.prometheus
    alert = prometheus.wait_firing("RetlDeadLetterCritical")
    assert alert["labels"] | {"namespace": shop.name, "sync": "accounts", "severity": "critical"} == alert["labels"]
    assert alert["annotations"]["summary"] == f"{shop.name}/accounts: a critical sync has dead letters (1)"
    assert _told(watched, "RetlDeadLetterCritical", "firing")["receiver"] == "on-call"
    prometheus.wait_firing("RetlFreshnessBreached")
    prometheus.wait_firing("RetlSourceDown")
    names = {each["labels"]["alertname"] for each in prometheus.alerts() if each["state"] == "firing"}
    assert names == {"RetlDeadLetterCritical", "RetlFreshnessBreached", "RetlSourceDown"}

    retl = person(shop.cluster, shop.name, tmp_path, watched.whole.controller.state_url)
    resolved = retl("dlq", "resolve", "--all", "--cluster", "--yes")
    assert resolved.code == 0, resolved
    prometheus.wait_resolved("RetlDeadLetterCritical")
    assert _told(watched, "RetlDeadLetterCritical", "resolved")["receiver"] == "on-call"


def test_an_operator_that_is_gone_is_told_until_it_is_back(watched: Watched) -> None:
    whole, prometheus = watched.whole, watched.prometheus
    whole.controller.stop()
    whole.api.program.stop()
    prometheus.wait_firing("RetlNoLeader")
    prometheus.wait_firing("RetlStateDown")
    whole.api.start()
    whole.controller.start()
    prometheus.wait_resolved("RetlNoLeader")
    prometheus.wait_resolved("RetlStateDown")
