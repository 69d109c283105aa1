"""Times README's way from a clone to the first rows: its own commands, in a cluster that has nothing yet.

    python -m tools.first_rows     as root on Debian; prints README's table

The cluster is that of the tests, with a real kubelet and containerd. Nothing of a build or of pip is cached before. As
no registry is asked, `docker build` is buildah here with a base image bootstrapped from Debian in the place of a pull,
`kind load` is an import into containerd, and `postgres:18` is made before the clock starts.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tests.cluster.build import BuildError, cache_directory
from tests.cluster.processes import ProcessError
from tests.e2e import images, machine
from tests.e2e.node import RealCluster
from tests.programs import program

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(r"^## In your cluster$.*?^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LIMIT_SECONDS = 1800
REFUSED = 3
"""What `retl run` exits with when all went well and a row was refused."""
DOCKER = """#!/bin/sh
export RETL_CACHE_DIR={directory}/cache PYTHONPATH={directory}/clone
shift  # build
exec {python} -m tools.first_rows --build {directory} "$@"
"""
KIND = """#!/bin/sh -e
shift 2  # load docker-image
for name in "$@"; do {sandbox} ctr -n k8s.io images import {directory}/"$(echo "$name" | tr : _)".tar; done
"""
FORGET = "ctr -n k8s.io images ls -q | grep docker.io/library/reverse-etl- | xargs ctr -n k8s.io images rm"
"""The next cluster has the node's images, too, and need not have these."""


def steps(readme: str) -> dict[str, str]:
    """The commands of README's way into a cluster, by what the comment above them says they are for."""
    found = BLOCK.search(readme)
    if found is None:
        raise ValueError("README.md: has no commands below the heading: In your cluster")
    parts = (part.partition("\n") for part in found[1].strip().split("\n\n"))
    return {title.removeprefix("# "): commands for title, _, commands in parts}


def table(seconds: dict[str, float]) -> str:
    """In Markdown, with the sum."""
    lines = [f"| {step} | {taken:.0f} s |" for step, taken in seconds.items()]
    return "\n".join(["| step | time |", "|---|---:|", *lines, f"| **all** | **{_minutes(sum(seconds.values()))}** |"])


def measure(directory: Path, cluster: RealCluster) -> dict[str, float]:
    """Seconds of each step (raises CommandError when a command of README fails)."""
    began = time.time()
    subprocess.run(["git", "clone", "--quiet", PROJECT, directory / "clone"], check=True)
    commands = steps((directory / "clone" / "README.md").read_text())
    moments = directory / "moments"
    stamp = f'echo "$EPOCHREALTIME" >>{moments}'
    script = f"trap '{stamp}' EXIT\n" + f"\n{stamp}\n".join(commands.values())
    environment = os.environ | {
        "PATH": f"{_programs(directory, cluster)}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubectl.kubeconfig),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    cloned = time.time()
    ended = subprocess.run(["bash", "-ec", script], cwd=directory / "clone", env=environment, timeout=LIMIT_SECONDS)
    if ended.returncode != REFUSED:
        raise machine.CommandError(f"README's commands: exit code {ended.returncode}")
    cluster.sandbox.run("sh", "-c", FORGET)
    ends = [cloned, *map(float, moments.read_text().split())]
    return {"the clone": cloned - began} | {
        step: after - before for step, (before, after) in zip(commands, pairwise(ends), strict=True)
    }


def _programs(directory: Path, cluster: RealCluster) -> Path:
    """A directory with the programs that README needs."""
    found = directory / "programs"
    found.mkdir()
    for name in ("helm", "kubectl"):
        (found / name).symlink_to(program(name))
    places = {"directory": directory, "python": sys.executable}
    (found / "docker").write_text(DOCKER.format(**places))
    (found / "kind").write_text(KIND.format(sandbox=" ".join(cluster.sandbox.prefix), **places))
    for name in ("docker", "kind"):
        (found / name).chmod(0o755)
    return found


def _build(directory: Path, words: list[str]) -> None:
    """What `docker build` does with these words."""
    parser = argparse.ArgumentParser("docker build")
    parser.add_argument("--target", required=True)
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("-t", dest="name", required=True)
    parser.add_argument("context", choices=["."])
    asked = parser.parse_args(words)
    arguments = dict(each.split("=", 1) for each in asked.build_arg)
    archive = directory / f"{asked.name.replace(':', '_')}.tar"  # a colon would end its name for buildah
    images.build(asked.target, f"docker.io/library/{asked.name}", archive, arguments)


def _in_a_new_cluster() -> dict[str, float]:
    machine.install()
    with (
        tempfile.TemporaryDirectory(dir=cache_directory()) as directory,
        RealCluster(cache_directory() / "e2e" / "cluster") as cluster,
    ):
        cluster.load(images.build_postgres())  # others pull it
        cluster.offer_volume()  # others have somebody who makes them
        return measure(Path(directory), cluster)


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def main() -> int:
    """The command."""
    if sys.argv[1:2] == ["--build"]:
        _build(Path(sys.argv[2]), sys.argv[3:])
        return 0
    if reason := machine.missing():
        print(f"first rows: {reason}", file=sys.stderr)
        return 1
    try:
        print(table(_in_a_new_cluster()))
    except (BuildError, machine.CommandError, ProcessError, subprocess.SubprocessError) as error:
        print(f"first rows: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
