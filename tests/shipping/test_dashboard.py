"""The Grafana dashboard as a file; what its queries find is shown by a real Prometheus in test_alerts_live."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tests.chart import CHART

FILE = CHART / "files" / "dashboards" / "reverse-etl.json"
GIVEN = {"$__rate_interval": "30s", "$__range": "5m", "$namespace": ".*", "$sync": ".*"}
"""What Grafana puts in the place of variables, with All chosen."""
WITHOUT_DATA = {
    "Changes of the leader, A",  # no Lease
    "Overdue, A",
    "Progress of runs under way, A",
    "Reconciles that failed, A",
    "Slots of destinations in use, A",  # no maxConcurrentRuns
    "Unfinished runs, A",
    "What due runs wait for, A",
}
"""Queries that may find nothing where a tick has run one sync, and well."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The dashboard's JSON."""

    document: dict[str, Any]

    @classmethod
    def load(cls) -> Dashboard:
        return cls(json.loads(FILE.read_text()))

    def panels(self) -> list[dict[str, Any]]:
        """All that are no headings of rows."""
        return [panel for panel in self.document["panels"] if panel["type"] != "row"]

    def queries(self) -> Iterator[tuple[str, str]]:
        """Title of the panel with the query's name, and the expression as Grafana sends it."""
        for panel in self.panels():
            for target in panel["targets"]:
                yield f"{panel['title']}, {target['refId']}", substituted(target["expr"])

    def variables(self) -> dict[str, str]:
        """Of each variable that asks Prometheus, the series whose label of that name it lists."""
        asked = [v for v in self.document["templating"]["list"] if v["type"] == "query"]
        found = {v["name"]: re.fullmatch(r"label_values\((.+), (\w+)\)", v["query"]["query"]) for v in asked}
        assert all(match is not None and match[2] == name for name, match in found.items())
        return {name: substituted(match[1]) for name, match in found.items() if match}


def substituted(expression: str) -> str:
    """An expression without variables."""
    for name, value in GIVEN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"{expression}: a variable that the dashboard does not have"
    return expression


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = Dashboard.load().document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    overlaps = [
        (one, two)
        for one, two in combinations(places, 2)
        if one["x"] < two["x"] + two["w"]
        and two["x"] < one["x"] + one["w"]
        and one["y"] < two["y"] + two["h"]
        and two["y"] < one["y"] + one["h"]
    ]
    assert overlaps == []


def test_everything_asks_the_prometheus_that_was_chosen() -> None:
    dashboard = Dashboard.load()
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*dashboard.panels(), *(target for panel in dashboard.panels() for target in panel["targets"])]
    assert [each for each in asking if each["datasource"] != chosen] == []
    assert dashboard.document["templating"]["list"][0]["name"] == "datasource"


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in Dashboard.load().panels():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            kept = {label.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(",")}
            assert named <= kept, f"{panel['title']}: {target['expr']}"
