"""A connector that this image has not is not held against anything: the runner's image may have it."""

from __future__ import annotations

from typing import Any

from retl.controller.checks import connection_problem
from retl.controller.decision import Problem
from retl.resources import SyncDestination


def destination(**spec: Any) -> SyncDestination:
    manifest = {
        "apiVersion": "reverseetl.io/v1alpha1",
        "kind": "SyncDestination",
        "metadata": {"name": "shelf", "namespace": "growth", "uid": "u"},
        "spec": spec,
    }
    return SyncDestination.read(manifest)


def test_a_connector_of_a_third_party_is_left_to_the_runner() -> None:
    assert connection_problem(destination(connector="shelf", config={"anything": 1})) is None


def test_settings_of_a_connector_that_is_known_are_still_looked_at() -> None:
    found = connection_problem(destination(connector="http", config={"uri": "x"}))
    assert isinstance(found, Problem)
    assert "config.url: is required" in found.message
