"""The real `retl controller` as a process of its own, and what it takes."""

import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.processes import Program, free_ports, tail, wait_until

PROFILE = "RETL_BENCH_PROFILE"
"""Name of a file: where the controller's CPU profile goes at its end (readable with pstats)."""
_IDLE = 0.05
"""Share of a core that a controller at rest may use."""
_REST_SECONDS = 3
_RETL = str(Path(sys.executable).with_name("retl"))


@dataclass
class ControllerProcess:
    """One controller.

    Attributes:
        kubeconfig: of the operator's ServiceAccount.
        log: what it writes is appended there.
        started: when it was started (time.time()).
    """

    kubeconfig: Path
    log: Path
    started: float = 0.0
    _log_size: int = 0
    _program: Program = field(init=False)

    def start(self) -> None:
        metrics, health = free_ports(2)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        profile = environment.get(PROFILE)
        command = [sys.executable, "-m", "cProfile", "-o", profile, _RETL] if profile else [_RETL]
        command += ["controller", "--kubeconfig", str(self.kubeconfig), "--runner-image", "runner:bench"]
        command += ["--state-url", "http://127.0.0.1:1"]
        command += ["--metrics-port", str(metrics), "--health-port", str(health)]
        self._program = Program("controller", command, self.log, environment=environment)
        self._log_size = self.log.stat().st_size if self.log.exists() else 0
        self.started = time.time()
        self._program.start()

    def stop(self) -> None:
        self._program.stop(patience=30)

    def armed(self, schedules: int, limit: float) -> float:
        """Seconds from its start until it said that so many schedules are armed (raises RuntimeError if it did not)."""
        words = re.compile(rf"^(\S+ \S+),(\d+) .* {schedules} schedules are armed$", re.MULTILINE)
        logged: list[float] = []

        def said() -> bool:
            found = words.findall(self.log.read_text()[self._log_size :])
            logged[:] = [time.mktime(time.strptime(at, "%Y-%m-%d %H:%M:%S")) + int(ms) / 1000 for at, ms in found]
            return bool(logged)

        wait_until(lambda: said() or not self._program.running(), limit)
        if not logged:
            raise RuntimeError(f"{schedules} schedules were not armed; the log ends with:\n{tail(self.log)}")
        return logged[0] - self.started

    def at_rest(self, limit: float) -> float:
        """Seconds from its start until it began to have nothing to do (raises RuntimeError if it always had)."""
        deadline, used, since = time.time() + limit, 0.0, time.time()
        while time.time() < deadline:
            time.sleep(0.5)
            if self.cpu_seconds() - used > _IDLE * max(1.0, time.time() - since):
                used, since = self.cpu_seconds(), time.time()
            elif time.time() - since > _REST_SECONDS:
                return since - self.started
        raise RuntimeError(f"the controller is still busy after {limit:g} s; its log ends with:\n{tail(self.log)}")

    def resident_mb(self) -> tuple[float, float]:
        """Memory now and at its peak, in 10^6 bytes."""
        return resident_mb(self._program.pid)

    def cpu_seconds(self) -> float:
        """What it has used so far; 0 once it has ended."""
        try:
            fields = Path(f"/proc/{self._program.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process, now and at its peak, in 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, peak = (int(re.findall(rf"{line}:\s+(\d+) kB", status)[0]) / 976.5625 for line in ("VmRSS", "VmHWM"))
    return now, peak
