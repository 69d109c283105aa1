"""CustomResourceDefinitions of others that the chart makes objects of: Prometheus Operator and cert-manager.

They come as Go modules, whose checksums the Go toolchain verifies, at the versions named here.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.cluster.build import BuildError, toolchain

SOURCES = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "github.com/cert-manager/cert-manager@v1.21.2": (
        "deploy/crds/cert-manager.io_certificates.yaml",
        "deploy/crds/cert-manager.io_issuers.yaml",
    ),
}


def foreign_crds() -> list[Path]:
    """Their files, in Go's module cache (raises BuildError)."""
    return [module(source) / path for source, paths in SOURCES.items() for path in paths]


def module(source: str) -> Path:
    """Where a Go module is, fetched first if it is not there (raises BuildError)."""
    command = [str(toolchain()), "mod", "download", "-json", source]
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])
