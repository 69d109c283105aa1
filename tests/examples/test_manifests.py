"""The manifests in examples/ are valid, hold no secrets, and say in their comments what is true."""

from pathlib import Path

import pytest
import yaml

from tests.cli.retl_command import retl
from tests.examples.crm_process import PROJECT

EXAMPLES = PROJECT / "examples"
FILES = sorted(EXAMPLES.glob("*/*.yaml")) + sorted(EXAMPLES.glob("*/runs/*.yaml"))


FOLDERS = [["local"], ["mirror"], ["flights", "flights/runs"]]


@pytest.mark.parametrize("folders", FOLDERS, ids=lambda folders: folders[0])
def test_every_manifest_is_valid(folders: list[str], tmp_path: Path) -> None:
    options = [word for folder in folders for word in ("-f", str(EXAMPLES / folder))]
    answer = retl("validate", *options, cwd=tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert all(line.endswith(": ok") for line in answer.out.splitlines())


def test_no_secret_is_committed() -> None:
    secrets = [
        document for file in FILES for document in yaml.safe_load_all(file.read_text()) if document["kind"] == "Secret"
    ]
    assert len(secrets) == 3
    for secret in secrets:
        values = {key: value for key, value in secret["stringData"].items() if key != "username"}
        assert set(values.values()) == {"REPLACE_ME"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_paths_in_comments_exist(file: Path) -> None:
    words = [word for line in file.read_text().splitlines() if line.startswith("#") for word in line.split()]
    paths = [word for word in words if word.startswith("examples/")]
    assert all((PROJECT / path).exists() for path in paths), paths


def test_the_tests_of_the_examples_mappings_pass(tmp_path: Path) -> None:
    answer = retl("test", "-f", str(EXAMPLES / "flights"), "-f", str(EXAMPLES / "flights" / "tests"), cwd=tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert [line.rpartition(": ")[2] for line in answer.out.splitlines()] == ["ok"] * 3
