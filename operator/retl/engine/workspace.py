"""Where a run works: one directory on local disk and one DuckDB that spills into it.

Memory stays bounded whatever the number of rows. The directory is removed when the run ends, however it ends; what a
killed run left behind is removed by the next one that works in the same place.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from retl.runspec.pod import ENV_MEMORY_LIMIT

DUCKDB_SHARE = 0.4
"""Of the memory limit; the rest is for Arrow buffers, drivers and batches in flight."""
MIN_MEMORY = 128 * 1024**2
DEFAULT_MEMORY = 1024**3
"""DuckDB's share when nobody set a limit."""

PREFIX = "retl-run-"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A run's directory and its DuckDB."""

    directory: Path
    database: duckdb.DuckDBPyConnection

    def file(self, name: str) -> Path:
        """A file of the run."""
        return self.directory / name


@contextmanager
def workspace(staging: Path) -> Iterator[Workspace]:
    """Open a workspace below `staging`, and remove it on the way out."""
    staging.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(staging)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_locked_directory(staging))
        database = duckdb.connect()
        stack.callback(database.close)
        database.execute(f"SET memory_limit = '{duckdb_memory()}B'")
        database.execute(f"SET threads = {cpus()}")
        database.execute(f"SET temp_directory = '{str(directory).replace(chr(39), chr(39) * 2)}/spill'")
        database.execute("SET TimeZone = 'UTC'")
        database.execute("SET preserve_insertion_order = false")
        database.execute("SET enable_progress_bar = false")
        database.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        yield Workspace(directory, database)


def duckdb_memory() -> int:
    """Bytes that DuckDB may use: a share of RETL_MEMORY_LIMIT, else of the cgroup's limit."""
    limit = os.environ.get(ENV_MEMORY_LIMIT) or _cgroup("memory.max")
    if limit is None or not limit.isdecimal():
        return DEFAULT_MEMORY
    return max(MIN_MEMORY, int(int(limit) * DUCKDB_SHARE))


def cpus() -> int:
    """Processors that this process may use, by affinity and by the cgroup's quota; at least one."""
    available = len(os.sched_getaffinity(0))
    quota, _, period = (_cgroup("cpu.max") or "max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        available = min(available, -(-int(quota) // int(period)))
    return max(1, available)


def _cgroup(name: str) -> str | None:
    try:
        return (Path("/sys/fs/cgroup") / name).read_text().strip()
    except OSError:
        return None


@contextmanager
def _locked_directory(staging: Path) -> Iterator[Path]:
    """A new directory, locked for as long as the process lives: one that nobody has locked is a leftover.

    The lock is on the directory itself, so that it cannot be gone while other things in it are still there.
    """
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=staging))
        with _open(directory) as descriptor:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if directory.exists():  # nobody took it for a leftover before it was locked
                    try:
                        yield directory
                    finally:
                        shutil.rmtree(directory, ignore_errors=True)
                    return


def _remove_leftovers(staging: Path) -> None:
    for directory in staging.glob(f"{PREFIX}*"):
        with _open(directory) as descriptor:
            if descriptor is not None and _free(descriptor):
                shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _open(directory: Path) -> Iterator[int | None]:
    """A descriptor to lock; None if the directory is gone, or not ours."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
