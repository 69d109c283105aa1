"""The documentation: it builds, what the programs write of it is current, and what it tells people to type is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from retl.cli.app import app
from retl.resources.manifests import parse
from tests.chart import CHART, Helm, rendered
from tests.cli.accounts import CRM_URL, EXAMPLE
from tests.cli.examples import examples, matches
from tests.cluster.controlplane import ControlPlane
from tests.examples.crm_process import running_crm
from tests.programs import program
from tools import pictures, reference

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
HELM_COMMANDS = {"install", "upgrade", "uninstall", "rollback", "template", "get", "history", "status", "test", "show"}


def built(*command: str | Path, **environment: str) -> str:
    """What a program of this environment wrote; it must succeed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built(program("mkdocs"), "build", "--strict", "--site-dir", tmp_path, NO_MKDOCS_2_WARNING="1")
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert len(pages) > len([name for name in PAGES if "/notes/" not in name])  # those are parts of other pages
    for page in pages:
        assert not re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//', page)
        assert not re.findall(r"<td>.*<code>[^<]*\\\|", page)
        assert 'class="mermaid"' not in page  # the theme would load what draws it
        assert "pictures/iframe-worker.js" in page  # else there is no search where it is opened as a file
    assert (tmp_path / "search" / "search_index.js").exists()


@pytest.mark.parametrize("check", [reference.main, pictures.main], ids=["reference", "pictures"])
def test_what_the_programs_write_of_it_is_current(check: Callable[[Sequence[str]], int]) -> None:
    assert check(["--check"]) == 0


def typed(name: str) -> list[tuple[str, str]]:
    """Page and command of everything that the pages tell people to type into a program of this name."""
    found = []
    for page, text in PAGES.items():
        if page.startswith(("reference/", "decisions/")):
            continue
        blocks = [block for _, block in re.findall(r"^ *```(sh|console)\n(.*?)```", text, re.DOTALL | re.MULTILINE)]
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        inline = re.findall(r"`([^`\n]+)`", text)
        for line in [re.sub(r"^\s*(\$ )?", "", line) for line in lines] + inline:
            if line.startswith(f"{name} "):
                found.append((page, re.sub(r"\s+#.*| > .*| \| .*", "", line)))
    return found


def options(words: list[str]) -> Iterator[str]:
    for word in words:
        if re.match(r"--?[a-z]", word, re.IGNORECASE):
            yield word.partition("=")[0]


def test_every_command_of_retl_that_is_told_has_the_options_that_are_told() -> None:
    wrong = []
    program_itself: Any = typer.main.get_command(app)
    for page, line in typed("retl"):
        command = program_itself
        words = shlex.split(line.replace("…", "X"))[1:]
        while words and (inner := getattr(command, "commands", None)) is not None and words[0] in inner:
            command = inner[words.pop(0)]
        alternatives = words and re.fullmatch(r"[a-z|]+|COMMAND|X", words[0])  # retl dlq list|stats
        if hasattr(command, "commands") and not (alternatives or not words or words[0].startswith("-")):
            wrong.append(f"{page}: {line}: there is no command {words[0]}")
        known = {"--help", "-h", *(name for each in command.params for name in [*each.opts, *each.secondary_opts])}
        wrong += [f"{page}: {line}: no option {each}" for each in options(words) if each not in known]
    assert not wrong, "\n".join(wrong)


@cache
def helm_help(*command: str) -> str:
    return built(program("helm"), *command, "--help")


def test_every_command_of_helm_that_is_told_has_its_options_and_sets_values_that_there_are() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    commands = typed("helm")
    assert commands
    for page, line in commands:
        words = shlex.split(line.replace("…", "X"))[1:]
        assert words[0] in HELM_COMMANDS, f"{page}: {line}"
        told = helm_help(*words[: 2 if words[0] == "get" else 1])
        for option in options(words[1:]):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", told), f"{page}: {line}: {option}"
        for path in re.findall(r"--set (\S+?)=", line):
            found = values
            for key in path.split("."):
                assert key in found, f"{page}: {line}: there is no value {path}"
                found = found[key]


def test_every_object_of_the_operator_that_a_command_names_is_one_that_the_chart_makes() -> None:
    values = {"postgresql": {"enabled": True}, "state": {"existingSecret": ""}}
    made = {each["metadata"]["name"] for each in rendered(values)}
    made |= {"retl-postgresql-0"}
    pattern = r"\b(?:deployment|deploy|statefulset|svc|service|job|clusterrole|secret|pod)[s]?[/ ](retl-[a-z-]+\d?)"
    for page, line in typed("kubectl"):
        for name in re.findall(pattern, line):
            assert name in made, f"{page}: {line}"


def test_every_manifest_of_our_kinds_on_the_pages_is_one_that_is_accepted() -> None:
    shown = 0
    for page, text in PAGES.items():
        for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            if "apiVersion: reverseetl.io/v1alpha1" in block and "…" not in re.sub(r"#.*", "", block):
                shown += len(parse(block, page))
    assert shown


def test_every_test_that_the_threat_table_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGES["security.md"]))
    there = {
        name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 20
    assert named <= there, named - there


def test_the_quick_start_answers_as_it_is_shown_to(tmp_path: Path) -> None:
    page = PAGES["start/local.md"]
    folder = tmp_path / "examples" / "local"
    folder.mkdir(parents=True)
    with running_crm(token="") as crm:
        for path in EXAMPLE.iterdir():
            (folder / path.name).write_text(path.read_text().replace(CRM_URL, crm.url))
        before, mended = page.split("## Mend a row")
        for text in (before, mended):
            for command, shown in examples(text):
                with chdir(tmp_path):
                    answer = CliRunner().invoke(app, shlex.split(command)[1:], env={"COLUMNS": "100"}).output
                assert matches(shown, answer), f"$ {command}\n{answer}"
            rows = folder / "accounts.csv"
            rows.write_text(rows.read_text().replace(",France,", ",FR,"))


def test_the_first_sync_is_taken_by_the_api_server_under_restricted_pod_security(
    plane: ControlPlane, installed: Helm
) -> None:
    manifest = DOCS / "start" / "first-sync.yaml"
    namespace = yaml.safe_load_all(manifest.read_text()).__next__()
    name = namespace["metadata"]["name"]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(namespace))
    try:
        answer = plane.kubectl("apply", "--dry-run=server", "--warnings-as-errors", "-f", str(manifest))
    finally:
        plane.kubectl("delete", "namespace", name, "--wait=false")
    assert answer.count("(server dry run)") == len(list(yaml.safe_load_all(manifest.read_text())))
