"""The generated CustomResourceDefinitions, looked at without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from retl.resources import KINDS
from retl.resources.crds import HEADER, crds, definition, stale, write
from retl.resources.structural import structural

PROJECT = Path(__file__).parents[3]
SIZE_MAX = 64 * 1024


def nodes(schema: Any, location: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema of a structural schema, with the path of the field it describes."""
    yield location, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{location}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{location}[]")


def test_the_committed_definitions_say_what_the_models_say() -> None:
    assert stale(PROJECT / "crds") == []


def test_stale_names_what_is_missing_changed_or_left_over(tmp_path: Path) -> None:
    first, second, *_ = write(tmp_path)
    assert stale(tmp_path) == []
    first.unlink()
    second.write_text(second.read_text() + "# by hand\n")
    (tmp_path / "reverseetl.io_syncgone.yaml").write_text("left over")
    assert stale(tmp_path) == sorted([first.name, second.name, "reverseetl.io_syncgone.yaml"])


def test_stale_leaves_files_of_others_alone(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: []")
    assert stale(tmp_path) == []


def test_the_text_says_what_generates_it_and_has_no_anchors() -> None:
    for text in crds().values():
        assert text.startswith(HEADER)
        assert "&id" not in text


@pytest.mark.parametrize("text", crds().values(), ids=crds())
def test_each_definition_stays_under_64_kib(text: str) -> None:
    assert len(json.dumps(yaml.safe_load(text), separators=(",", ":"))) < SIZE_MAX


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_field_of_a_spec_has_a_description(kind: Any) -> None:
    spec = structural(kind)["properties"]["spec"]
    silent = [where for where, node in nodes(spec) if "description" not in node and not where.endswith("[]")]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_list_and_text_of_a_spec_is_bounded(kind: Any) -> None:
    spec = structural(kind)["properties"]["spec"]
    unbounded = [
        where
        for where, node in nodes(spec)
        if (node.get("type") == "array" and "maxItems" not in node)
        or (node.get("type") == "string" and not {"maxLength", "enum", "format"} & node.keys())
    ]
    assert unbounded == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_status_has_no_defaults_because_only_the_controller_knows(kind: Any) -> None:
    status = structural(kind)["properties"]["status"]
    assert [where for where, node in nodes(status) if "default" in node] == []


def test_defaults_are_written_as_people_write_them() -> None:
    spec = structural(KINDS["ReverseETLSync"])["properties"]["spec"]["properties"]
    assert spec["delivery"]["properties"]["timeout"]["default"] == "30s"
    assert spec["runner"]["properties"]["timeout"]["default"] == "1h"
    assert spec["state"]["default"] == "Active"
    assert spec["delivery"]["default"] == {}


def test_a_field_that_stands_for_nothing_has_no_default() -> None:
    spec = structural(KINDS["ReverseETLSync"])["properties"]["spec"]["properties"]
    assert "default" not in spec["displayName"]
    assert "default" not in spec["schedule"]
    assert "default" not in spec["mappings"]["items"]["properties"]["key"]


def test_items_with_an_identity_merge_one_by_one_and_other_lists_are_replaced_whole() -> None:
    schema = structural(KINDS["ReverseETLSync"])["properties"]
    mappings = schema["spec"]["properties"]["mappings"]
    assert (mappings["x-kubernetes-list-type"], mappings["x-kubernetes-list-map-keys"]) == ("map", ["destination"])
    conditions = schema["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    assert schema["spec"]["properties"]["primaryKey"]["x-kubernetes-list-type"] == "atomic"


def test_settings_of_a_connector_are_open() -> None:
    config = structural(KINDS["SyncSource"])["properties"]["spec"]["properties"]["config"]
    assert config["x-kubernetes-preserve-unknown-fields"] is True
    assert config["type"] == "object"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_columns_and_selectable_fields_name_fields_that_exist(kind: Any) -> None:
    version = definition(kind)["spec"]["versions"][0]
    known = {where for where, _ in nodes(version["schema"]["openAPIV3Schema"])} | {".metadata.creationTimestamp"}
    named = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    named += [field["jsonPath"] for field in version["selectableFields"]]
    plain = [path for path in named if "conditions[?" not in path]
    assert [path for path in plain if path not in known] == []
