"""A cluster with the operator to look at: `python -m tests.e2e up`, later `python -m tests.e2e down`."""

from __future__ import annotations

import argparse
import sys

from tests.cluster.build import BuildError, cache_directory
from tests.cluster.kubectl import KubectlError
from tests.cluster.processes import ProcessError
from tests.e2e.ground import TEAM, OwnGround
from tests.e2e.machine import CommandError, missing
from tests.e2e.sandbox import stop_recorded
from tests.e2e.stage import Stage


def main() -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    command = parser.parse_args().command
    if command == "up" and (reason := missing()):
        print(f"e2e: {reason}", file=sys.stderr)
        return 1
    try:
        _up() if command == "up" else stop_recorded(cache_directory() / "e2e" / "cluster")
    except (BuildError, CommandError, KubectlError, ProcessError) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 1
    return 0


def _up() -> None:
    stage = Stage(OwnGround(leave_up=True)).start()
    for step, seconds in stage.seconds.items():
        print(f"e2e: {step:10} {seconds:6.1f} s", file=sys.stderr)
    print(f"e2e: a team's syncs are in namespace {TEAM}; try kubectl get retl -n {TEAM}", file=sys.stderr)
    print(
        "e2e: they read Service warehouse there, and write to Service crm; their logins are its Secrets",
        file=sys.stderr,
    )
    print(f"export KUBECONFIG={stage.kubectl.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
