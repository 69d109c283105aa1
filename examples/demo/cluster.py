"""kubectl as the demo uses it: shown to the person who watches, waiting for objects, reading them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.telling import Telling
from tests.cluster.kubectl import Access, Kubectl

Manifest = dict[str, Any]
NAMESPACE = "flights"
SYSTEM = "retl-system"
TOKEN_HOURS = 24


class DemoFailed(Exception):
    """The demo did not go as it should; the message says what was expected."""


@dataclass(frozen=True)
class Cluster:
    """A cluster and the voice that tells what is done with it."""

    kubectl: Kubectl
    telling: Telling

    def show(self, *words: str) -> str:
        """Run kubectl in the demo's namespace, and show the command and what it says."""
        self.telling.command("kubectl", "-n", NAMESPACE, *words)
        said = self.kubectl("-n", NAMESPACE, *words)
        self.telling.say(said)
        return said

    def get(self, kind: str, name: str) -> Manifest:
        """One object of the demo's namespace."""
        found: Manifest = json.loads(self.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json"))
        return found

    def wait(self, what: Sequence[str], until: str, seconds: int) -> None:
        """Wait for a condition or a field (raises KubectlError)."""
        self.kubectl("-n", NAMESPACE, "wait", *what, f"--for={until}", f"--timeout={seconds}s", timeout=seconds + 10)

    def finished(self, run: str, seconds: int) -> Manifest:
        """Wait for a SyncRun to end, and return it.

        Raises:
            DemoFailed: it ended otherwise than Succeeded.
        """
        self.wait([f"syncrun/{run}"], "jsonpath={.status.finishedAt}", seconds)
        found = self.get("syncrun", run)
        if found["status"]["phase"] != "Succeeded":
            raise DemoFailed(f"run {run} ended {found['status']['phase']}: {found['status'].get('conditions')}")
        return found

    def first_run(self, sync: str) -> str:
        """Name of the oldest SyncRun of a sync."""
        oldest_first = ["--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[0].metadata.name}"]
        return self.kubectl(
            "-n", NAMESPACE, "get", "syncruns", f"--field-selector=spec.syncRef.name={sync}", *oldest_first
        )

    def account_kubeconfig(self, admin: Path, account: str, target: Path) -> Path:
        """A kubeconfig with a token of one of the operator's ServiceAccounts, bound to what its roles allow."""
        token = self.kubectl("-n", SYSTEM, "create", "token", account, f"--duration={TOKEN_HOURS}h").strip()
        access = Access.load(admin)
        Access(access.server, access.ca_file, token).save(target, account)
        return target
