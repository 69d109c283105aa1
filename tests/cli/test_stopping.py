"""Ctrl-C and SIGTERM, and what a terminal shows: the process is watched while it runs."""

import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.accounts import project
from tests.cli.retl_command import RETL, retl
from tests.cluster.processes import die_with_parent, wait_until
from tests.examples.crm_process import RunningCrm, running_crm

COMMAND = [RETL, "run", "-f", "accounts.yaml", "--secrets-dir", "secrets"]
ROWS = 12
LIMIT = 30


@contextmanager
def _started(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def slow_crm() -> Iterator[RunningCrm]:
    with running_crm("--calls-per-second", "1", "--burst", "1") as running:
        yield running


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_stops_cleanly_and_the_next_run_sends_only_the_rest(
    tmp_path: Path, slow_crm: RunningCrm, sign: signal.Signals, code: int
) -> None:
    accounts = project(tmp_path, slow_crm)
    accounts.write_rows([row for row in accounts.rows if "A-1007" not in row and "A-1010" not in row][:4])
    accounts.edit("ReverseETLSync", delivery={"batchSize": 1, "maxInFlight": 1})
    with _started(tmp_path, "-o", "json") as process:
        assert wait_until(lambda: slow_crm.stats()["created"] >= 1, LIMIT)
        process.send_signal(sign)
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == code
    assert '"status":"Cancelled"' in out
    assert "once more to stop at once" in err
    sent = slow_crm.stats()["created"]
    assert 1 <= sent < 4
    rest = retl("run", "-f", "accounts.yaml", "--secrets-dir", "secrets", "-o", "json", cwd=tmp_path).object
    assert (rest["unchanged"], rest["created"]) == (sent, 4 - sent)
    assert slow_crm.stats() | {"calls": 0, "calls_limited": 0} == {
        "calls": 0,
        "calls_limited": 0,
        "records": 4,
        "created": 4,
        "updated": 0,
        "deleted": 0,
        "rejected": 0,
    }


def test_a_second_signal_ends_it_at_once_and_the_next_run_is_not_locked_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        accounts = project(tmp_path, RunningCrm(url, "token"))
        with _started(tmp_path) as process:
            silent.settimeout(LIMIT)
            connection, _ = silent.accept()  # the first call is under way, and will never be answered
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "once more" in process.stderr.readline()
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == -signal.SIGINT
            connection.close()
    with running_crm() as crm:
        accounts.edit(
            "SyncDestination", config={"url": f"{crm.url}/api/objects/{{object}}/batch", "envelope": "records"}
        )
        (accounts.secrets / "crm-login" / "token").write_text(crm.token)
        again = retl("run", "-f", "accounts.yaml", "--secrets-dir", "secrets", "-o", "json", cwd=tmp_path)
        assert again.object["status"] == "Succeeded"
        listed = retl("runs", "list", "-o", "json", cwd=tmp_path).objects
        assert [each["status"] for each in listed] == ["Succeeded", "Interrupted"]


def _on_a_terminal(folder: Path, *args: str, **environment: str) -> tuple[str, str]:
    """What a terminal shows on stderr, and stdout."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=inside,
        text=True,
        preexec_fn=die_with_parent(),
        env=os.environ | {"TERM": "xterm"} | environment,
    )
    os.close(inside)
    shown = _read_all(terminal)
    out, _ = process.communicate(timeout=LIMIT)
    return shown, out


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_failure_is_red_where_a_person_wants_colours(
    tmp_path: Path, environment: dict[str, str], coloured: bool
) -> None:
    accounts = project(tmp_path, RunningCrm("http://127.0.0.1:1", "token"))
    accounts.edit("ReverseETLSync", query={"sourceRef": {"name": "files"}, "sql": "SELECT * FROM acounts"})
    shown, _ = _on_a_terminal(tmp_path, **environment)
    assert "accounts-to-crm: failed while reading the source" in shown
    assert ("\x1b[31m" in shown) == coloured


def test_a_terminal_shows_progress_on_stderr_and_stdout_carries_the_result_alone(tmp_path: Path) -> None:
    with running_crm() as crm:
        project(tmp_path, crm)
        shown, out = _on_a_terminal(tmp_path, "-o", "json")
    assert "accounts-to-crm" in shown
    assert "sending" in shown
    assert out.startswith("{")
    assert "\x1b" not in out


def _read_all(terminal: int) -> str:
    """What was written to a terminal until its other end closed."""
    found = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: nobody holds the other end any more
            part = b""
        if not part:
            os.close(terminal)
            return found.decode(errors="replace")
        found += part
