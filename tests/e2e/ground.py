"""Where the product is put up: a cluster that takes pods, and images that its nodes can get.

There are two: the cluster that the tests make themselves, and one that somebody names (`given.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tests.chart import RELEASE, SYSTEM, Helm, Values
from tests.cluster.build import cache_directory
from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import tail
from tests.e2e.images import OPERATOR, RUNNER, Image, build_images, build_postgres
from tests.e2e.machine import install
from tests.e2e.node import RealCluster

T = TypeVar("T")
TEAM = "growth"
FIRST_SYNC = "first-sync"
"""The namespace of docs/start/first-sync.yaml."""
OURS = "app.kubernetes.io/name=reverse-etl-operator"
KINDS = ["reverseetlsyncs", "syncruns", "syncsources", "syncmodels", "syncdestinations"]
_NAMESPACES = (SYSTEM, TEAM, FIRST_SYNC)
_CRDS = [f"{kind}.reverseetl.io" for kind in KINDS]
_OF_NO_NAMESPACE = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,flowschemas,"
    "prioritylevelconfigurations"
)


class Stopwatch(dict[str, float]):
    """Seconds that each step took."""

    def __call__(self, step: str, action: Callable[[], T]) -> T:
        began = time.monotonic()
        done = action()
        self[step] = time.monotonic() - began
        return done


@dataclass(frozen=True, slots=True)
class Names:
    """What nodes know the project's images by, under one tag and, for an upgrade, under the next."""

    registry: str
    tag: str
    next_tag: str
    pull_policy: str

    def image(self, program: str, tag: str) -> str:
        return f"{self._repository(program)}:{tag}"

    def values(self, tag: str) -> Values:
        """The chart's values of them."""

        def described(program: str) -> dict[str, str]:
            return {"repository": self._repository(program), "tag": tag, "pullPolicy": self.pull_policy}

        return {"image": described("operator"), "runner": {"image": described("runner")}}

    def _repository(self, program: str) -> str:
        return f"{self.registry}/reverse-etl-{program}"


class Ground(Protocol):
    """A cluster for as long as it is needed."""

    names: Names

    @property
    def kubectl(self) -> Kubectl: ...

    def start(self, timed: Stopwatch) -> None:
        """Return when the cluster takes pods and has the images; on failure nothing is left."""

    def stop(self) -> None:
        """Remove every trace. May be called twice."""

    def log(self) -> str:
        """What the cluster itself has to say, for the account of a failure."""


class OwnGround:
    """A cluster on this machine that the tests make; `leave_up` lets it outlive this Python process."""

    names = Names("localhost", "e2e", "e2e-next", "Never")

    def __init__(self, *, leave_up: bool = False) -> None:
        self._directory = cache_directory() / "e2e" / "cluster"
        self._cluster = RealCluster(self._directory, leave_up=leave_up)

    @property
    def kubectl(self) -> Kubectl:
        return self._cluster.kubectl

    def start(self, timed: Stopwatch) -> None:
        timed("packages", install)
        images = timed("images", lambda: [*build_images(), build_postgres()])
        timed("cluster", self._cluster.start)
        try:
            timed("import", lambda: self._take(images))
            self._cluster.offer_volume()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._cluster.stop()

    def log(self) -> str:
        return tail(self._directory / "plane" / "kube-controller-manager.log", lines=40)

    def _take(self, images: list[Image]) -> None:
        self._cluster.load(*images)
        for program, image in (("operator", OPERATOR), ("runner", RUNNER)):
            self._cluster.tag(image, self.names.image(program, self.names.next_tag))


def ours(kubectl: Kubectl) -> list[str]:
    """What of the operator, or of these tests, a cluster has."""
    asked = (["namespace", *_NAMESPACES], ["crd", *_CRDS], [_OF_NO_NAMESPACE, f"--selector={OURS}"])
    return [name for words in asked for name in kubectl("get", *words, "--ignore-not-found", "-o", "name").split()]


def remove(kubectl: Kubectl) -> None:
    """Take all of that away."""
    Helm(kubectl.kubeconfig)("uninstall", RELEASE, "-n", SYSTEM, "--ignore-not-found", "--wait", "--timeout=90s")
    kubectl("delete", "namespace", *_NAMESPACES, "--ignore-not-found", "--timeout=120s", timeout=130)
    kubectl("delete", "crd", *_CRDS, "--ignore-not-found", "--timeout=60s")
