"""The processes of the demo: started in order, recorded, and stopped in the opposite order, whatever happens.

Each belongs to this Python process and dies with it, unless the demo is to stay up; then its pid and start time are on
record, and `down` stops exactly those.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import Identity, Program, tail
from tests.postgres import Postgres, prepare

PROJECT = Path(__file__).parents[2]
_RECORD = "processes.json"


class DemoRunning(Exception):
    """Another process uses the directory."""


@dataclass
class Stage:
    """What is running, below one directory.

    Args:
        directory: logs, credentials and the record of processes; emptied by `start`.
        leave_up: the processes outlive this one.
    """

    directory: Path
    leave_up: bool
    plane: ControlPlane | None = None
    _programs: list[Program] = field(default_factory=list)
    _remove: list[Path] = field(default_factory=list)

    def control_plane(self, crds: Path) -> ControlPlane:
        """A Kubernetes API with the project's CRDs."""
        self.plane = ControlPlane(crds=crds, directory=self.directory / "cluster", leave_up=self.leave_up)
        self.plane.start()
        self._record()
        return self.plane

    def postgres(self) -> Postgres:
        """A PostgreSQL server, empty."""
        server = prepare(self.log("postgres"), leave_up=self.leave_up)
        self._remove.append(server.data)
        self._programs.append(server.program)
        server.start()
        self._record()
        return server

    def program(
        self, name: str, command: Sequence[str], ready: Callable[[], bool], environment: Mapping[str, str]
    ) -> None:
        """Start a program and wait until it is ready (raises ProcessError)."""
        program = Program(
            name,
            command,
            self.log(name),
            dies_with_parent=not self.leave_up,
            directory=PROJECT,
            environment=environment,
        )
        self._programs.append(program)
        program.start()
        self._record()
        program.wait_ready(ready)

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.directory / f"{name}.log"

    def tails(self, lines: int = 15) -> str:
        """The ends of all logs, for a person who wonders what went wrong."""
        logs = sorted([*self.directory.glob("*.log"), *self.directory.glob("node/logs/*.log")])
        return "\n".join(f"--- {log}\n{tail(log, lines)}" for log in logs if log.stat().st_size)

    def close(self) -> None:
        """Stop everything, dependents first, and remove all data but the logs. Safe to call twice."""
        for program in reversed(self._programs):
            program.stop()
        if self.plane is not None:
            self.plane.stop()
        for path in [*self._remove, *self.directory.iterdir()]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix != ".log":
                path.unlink()

    def _record(self) -> None:
        pids = (self.plane.pids if self.plane else {}) | {p.name: p.pid for p in self._programs if p.running()}
        processes = {name: Identity.of(pid) for name, pid in pids.items()}
        me = Identity.of(os.getpid())
        assert me is not None, "this very process is alive"
        record = {
            "by": [me.pid, me.started],
            "processes": {name: [found.pid, found.started] for name, found in processes.items() if found},
            "remove": [str(path) for path in self._remove],
        }
        (self.directory / _RECORD).write_text(json.dumps(record))


def clear(directory: Path) -> list[str]:
    """Stop what an earlier demo left up below this directory and remove its data; returns what was stopped.

    A process is stopped only if it is still the one on record.

    Raises:
        DemoRunning: that demo is still being told.
    """
    record = directory / _RECORD
    stopped = []
    if record.exists():
        found = json.loads(record.read_text())
        if Identity(*found["by"]).alive():
            raise DemoRunning(f"another demo is running here (pid {found['by'][0]}); end it with Ctrl-C")
        for name, (pid, started) in reversed(found["processes"].items()):
            if Identity(pid, started).alive():
                Identity(pid, started).stop()
                stopped.append(name)
        for path in found["remove"]:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
    return stopped
