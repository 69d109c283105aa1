"""The Helm chart as tests use it: rendered into objects, or installed by the real helm.

Rendering takes half a second, so what was rendered with the same values is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs import program

PROJECT = Path(__file__).parents[1]
CHART = PROJECT / "charts" / "reverse-etl-operator"
RELEASE = "retl"
SYSTEM = "retl-system"
Values = Mapping[str, Any]

NEEDED: Values = {"state": {"existingSecret": "state-database"}}
"""What the chart has no default for."""
STATE_KEY = "A" * 43 + "="
"""What the chart takes for a key where nothing is sealed with it."""


class HelmError(Exception):
    """helm said no; the message is the command and what it wrote to stderr."""


@dataclass(frozen=True, slots=True)
class Helm:
    """helm with a fixed kubeconfig, and caches of its own beside it."""

    kubeconfig: Path

    def __call__(self, *arguments: str | Path, timeout: float = 300) -> str:
        """What the command wrote to stdout (raises HelmError)."""
        return _helm(*arguments, kubeconfig=self.kubeconfig, timeout=timeout)

    def install(
        self, values: Values, *arguments: str, chart: Path = CHART, release: str = RELEASE, namespace: str = SYSTEM
    ) -> str:
        """Install the chart, or upgrade it to these values; returns its notes."""
        given = json.dumps(values)
        command = ("upgrade", "--install", release, chart, "-n", namespace, "--create-namespace", "--values", "-")
        return _helm(*command, *arguments, kubeconfig=self.kubeconfig, input=given)


def rendered(values: Values | None = None, *arguments: str) -> list[dict[str, Any]]:
    """The objects of the chart, as `helm template` makes them of NEEDED and further values (raises HelmError)."""
    text = _rendered(json.dumps({**NEEDED, **(values or {})}, sort_keys=True), arguments)
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of a kind and name, which must be there once."""
    [found] = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


@lru_cache(maxsize=64)
def _rendered(values: str, arguments: tuple[str, ...]) -> str:
    return _helm("template", RELEASE, CHART, "-n", SYSTEM, "--values", "-", *arguments, input=values)


def _helm(
    *arguments: str | Path, kubeconfig: Path | None = None, input: str | None = None, timeout: float = 300
) -> str:
    command = [str(program("helm")), *(str(each) for each in arguments)]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig or os.devnull)}
    done = subprocess.run(
        command,
        input=input,
        stdin=None if input is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
    )
    if done.returncode:
        raise HelmError(f"helm {' '.join(command[1:])}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout
