"""docs/cli.md says what is true: its examples are typed in, in their order, and answer as they are shown to."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.accounts import project
from tests.cli.examples import examples, matches
from tests.cli.retl_command import retl
from tests.examples.crm_process import PROJECT, RunningCrm, running_crm

PAGE = (PROJECT / "docs" / "cli.md").read_text()


@pytest.fixture(scope="module")
def crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1000", "--burst", "1000") as running:
        yield running


def test_every_example_answers_as_it_is_shown_to(tmp_path: Path, crm: RunningCrm) -> None:
    project(tmp_path, crm)
    (tmp_path / ".retl").mkdir()
    (tmp_path / "secrets").rename(tmp_path / ".retl" / "secrets")
    typed = list(examples(PAGE))
    assert len(typed) == PAGE.count("\n$ retl ") >= 10
    for command, shown in typed:
        program, *words = shlex.split(command)
        assert program == "retl"
        if "ID" in words:
            letters = retl("dlq", "list", "-o", "json", cwd=tmp_path).objects
            words[words.index("ID")] = letters[0]["id"]
        answer = retl(*words, cwd=tmp_path)
        assert matches(shown, answer.out + answer.err), f"$ {command}\n{answer.out}{answer.err}"
        assert max(map(len, (answer.out + answer.err).splitlines())) <= 140  # a command to copy stays in one line


def test_every_command_and_key_of_the_page_is_there(tmp_path: Path) -> None:
    commands = set(re.findall(r"^  (\w+) ", retl("--help", cwd=tmp_path).out.partition("Commands:")[2], re.MULTILINE))
    named = {word for line in PAGE.splitlines() for word in re.findall(r"`retl (\w+)", line)}
    assert commands - {"version"} == named - {"COMMAND"}
