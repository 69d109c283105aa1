"""Manifests on disk: what is read, and what a person is told about what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from retl.errors import InvalidInput
from retl.resources import ReverseETLSync, SyncRun, SyncSource
from retl.resources.manifests import load, parse
from tests.unit.resources.cases import ACCEPTED, REFUSED, SOURCE, SYNC, Manifest, Refused, change


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_api_server_takes_is_taken(manifest: Manifest) -> None:
    (resource,) = parse(yaml.safe_dump(manifest), "f.yaml")
    assert resource.kind == manifest["kind"]


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses_is_refused_in_words_that_help(case: Refused) -> None:
    message = refusal(yaml.safe_dump(case.manifest))
    assert case.ours in message
    assert message.startswith("f.yaml:")


def test_a_problem_names_file_line_object_field_and_what_to_change() -> None:
    text = """\
apiVersion: reverseetl.io/v1alpha1
kind: ReverseETLSync
metadata:
  name: accounts
spec:
  modelRef: {name: m}
  destinationRef: {name: d}
  object: Account
  mappings:
  - {source: id, destination: Id, key: true}
  - source: name
    destination: Name
    cast: text
"""
    assert refusal(text) == (
        "f.yaml:13: ReverseETLSync accounts: spec.mappings[1].cast: "
        "must be 'string', 'number', 'integer', 'boolean', 'date', 'timestamp' or 'json'"
    )


def test_a_missing_field_is_reported_at_the_line_of_what_lacks_it() -> None:
    text = "apiVersion: reverseetl.io/v1alpha1\nkind: SyncSource\nmetadata: {name: w}\nspec:\n  config: {}\n"
    assert refusal(text) == "f.yaml:4: SyncSource w: spec.connector: is required"


def test_all_problems_of_all_files_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(yaml.safe_dump(change(SYNC, {"spec.state": "Stopped", "spec.object": ""}), sort_keys=False))
    two.write_text(yaml.safe_dump(change(SOURCE, {"spec.connector": "X"})))
    with pytest.raises(InvalidInput) as caught:
        load([one, two, tmp_path / "three.yaml"])
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[2] for line in lines[:3]] == ["spec.object", "spec.state", "spec.connector"]
    assert lines[3] == f"{tmp_path / 'three.yaml'}: there is no such file or directory"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [b\n", "f.yaml:2:1: not valid YAML: while parsing a flow sequence expected ',' or ']'"),
        ("a: b\n\tc: d\n", "f.yaml:2:1: not valid YAML"),
        ("a: b: c\n", "f.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("a: *b\n", "f.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: \x00\n", "f.yaml:1: the character #x0000 is not allowed in YAML"),
        ("a: {? [1]: 2}\n", "f.yaml:1: a: a key must be text"),
        ("a: &a [*a]\n", "f.yaml:1: nested more than 64 deep"),
        ("[" * 5000, "f.yaml:1: nested more than 64 deep"),
        ("a: !!binary aGk=\n", "f.yaml:1: binary is not a type that JSON knows"),
        ("a: 0b_\n", "f.yaml:1: '0b_' is not a number; put text in quotes"),
        ("", "f.yaml: is empty; write at least one manifest"),
        ("---\n# nothing yet\n---\n", "f.yaml: is empty"),
        ("- a\n", "f.yaml:1: is not a manifest; a manifest has apiVersion, kind, metadata and spec"),
        ("kind: SyncRun\n", "f.yaml:1: apiVersion: is required; write apiVersion: reverseetl.io/v1alpha1"),
        ("apiVersion: reverseetl.io/v1alpha1\n", "kind: is required; kinds: SyncSource, SyncModel"),
        ("apiVersion: reverseetl.io/v1\nkind: SyncRun\n", "reverseetl.io has no version v1; write reverseetl.io/v1al"),
        ("apiVersion: v1\nkind: SyncRun\n", "there is no v1; did you mean reverseetl.io/v1alpha1?"),
        ("apiVersion: reverse-etl.io/v1\nkind: Sync\n", "there is no reverse-etl.io/v1; did you mean reverseetl.io/v"),
        (
            "apiVersion: reverseetl.io/v1alpha1\nkind: SyncSorce\n",
            "there is no kind SyncSorce in reverseetl.io/v1alpha1; did you mean SyncSource?; kinds: SyncSource,",
        ),
        (
            "apiVersion: reverseetl.io/v1alpha1\nkind: Pipeline\n",
            "there is no kind Pipeline in reverseetl.io/v1alpha1; kinds: SyncSource, SyncModel, SyncDestination, Rev",
        ),
    ],
)
def test_text_that_is_no_manifest_is_told_what_is_wrong_with_it(text: str, message: str) -> None:
    assert message in refusal(text)


def test_an_anchor_that_multiplies_itself_is_stopped() -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 200000 values; does an anchor multiply itself?" in refusal("\n".join(["a0: &a0 x", *levels]))


def test_documents_before_broken_yaml_are_checked_too() -> None:
    message = refusal(yaml.safe_dump(change(SOURCE, {"spec.connector": "X"})) + "---\na: [b\n")
    assert "spec.connector" in message.splitlines()[0]
    assert "not valid YAML" in message.splitlines()[1]


def test_a_key_that_stands_twice_is_refused_at_its_second_line() -> None:
    text = yaml.safe_dump(SOURCE, sort_keys=False) + "  connector: duckdb\n"
    assert refusal(text) == "f.yaml:7: SyncSource warehouse: spec.connector: stands twice; keep one"


def test_a_merge_key_may_be_overridden() -> None:
    text = """\
apiVersion: reverseetl.io/v1alpha1
kind: SyncSource
metadata: {name: w}
spec:
  connector: postgres
  config:
    first: &first {host: a, port: 1}
    second: {<<: *first, host: b}
    third: {<<: *first}
"""
    (source,) = parse(text, "f.yaml")
    assert isinstance(source, SyncSource)
    assert source.spec.config["second"] == {"host": "b", "port": 1}
    assert source.spec.config["third"] == {"host": "a", "port": 1}


def test_the_same_object_twice_is_refused_with_the_place_of_the_first(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(SOURCE))
    with pytest.raises(InvalidInput) as caught:
        load([tmp_path])
    assert str(caught.value) == f"{tmp_path}/b.yaml:1: SyncSource warehouse: is already in {tmp_path}/a.yaml:1"


def test_the_same_name_in_another_namespace_or_kind_is_another_object() -> None:
    texts = [SOURCE, change(SOURCE, {"metadata.namespace": "growth"}), change(SYNC, {"metadata.name": "warehouse"})]
    assert len(parse("---\n".join(yaml.safe_dump(each) for each in texts), "f.yaml")) == 3


def test_objects_of_other_groups_are_left_out() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\napiVersion: apps/v1\nkind: Deployment\n---\n"
    assert [r.kind for r in parse(text + yaml.safe_dump(SOURCE), "f.yaml")] == ["SyncSource"]


def test_the_items_of_a_list_are_read_with_their_lines() -> None:
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [SOURCE, SYNC]}, sort_keys=False)
    assert [r.kind for r in parse(text, "f.yaml")] == ["SyncSource", "ReverseETLSync"]
    assert refusal(text.replace("connector: postgres", "connecter: postgres")).splitlines() == [
        "f.yaml:8: SyncSource warehouse: spec.connector: is required",
        "f.yaml:9: SyncSource warehouse: spec.connecter: unknown field; did you mean connector?",
    ]


def test_a_directory_gives_its_manifests_by_name_and_no_deeper(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(yaml.safe_dump(SYNC))
    (tmp_path / "a.json").write_text(
        '{"apiVersion": "reverseetl.io/v1alpha1", "kind": "SyncRun",'
        ' "metadata": {"name": "r"}, "spec": {"syncRef": {"name": "accounts"}}}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.yaml").write_text("- broken")
    assert [r.kind for r in load([tmp_path])] == ["SyncRun", "ReverseETLSync"]


def test_an_empty_directory_and_a_file_that_is_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput) as caught:
        load([tmp_path / "empty", tmp_path / "binary.yaml"])
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/empty: holds no manifests (*.yaml, *.yml, *.json)",
        f"{tmp_path}/binary.yaml: is not UTF-8 text",
    ]


def test_a_byte_order_mark_is_read_past(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\ufeff" + yaml.safe_dump(SOURCE), encoding="utf-8")
    assert [r.kind for r in load([tmp_path])] == ["SyncSource"]


def test_null_means_not_written_but_stays_null_in_the_settings_of_a_connector() -> None:
    source = change(
        SOURCE, {"spec.config": {"a": None, "b": [None]}, "spec.credentials": None, "metadata.labels": None}
    )
    (read,) = parse(yaml.safe_dump(source), "f.yaml")
    assert isinstance(read, SyncSource)
    assert read.spec.config == {"a": None, "b": [None]}
    assert read.spec.credentials is None


def test_a_status_in_a_manifest_is_not_looked_at() -> None:
    (read,) = parse(yaml.safe_dump(change(SYNC, {"status": {"conditions": "whatever"}})), "f.yaml")
    assert isinstance(read, ReverseETLSync)
    assert read.status.conditions == []


def test_dates_and_base_60_numbers_stay_text_as_for_kubectl() -> None:
    text = "apiVersion: reverseetl.io/v1alpha1\nkind: SyncRun\nmetadata: {name: r}\nspec: {syncRef: {name: s}, tick: "
    (run,) = parse(text + "2026-01-31T23:59:00Z}\n", "f.yaml")
    assert isinstance(run, SyncRun)
    assert run.spec.tick is not None
    assert run.spec.tick.isoformat() == "2026-01-31T23:59:00+00:00"
    mapped = yaml.safe_dump(SYNC).replace("source: name", "value: 12:30")
    (sync,) = parse(mapped, "f.yaml")
    assert isinstance(sync, ReverseETLSync)
    assert sync.spec.mappings[1].value == "12:30"


@pytest.mark.parametrize("plain", ["y", "No", "on", "1_000", "0x1F", "08540", "1e3"])
def test_plain_text_that_kubectl_would_not_read_as_text_is_refused(plain: str) -> None:
    text = yaml.safe_dump(SYNC).replace("source: name", f"value: {plain}")
    assert "spec.mappings[1].value: must be text; put it in quotes" in refusal(text)
