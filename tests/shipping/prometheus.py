"""Prometheus and Alertmanager as real processes on 127.0.0.1, with the rules that the chart ships.

with Prometheus(directory, {"controller": ["10.245.0.7:8080"]}, RULES) as prometheus:
    prometheus.wait_firing("RetlDeadLetterCritical")
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.chart import CHART
from tests.cluster.processes import Program, free_ports, tail, wait_until
from tests.programs import program

RULES = CHART / "files" / "alerts" / "rules.yaml"
INSTALLED = "/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for its templates; it cannot be told to look elsewhere."""
SPAN = re.compile(r"(?<=[\[:])(\d+)([mh])(?=[\]:])|(?<=offset )(\d+)([mh])")
Targets = Mapping[str, Sequence[str]]
"""Addresses (HOST:PORT) by the name of their job."""


def quickened(rules: Path, into: Path) -> Path:
    """A copy of a rule file in which a minute takes a second; what is compared with stays as it is."""
    document = yaml.safe_load(rules.read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        rule["expr"] = SPAN.sub(lambda found: _seconds(found[1] or found[3], found[2] or found[4]), rule["expr"])
        rule["for"] = re.sub(r"^(\d+)([mh])$", lambda found: _seconds(found[1], found[2]), rule["for"])
    into.write_text(yaml.safe_dump(document, sort_keys=False))
    return into


def _seconds(number: str, unit: str) -> str:
    return f"{int(number) * (60 if unit == 'h' else 1)}s"


@dataclass
class Prometheus:
    """A Prometheus that scrapes and evaluates every second, for as long as the block lasts.

    Attributes:
        directory: where its files and its log are; made if it is not there.
        alertmanager: HOST:PORT that it sends alerts to; none if it is empty.
    """

    directory: Path
    targets: Targets
    rules: Path
    alertmanager: str = ""
    url: str = field(init=False)
    _program: Program = field(init=False, repr=False)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.scrape(self.targets)
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        (self.directory / "prometheus.yaml").write_text(yaml.safe_dump(self._settings()))
        command = [
            str(program("prometheus")),
            f"--config.file={self.directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._program = Program("prometheus", command, self.directory / "prometheus.log")
        self._program.start()
        self._program.wait_ready(lambda: answers(f"{self.url}/-/ready"))
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def scrape(self, targets: Targets) -> None:
        """Scrape these from now on; those of before are forgotten."""
        found = [{"targets": list(addresses), "labels": {"job": job}} for job, addresses in targets.items()]
        partial = self.directory / "targets.partial"
        partial.write_text(yaml.safe_dump(found))
        partial.replace(self.directory / "targets.yaml")

    def alerts(self) -> list[dict[str, Any]]:
        """All that are pending or firing, with `labels`, `annotations` and `state`."""
        found: list[dict[str, Any]] = self._asked("alerts")["alerts"]
        return found

    def firing(self, name: str) -> list[dict[str, Any]]:
        """Those of one rule that fire."""
        return [a for a in self.alerts() if a["labels"]["alertname"] == name and a["state"] == "firing"]

    def wait_firing(self, name: str, limit: float = 60) -> dict[str, Any]:
        """The first alert of a rule that fires, once there is one (AssertionError after `limit` seconds)."""
        assert wait_until(lambda: bool(self.firing(name)), limit, every=0.2), self._told(name, "does not fire", limit)
        return self.firing(name)[0]

    def wait_resolved(self, name: str, limit: float = 60) -> None:
        """Until no alert of a rule fires (AssertionError after `limit` seconds)."""
        assert wait_until(lambda: not self.firing(name), limit, every=0.2), self._told(name, "still fires", limit)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now: `metric` and `value` of each series (raises httpx.HTTPStatusError)."""
        found: list[dict[str, Any]] = self._asked("query", query=expression)["result"]
        return found

    def metadata(self) -> dict[str, Any]:
        """Type and help of each metric that targets have told of, series or none."""
        found: dict[str, Any] = self._asked("metadata")
        return found

    def _asked(self, what: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()["data"]

    def _told(self, name: str, what: str, limit: float) -> str:
        targets = [(t["scrapeUrl"], t["health"], t["lastError"]) for t in self._asked("targets")["activeTargets"]]
        log = tail(self.directory / "prometheus.log")
        return f"{name} {what} after {limit:g} s\nalerts: {self.alerts()}\ntargets: {targets}\n{log}"

    def _settings(self) -> dict[str, Any]:
        of_files = [{"files": [str(self.directory / "targets.yaml")]}]
        settings: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.rules)],
            # Namespaces are those of syncs and not of the pods that tell of them, as the chart's ServiceMonitors say.
            "scrape_configs": [{"job_name": "retl", "honor_labels": True, "file_sd_configs": of_files}],
        }
        if self.alertmanager:
            settings["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager]}]}]}
        return settings


@dataclass
class Alertmanager:
    """An Alertmanager that alone is its cluster, for as long as the block lasts."""

    directory: Path
    settings: Path
    address: str = field(init=False)
    _program: Program = field(init=False, repr=False)

    def __enter__(self) -> Self:
        [port] = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        executable, templates = _alertmanager(self.directory)
        command = [
            str(executable),
            f"--config.file={self.settings}",
            f"--storage.path={self.directory / 'alertmanager'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        log = self.directory / "alertmanager.log"
        self._program = Program("alertmanager", command, log, directory=templates)
        self._program.start()
        self._program.wait_ready(lambda: answers(f"http://{self.address}/-/ready"))
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()


def _alertmanager(directory: Path) -> tuple[Path, Path]:
    """Alertmanager, and the directory that it is to be started in.

    Where the package is only unpacked, a copy looks for templates in its working directory: a path of the same length.
    """
    found = program("alertmanager")
    if Path(INSTALLED).exists():
        return found, directory
    copy = directory / "alertmanager-unpacked"
    copy.write_bytes(found.read_bytes().replace(INSTALLED.encode(), b".".ljust(len(INSTALLED), b"/")))
    copy.chmod(0o755)
    return copy, found.parents[2] / INSTALLED.removeprefix("/")


def answers(url: str) -> bool:
    """Whether somebody answers there, and well."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
