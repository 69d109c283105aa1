"""Run a command and weigh it: wall time, CPU time and peak memory of its process."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command.

    Attributes:
        rows: how many it moved or looked at.
        wall, cpu: seconds; cpu is user plus system, without the servers at both ends.
        peak_mb: largest resident memory, in 10^6 bytes.
    """

    rows: int
    wall: float
    cpu: float
    peak_mb: float
    stdout: str


def measure(command: Sequence[str | Path], *, rows: int, cwd: Path, env: Mapping[str, str] | None = None) -> Measured:
    """Run to the end; raise RuntimeError with what it wrote unless it exits with 0."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    errors = cwd / "stderr.txt"
    output = cwd / "stdout.txt"
    with errors.open("w") as stderr, output.open("w") as stdout:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env={**inherited, **(env or {})}, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(
            f"{Path(command[0]).name} exited with {process.returncode}:\n"
            f"{output.read_text()[-2000:]}{errors.read_text()[-4000:]}"
        )
    return Measured(rows, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 976.5625, output.read_text())


def best(runs: Sequence[Measured]) -> Measured:
    """The fastest run: what else the machine does can only make one slower."""
    return min(runs, key=lambda run: run.wall)
