"""Run a command and weigh it: wall time, CPU time and peak memory of that process alone."""

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
        wall, cpu: seconds; cpu is user plus system.
        peak_mb: largest resident memory, in 10^6 bytes.
    """

    wall: float
    cpu: float
    peak_mb: float
    stdout: str


def measure(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Measured:
    """Run to the end; raise RuntimeError with what it wrote to stderr unless it exits with 0."""
    errors = cwd / "stderr.txt"
    output = cwd / "stdout.txt"
    with errors.open("w") as stderr, output.open("w") as stdout:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env={**os.environ, **env}, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(
            f"{' '.join(str(c) for c in command)} exited with {process.returncode}:\n"
            f"{output.read_text()[-2000:]}{errors.read_text()[-4000:]}"
        )
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 976.5625, output.read_text())
