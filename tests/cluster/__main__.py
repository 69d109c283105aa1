"""A cluster to leave up: `python -m tests.cluster up`, then `down`.

For demos and for people who want to look around with kubectl. State is in `.retl/cluster/` of the project; a process
is stopped only if it is still the one that was recorded.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.build import BINARIES, BuildError, build
from tests.cluster.cluster import PROJECT, project_crds
from tests.cluster.controlplane import COMPONENTS, ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import ProcessNode
from tests.cluster.processes import Identity, ProcessError, Program

DIRECTORY = PROJECT / ".retl" / "cluster"
RECORD = DIRECTORY / "processes.json"
NODE = "process-node"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "up":
                up()
            case "down":
                down()
            case "status":
                return status()
            case "build":
                for name, path in build(*(options.names or COMPONENTS)).items():
                    print(f"{name}\t{path}")
            case "node":
                serve_node(options.kubeconfig, options.directory)
    except (BuildError, ProcessError, KubectlError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def up() -> None:
    """Start everything unless it is up already; the last line on stdout sets KUBECONFIG."""
    recorded = _recorded()
    if len(recorded) == len(COMPONENTS) + 1 and all(process.alive() for process in recorded.values()):
        _say("already up")
    else:
        down()
        _start()
    print(f"export KUBECONFIG={DIRECTORY / 'admin.kubeconfig'}")


def down() -> None:
    """Stop what `up` started, the node first, and remove its data. Nothing to stop is fine."""
    for name, process in reversed(_recorded().items()):
        if process.alive():
            _say(f"stopping {name}")
            process.stop()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def status() -> int:
    """Say which processes are there; 0 when all are."""
    recorded = _recorded()
    for name in (*COMPONENTS, NODE):
        process = recorded.get(name)
        alive = process is not None and process.alive()
        print(f"{name:25} {f'pid {process.pid}' if process and alive else 'not running'}")
    return 0 if recorded and all(process.alive() for process in recorded.values()) else 1


def serve_node(kubeconfig: Path, directory: Path) -> None:
    """Be a process node until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.WARNING)
    asked_to_stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: asked_to_stop.set())
    with ProcessNode(kubeconfig, NODE, directory):
        asked_to_stop.wait()


def _start() -> None:
    """Start and record everything; whatever has started when something fails is stopped again."""
    plane = ControlPlane(crds=project_crds(), directory=DIRECTORY, leave_up=True)
    plane.start()
    command = [sys.executable, "-m", "tests.cluster", "node"]
    command += ["--kubeconfig", str(plane.kubeconfig), "--directory", str(DIRECTORY / "node")]
    node = Program(NODE, command, DIRECTORY / f"{NODE}.log", dies_with_parent=False, directory=PROJECT)
    try:
        node.start()
        node.wait_ready(lambda: bool(plane.kubectl("get", "node", NODE, "--ignore-not-found", "-o", "name")))
        processes = {name: Identity.of(pid) for name, pid in (plane.pids | {NODE: node.pid}).items()}
        record = {name: [process.pid, process.started] for name, process in processes.items() if process}
        RECORD.write_text(json.dumps(record))
    except BaseException:
        node.stop()
        plane.stop()
        raise


def _recorded() -> dict[str, Identity]:
    """The processes of the last `up`, by name in the order they were started."""
    if not RECORD.exists():
        return {}
    return {name: Identity(pid, started) for name, (pid, started) in json.loads(RECORD.read_text()).items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A real Kubernetes API to try things on."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a control plane and a node, and leave them up")
    commands.add_parser("down", help="stop them and remove their data")
    commands.add_parser("status", help="say which processes are running")
    building = commands.add_parser("build", help="only build the binaries")
    building.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BINARIES)}")
    node = commands.add_parser("node", help="run a node in the foreground for a control plane that `up` started")
    node.add_argument("--kubeconfig", type=Path, required=True)
    node.add_argument("--directory", type=Path, required=True, help="for pods' directories and logs")
    return parser


def _say(message: str) -> None:
    print(f"cluster: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
