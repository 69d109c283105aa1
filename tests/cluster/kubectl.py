"""Talking to a cluster from the outside: the kubeconfig file and kubectl."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.build import kubectl as kubectl_program


class KubectlError(Exception):
    """kubectl said no; the message is the command and what it wrote to stderr."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs to reach an API server that it can verify: its address, CA certificate and a bearer token."""

    server: str
    ca_file: Path
    token: str

    def save(self, path: Path, user: str) -> None:
        """Write it as a kubeconfig with one context, readable by the owner alone."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "retl", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": user, "user": {"token": self.token}}],
            "contexts": [{"name": "retl", "context": {"cluster": "retl", "user": user}}],
            "current-context": "retl",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Access:
        """Read a kubeconfig that `save` wrote; a file with other ways to authenticate raises KeyError."""
        config = yaml.safe_load(path.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        return cls(cluster["server"], Path(cluster["certificate-authority"]), user["token"])


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with a fixed kubeconfig: `kubectl("get", "pods", "-n", "shop")`.

    `cache` is where it remembers what the API server serves. The usual place is keyed by host and port, and free local
    ports come round again with another cluster behind them.
    """

    kubeconfig: Path
    cache: Path | None = None

    def __call__(self, *args: str, input: str | None = None, timeout: float = 90) -> str:
        """What the command wrote to stdout; `input` goes to stdin (for `apply -f -`).

        Raises:
            KubectlError: exit code other than 0, or no answer within `timeout` seconds.
        """
        command = [str(kubectl_program()), *args]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        if self.cache is not None:
            environment["KUBECACHEDIR"] = str(self.cache)
        try:
            done = subprocess.run(
                command, input=input, capture_output=True, text=True, env=environment, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(args)}: no answer within {timeout:g} s") from error
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def apply_crds(self, directory: Path) -> None:
        """Apply every manifest of a directory of CustomResourceDefinitions and wait until they are served."""
        self("apply", "--server-side", "--force-conflicts", "-f", str(directory))
        self("wait", "--for=condition=Established", "--timeout=60s", "-f", str(directory))
