"""The demo, for real: it tells its story to the end, can be left up and stopped, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import yaml

from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import Identity, die_with_parent, wait_until
from tests.examples.crm_process import PROJECT

LIMIT_SECONDS = 240
PROGRAM = """
import pathlib, sys
from examples.demo.__main__ import main
sys.exit(main(sys.argv[2:], pathlib.Path(sys.argv[1])))
"""


def _demo(directory: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory), *args],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_as_at_a_terminal(die_with_parent()),
    )


def _as_at_a_terminal(prepare: Callable[[], None]) -> Callable[[], None]:
    """What a shell starts in the background ignores Ctrl-C, and so does all that is started by that: tests, too."""

    def heeding() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        prepare()

    return heeding


def _recorded(directory: Path) -> tuple[dict[str, Identity], list[Path]]:
    """The demo's processes by name, and the data outside its directory."""
    record = json.loads((directory / "processes.json").read_text())
    processes = {name: Identity(pid, started) for name, (pid, started) in record["processes"].items()}
    return processes, [Path(path) for path in record["remove"]]


def _gone(processes: dict[str, Identity]) -> Callable[[], bool]:
    return lambda: not any(process.alive() for process in processes.values())


def test_it_moves_real_rows_stays_up_if_asked_and_stops_without_a_trace(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    said, _ = _demo(directory, "--keep").communicate(timeout=LIMIT_SECONDS)
    assert (directory / "processes.json").exists(), said
    processes, data = _recorded(directory)
    try:
        assert "What happened in" in said, said
        assert "336,776 flights" in said
        assert "read 3,322 = 3,314 created + 8 rejected" in said
        assert "category: 'Rotorcraft' is not 'Fixed wing multi engine'" in said
        assert "the CRM's own counter: 33 records received" in said
        assert set(processes) >= {"etcd", "kube-apiserver", "node", "postgres", "crm", "api", "controller"}
        assert not _gone(processes)()
        kubectl = Kubectl(directory / "cluster" / "admin.kubeconfig")
        assert kubectl("-n", "flights", "get", "retl", "planes-to-crm", "-o", "jsonpath={.spec.state}") == "Active"
        secret = next(
            document
            for document in yaml.safe_load_all((directory / "manifests" / "20-crm.yaml").read_text())
            if document["kind"] == "Secret"
        )
        token = secret["stringData"]["token"]
        url = next(word for word in said.split() if "/api/objects/aircraft" in word).strip("'")
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert answer.json()["total"] == 3_314
    finally:
        stopping = _demo(directory, "down")
        assert "stopped:" in stopping.communicate(timeout=60)[0]
    assert _gone(processes)()
    assert not any(path.exists() for path in [directory, *data])


def _interrupted(demo: subprocess.Popen[str]) -> str:
    """What a demo says that is told to stop, as a person tells it: again, if nothing seems to happen."""
    for _ in range(2):
        demo.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return demo.communicate(timeout=20)[0]
    return demo.communicate(timeout=20)[0]


def test_ctrl_c_stops_everything_that_had_started(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    demo = _demo(directory)
    try:
        assert wait_until(lambda: demo.poll() is not None or (directory / "postgres.log").exists(), 60)
        assert demo.poll() is None
        processes, _ = _recorded(directory)
        assert not _gone(processes)()
        assert "another demo is running" in _demo(directory).communicate(timeout=30)[0]
        said = _interrupted(demo)
    finally:
        demo.kill()
    assert demo.returncode == 130
    assert "interrupted" in said
    assert _gone(processes)()
    assert [path for path in directory.iterdir() if path.suffix != ".log"] == []
