"""A cluster that somebody names, to have the same shown there: what is there stays as it is, and nothing is left.

RETL_E2E_KUBECONFIG   a kubeconfig; its current context is the cluster, and may do everything there
RETL_E2E_REGISTRY     HOST/PATH below which the images are pushed, and from which nodes pull them
RETL_E2E_IMAGES       `prebuilt`: the images are there already, so nothing is built or pushed
RETL_E2E_TAG          their tag, if they are
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.kubectl import Kubectl
from tests.e2e.ground import Names, Stopwatch, ours, remove
from tests.e2e.images import OPERATOR, PROJECT, RUNNER, build_images, buildah
from tests.e2e.machine import CommandError, install, missing, run


class GivenError(Exception):
    """The cluster, or what was said about it, will not do; the message says what to change."""


class GivenGround:
    """That cluster, from `start()` to `stop()`.

    Raises:
        GivenError: what is said of the images is not enough.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        kubeconfig = Path(said["RETL_E2E_KUBECONFIG"])
        registry, tag = said.get("RETL_E2E_REGISTRY", "").rstrip("/"), said.get("RETL_E2E_TAG", "")
        images = said.get("RETL_E2E_IMAGES", "")
        if not kubeconfig.is_file():  # kubectl would look for another cluster
            raise GivenError(f"RETL_E2E_KUBECONFIG: there is no file {kubeconfig}")
        if not registry:
            raise GivenError("RETL_E2E_REGISTRY: is empty; say HOST/PATH where the cluster's nodes find the images")
        if images not in ("", "prebuilt"):
            raise GivenError(f"RETL_E2E_IMAGES: is {images}; leave it out, or say prebuilt")
        self._prebuilt = bool(images)
        if self._prebuilt != bool(tag):
            raise GivenError("RETL_E2E_TAG: goes with RETL_E2E_IMAGES=prebuilt; what is built has a tag of its own")
        tag = tag or f"e2e-{time.time():.0f}"
        self.names = Names(registry, tag, tag if self._prebuilt else f"{tag}-next", "IfNotPresent")
        # kubectl keeps what a server serves, and this one's kinds come and go.
        self._cache = tempfile.TemporaryDirectory(prefix="retl-e2e-")
        self.kubectl = Kubectl(kubeconfig.resolve(), Path(self._cache.name))
        self._begun = False

    def start(self, timed: Stopwatch) -> None:
        """As of `Ground` (raises GivenError where it has the operator, or one of the namespaces, already)."""
        if there := ours(self.kubectl):
            named = ", ".join(there[:3]) + (f" and {len(there) - 3} more of the sort" if len(there) > 3 else "")
            raise GivenError(
                f"{self.kubectl.kubeconfig}: the cluster has {named}. The tests make these and remove them "
                "again: take another cluster; or, if nobody needs them, delete them"
            )
        if not self._prebuilt:
            timed("images", self._push)
        self._begun = True

    def stop(self) -> None:
        if self._begun:
            remove(self.kubectl)
        self._begun = False

    def log(self) -> str:
        return ""

    def _push(self) -> None:
        """Build with the Docker engine where one answers, else as the tests' own images are built; both push."""
        tags = (self.names.tag, self.names.next_tag)
        if _docker_answers():
            for program in ("operator", "runner"):
                names = [self.names.image(program, tag) for tag in tags]
                run("docker", "build", "--target", program, *(f"--tag={name}" for name in names), PROJECT)
                for name in names:
                    run("docker", "push", "--quiet", name)
            return
        if reason := missing():
            raise GivenError(
                f"nothing here builds images: no Docker engine answers, and as to buildah, {reason}. Push them from "
                "elsewhere, and say RETL_E2E_IMAGES=prebuilt"
            )
        install()
        build_images()
        for program, built in (("operator", OPERATOR), ("runner", RUNNER)):
            for tag in tags:
                buildah("push", "--quiet", built, f"docker://{self.names.image(program, tag)}")


def _docker_answers() -> bool:
    try:
        run("docker", "version")
    except (CommandError, FileNotFoundError):
        return False
    return True
