"""The example CRM as a process of its own, for tests that speak to it over a real socket."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.cluster.processes import die_with_parent, free_ports, wait_until

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningCrm:
    """A CRM that is up."""

    url: str
    token: str

    def client(self) -> httpx.Client:
        """An HTTP client that is logged in."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False)

    def stats(self) -> dict[str, int]:
        """What the CRM says it received."""
        with self.client() as http:
            answer: dict[str, int] = http.get("/api/stats").raise_for_status().json()
            return answer


@contextmanager
def running_crm(*options: str, token: str = "crm-test-token") -> Iterator[RunningCrm]:
    """Start the CRM on a free port, with these options besides; stop it at the end of the block.

    Args:
        token: what callers must bear; empty: nothing.
    """
    [port] = free_ports(1)
    crm = RunningCrm(f"http://127.0.0.1:{port}", token)
    command = [sys.executable, "-m", "examples.crm", "--port", str(port), *options]
    process = subprocess.Popen(
        command, cwd=PROJECT, env=os.environ | {"CRM_TOKEN": crm.token}, preexec_fn=die_with_parent()
    )
    try:
        assert wait_until(lambda: process.poll() is not None or _answers(crm), 30)
        assert process.poll() is None, f"the CRM ended with {process.returncode}"
        yield crm
    finally:
        process.terminate()
        process.wait(10)


def _answers(crm: RunningCrm) -> bool:
    try:
        return bool(crm.stats() or True)
    except httpx.TransportError:
        return False
