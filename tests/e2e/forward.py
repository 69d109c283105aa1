"""Ports of pods on 127.0.0.1, by `kubectl port-forward`: the way into any cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.cluster.build import kubectl
from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import Program

_SAID = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) -> ", re.MULTILINE)


class Forward:
    """One port of a pod, or of a Service's first pod, until `stop()`; the pod must be ready.

    Attributes:
        address: HOST:PORT of this machine.
    """

    def __init__(self, cluster: Kubectl, namespace: str, target: str, port: int, directory: Path) -> None:
        log = directory / f"forward-{namespace}-{target.replace('/', '-')}.log"
        log.unlink(missing_ok=True)
        words = [str(kubectl()), "port-forward", "-n", namespace, "--address=127.0.0.1", target, f":{port}"]
        environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
        self._program = Program(f"port-forward of {target}", words, log, environment=environment)
        self._program.start()
        self._program.wait_ready(lambda: log.exists() and _SAID.search(log.read_text()) is not None)
        found = _SAID.search(log.read_text())
        assert found is not None
        self.address = f"127.0.0.1:{found[1]}"

    def stop(self) -> None:
        self._program.stop()
