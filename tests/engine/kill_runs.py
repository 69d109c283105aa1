"""Runs in processes that can be killed at any instant: `python -m tests.engine.kill_runs` forks one for each line.

Starting Python and importing the engine takes longer than a small run. A process that has both behind it forks in no
time, so that hundreds of kills spread over the run itself, and not over imports.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - as the connectors: what a run would load at its beginning

from retl.destinations.registry import DESTINATIONS
from retl.runspec.result import RunResult
from retl.sources.registry import SOURCES
from retl.state.sql import SqlStateStore
from tests.cluster.processes import die_with_parent
from tests.engine.syncs import Sync

KEY = bytes(range(32))
"""Seals the state of the runs; a mirror needs one."""


@dataclass(frozen=True)
class Ended:
    """How the process of a run ended.

    Attributes:
        result: what the run returned; None if it was killed before.
        seconds: how long it lived.
    """

    killed: bool
    result: RunResult | None
    seconds: float


class Runs:
    """Starts runs, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, sync: Sync, state: Path, *, kill_after: float | None = None, **run: Any) -> Ended:
        """Run a sync with its state in a SQLite file.

        Args:
            kill_after: seconds after which it gets SIGKILL, if it still lives.
            run: as for `Sync.run`.
        """
        described = {field.name: getattr(sync, field.name) for field in fields(sync)}
        described |= {"state": f"sqlite:///{state}", "staging": str(sync.staging)}
        job = {"sync": described, "run": run, "kill_after": kill_after}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        ended = json.loads(line)
        result = RunResult.model_validate_json(ended["result"]) if ended["result"] else None
        assert ended["killed"] or result is not None, f"the run ended with {ended['status']}"
        return Ended(ended["killed"], result, ended["seconds"])


@asynccontextmanager
async def runs() -> AsyncIterator[Runs]:
    """The process that forks, gone with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "tests.engine.kill_runs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(),
    )
    try:
        yield Runs(process)
    finally:
        process.kill()
        await process.wait()


def serve() -> None:
    """Fork a run for each line on stdin; one line on stdout says how it ended."""
    SOURCES.code("postgres")
    for name in ("http", "postgres"):
        DESTINATIONS.code(name)
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _child(job, writing)
        os.close(writing)
        killed = _kill_after(pid, job["kill_after"])
        with os.fdopen(reading, "rb") as pipe:
            result = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        ended = {"killed": killed, "result": result, "status": status, "seconds": time.monotonic() - began}
        print(json.dumps(ended), flush=True)


def _kill_after(pid: int, seconds: float | None) -> bool:
    """Wait until a child has ended, or kill it; whether it was killed."""
    ended = os.pidfd_open(pid)
    try:
        found, _, _ = select.select([ended], [], [], seconds)
        if not found:
            os.kill(pid, signal.SIGKILL)
        return not found
    finally:
        os.close(ended)


def _child(job: dict[str, Any], writing: int) -> None:
    """One run; never returns."""
    try:
        os.write(writing, asyncio.run(_run(job["sync"], job["run"])).model_dump_json().encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


async def _run(described: dict[str, Any], run: dict[str, Any]) -> RunResult:
    state = await SqlStateStore.open(described.pop("state"), key=KEY)
    try:
        sync = Sync(state=state, staging=Path(described.pop("staging")), **described)
        return await sync.run(**run)
    finally:
        await state.close()


if __name__ == "__main__":
    serve()
