"""The program itself: it starts fast, explains itself, and never shows a traceback."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import retl as package
from retl.cli import app as commands
from retl.cli.exits import code_of, of_result, worst
from retl.errors import Busy, DestinationError, InvalidInput, RetlError, SourceError, StateError, Unresolved
from retl.runspec import pod
from retl.runspec.result import RunResult, RunStatusName
from tests.cli.retl_command import RETL, retl

START_LIMIT_SECONDS = 0.5


def test_help_answers_at_once(tmp_path: Path) -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert "validate" in retl("--help", cwd=tmp_path).out
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < START_LIMIT_SECONDS


def test_help_loads_no_driver_and_nothing_of_kubernetes() -> None:
    heavy = "{'duckdb', 'pyarrow', 'kopf', 'kubernetes', 'fastapi', 'sqlalchemy', 'pydantic', 'rich'}"
    code = f"import sys; import retl.cli.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            ["retl.controller.shell", "retl.rest.serve"],
            ["duckdb", "pyarrow", "adbc_driver_postgresql", "httpx_aiohttp"],
        ),
        (["retl.runner.execute"], ["kopf", "kubernetes", "fastapi", "prometheus_client"]),
    ],
    ids=["operator image", "runner image"],
)
def test_a_process_needs_only_what_its_image_carries(modules: list[str], absent: list[str]) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"  # None makes an import fail
        "import retl.cli.app\n"
        f"for module in {modules}: __import__(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ask", ["--version", "version"])
def test_it_says_its_version(ask: str, tmp_path: Path) -> None:
    assert retl(ask, cwd=tmp_path).out.strip() == package.__version__


def test_the_help_of_run_documents_the_exit_codes_that_the_runner_uses(tmp_path: Path) -> None:
    shown = retl("run", "--help", cwd=tmp_path).out
    documented = {int(line.split()[0]) for line in commands.EXIT_CODES.splitlines() if line.strip()[:1].isdigit()}
    codes = {
        pod.EXIT_SUCCEEDED,
        pod.EXIT_FAILED,
        pod.EXIT_INVALID,
        pod.EXIT_DEAD_LETTERS,
        pod.EXIT_AWAITING_APPROVAL,
        130,
    }
    assert documented == codes
    assert all(line.strip() in shown for line in commands.EXIT_CODES.splitlines()[1:])


@pytest.mark.parametrize(
    ("status", "reason", "dead_letters", "code"),
    [
        ("Succeeded", "", 0, 0),
        ("Succeeded", "", 1, 3),
        ("Failed", "SourceFailed", 0, 1),
        ("Failed", "SourceFailed", 5, 1),
        ("Failed", "InvalidInput", 0, 2),
        ("Cancelled", "", 0, 1),
        ("AwaitingApproval", "GuardBreached", 2, 4),
    ],
)
def test_a_result_has_one_exit_code(status: RunStatusName, reason: str, dead_letters: int, code: int) -> None:
    result = RunResult(run="r", sync="s", status=status, reason=reason, dead_letters=dead_letters)
    assert of_result(result) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("x"), 2),
        (Unresolved("x"), 2),
        (SourceError("x"), 1),
        (DestinationError("x"), 1),
        (StateError("x"), 1),
        (Busy("x"), 1),
    ],
)
def test_an_error_has_one_exit_code(error: Exception, code: int) -> None:
    assert isinstance(error, RetlError)
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("codes", "code"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 4, 0], 4), ([4, 1, 3], 1), ([1, 2], 2)]
)
def test_of_several_syncs_the_worst_code_counts(codes: list[int], code: int) -> None:
    assert worst(codes) == code


def test_an_unknown_option_is_wrong_input(tmp_path: Path) -> None:
    answer = retl("run", "-f", "x.yaml", "--nonsense", cwd=tmp_path)
    assert answer.code == 2
    assert "--nonsense" in answer.err
    assert not answer.out


def test_an_unforeseen_error_says_where_and_hides_its_text(tmp_path: Path) -> None:
    program = (
        "import sys, retl.cli, retl.cli.app\n"
        "def broken(*args, **kwargs): raise ValueError('ada@example.com')\n"
        "retl.cli.app.app = broken\n"
        "retl.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "internal error: ValueError in broken" in done.stderr
    assert "ada@example.com" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_drama(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{RETL} crds | head -1", shell=True, capture_output=True, text=True, cwd=tmp_path, executable="/bin/bash"
    )
    assert done.stdout.startswith("# Generated by")
    assert "Traceback" not in done.stderr


def test_crds_are_written_and_a_stale_file_is_named(tmp_path: Path) -> None:
    written = retl("crds", "crds", cwd=tmp_path)
    assert (written.code, len(written.out.splitlines())) == (0, 5)
    assert retl("crds", "crds", "--check", cwd=tmp_path).code == 0
    stale = tmp_path / "crds" / "reverseetl.io_syncruns.yaml"
    stale.write_text(stale.read_text() + "# edited\n")
    checked = retl("crds", "crds", "--check", cwd=tmp_path)
    assert checked.code == 1
    assert "reverseetl.io_syncruns.yaml" in checked.err
