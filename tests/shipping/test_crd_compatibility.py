"""Kinds grow by addition only: held against the CRDs of each release, and against objects that it took."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT, Helm
from tests.cluster.controlplane import ControlPlane
from tests.shipping.compatibility import broken

RELEASES = sorted(Path(__file__).parent.glob("crds-*"))
Change = Callable[[dict[str, Any]], object]


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    return loaded


SYNC = read(PROJECT / "crds" / "reverseetl.io_reverseetlsyncs.yaml")


def test_each_release_left_a_snapshot() -> None:
    released = re.findall(r"^## \[(\d\S+)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {f"crds-{version}" for version in released} <= {path.name for path in RELEASES}


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_todays_kinds_take_all_that_those_of_a_release_took(release: Path) -> None:
    for old in release.glob("reverseetl.io_*.yaml"):
        assert broken(read(old), read(PROJECT / "crds" / old.name)) == []


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_the_api_server_takes_objects_of_a_release(release: Path, plane: ControlPlane, installed: Helm) -> None:
    taken = plane.kubectl("create", "--dry-run=server", "-f", str(release / "objects.yaml"), "-o", "name")
    assert {line.partition(".")[0] for line in taken.splitlines()} == {
        *("syncsource", "syncmodel", "syncdestination", "reverseetlsync", "syncrun")
    }


def spec(crd: dict[str, Any]) -> dict[str, Any]:
    """The schema of its spec."""
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def field(crd: dict[str, Any], *path: str) -> dict[str, Any]:
    """The schema of a field of its spec."""
    found = spec(crd)
    for name in path:
        found = found["items"] if name == "[]" else found["properties"][name]
    return found


BROKEN: dict[str, tuple[Change, str]] = {
    "a field goes": (lambda crd: spec(crd)["properties"].pop("schedule"), "v1alpha1.spec.schedule: is gone"),
    "a field within a list goes": (
        lambda crd: field(crd, "mappings", "[]")["properties"].pop("cast"),
        "v1alpha1.spec.mappings.items.cast: is gone",
    ),
    "a type changes": (
        lambda crd: field(crd, "object").update(type="integer"),
        "v1alpha1.spec.object: type was string, is integer",
    ),
    "a field becomes required": (
        lambda crd: spec(crd)["required"].append("schedule"),
        "v1alpha1.spec.schedule: has become required",
    ),
    "a new field is required": (
        lambda crd: (spec(crd)["properties"].update(team={"type": "string"}), spec(crd)["required"].append("team")),
        "v1alpha1.spec.team: has become required",
    ),
    "a word goes": (
        lambda crd: field(crd, "state")["enum"].remove("Draft"),
        "v1alpha1.spec.state: does not take Draft any more",
    ),
    "words come where any would do": (
        lambda crd: field(crd, "object").update(enum=["account"]),
        "v1alpha1.spec.object: takes only certain words now",
    ),
    "a bound gets tighter": (
        lambda crd: field(crd, "object").update(maxLength=3),
        "v1alpha1.spec.object: maxLength was 255, is 3",
    ),
    "a bound comes": (
        lambda crd: field(crd, "primaryKey", "[]").update(minLength=9),
        "v1alpha1.spec.primaryKey.items: minLength was 1, is 9",
    ),
    "a rule comes": (
        lambda crd: spec(crd).setdefault("x-kubernetes-validations", []).append({"rule": "has(self.schedule)"}),
        "v1alpha1.spec: has a new rule: has(self.schedule)",
    ),
    "a default changes what is left out": (
        lambda crd: field(crd, "mode").update(default="mirror"),
        "v1alpha1.spec.mode: default was upsert, is mirror",
    ),
    "its status cannot be written apart": (
        lambda crd: crd["spec"]["versions"][0].pop("subresources"),
        "v1alpha1: subresource status is gone",
    ),
    "a version is not served": (
        lambda crd: crd["spec"]["versions"][0].update(served=False),
        "v1alpha1: is not served any more",
    ),
    "a kind gets another name": (
        lambda crd: crd["spec"]["names"].update(kind="Sync"),
        "names.kind: was ReverseETLSync, is Sync",
    ),
}


@pytest.mark.parametrize(("change", "finding"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_promise_is_found(change: Change, finding: str) -> None:
    later = copy.deepcopy(SYNC)
    change(later)
    assert broken(SYNC, later) == [finding]


@pytest.mark.parametrize(
    "change",
    [
        lambda crd: spec(crd)["properties"].update(team={"type": "string"}),
        lambda crd: field(crd, "state")["enum"].append("Archived"),
        lambda crd: field(crd, "object").update(maxLength=10_000),
        lambda crd: field(crd, "object").pop("maxLength"),
        lambda crd: spec(crd)["required"].remove("object"),
        lambda crd: crd["spec"]["versions"].append({"name": "v1", "served": True}),
    ],
    ids=["a field", "a word", "a wider bound", "no bound", "not required", "a version"],
)
def test_what_is_added_breaks_nothing(change: Change) -> None:
    later = copy.deepcopy(SYNC)
    change(later)
    assert broken(SYNC, later) == []
