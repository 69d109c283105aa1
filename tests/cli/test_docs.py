"""docs/cli.md says what is true: its examples are typed in, in their order, and answer as they are shown to."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.accounts import project
from tests.cli.retl_command import retl
from tests.examples.crm_process import PROJECT, RunningCrm, running_crm

PAGE = (PROJECT / "docs" / "cli.md").read_text()
ANYTHING = "…"


def _examples() -> Iterator[tuple[str, str]]:
    """Commands and what they are shown to print."""
    for _, block in re.findall(r"^(`{3,})console\n(.*?)\n\1$", PAGE, flags=re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            yield command, shown.strip()


def _matches(shown: str, answer: str) -> bool:
    return re.fullmatch(".*?".join(map(re.escape, shown.split(ANYTHING))), answer.strip(), re.DOTALL) is not None


@pytest.fixture(scope="module")
def crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1000", "--burst", "1000") as running:
        yield running


def test_every_example_answers_as_it_is_shown_to(tmp_path: Path, crm: RunningCrm) -> None:
    project(tmp_path, crm)
    (tmp_path / ".retl").mkdir()
    (tmp_path / "secrets").rename(tmp_path / ".retl" / "secrets")
    examples = list(_examples())
    assert len(examples) == PAGE.count("\n$ retl ") >= 10
    for command, shown in examples:
        program, *words = shlex.split(command)
        assert program == "retl"
        if "ID" in words:
            letters = retl("dlq", "list", "-o", "json", cwd=tmp_path).objects
            words[words.index("ID")] = letters[0]["id"]
        answer = retl(*words, cwd=tmp_path)
        assert _matches(shown, answer.out + answer.err), f"$ {command}\n{answer.out}{answer.err}"
        assert max(map(len, (answer.out + answer.err).splitlines())) <= 140  # a command to copy stays in one line


def test_every_command_and_key_of_the_page_is_there(tmp_path: Path) -> None:
    commands = set(re.findall(r"^  (\w+) ", retl("--help", cwd=tmp_path).out.partition("Commands:")[2], re.MULTILINE))
    named = {word for line in PAGE.splitlines() for word in re.findall(r"`retl (\w+)", line)}
    assert commands - {"version"} == named - {"COMMAND"}
