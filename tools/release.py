"""Builds what a release consists of into dist/, or gives the project another version.

    python -m tools.release              wheel, chart, images with their bills of materials, SHA256SUMS
    python -m tools.release --set 0.2.0  the version, everywhere where it stands, and a heading in CHANGELOG.md;
                                         a snapshot of the CRDs, with which later ones must agree

Wheel and chart are the same, byte by byte, whoever builds them of a commit. Images need root on Debian; elsewhere
`--without-images` makes a release of the rest.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

from packaging.version import Version

from tests.e2e import images, machine
from tests.programs import program
from tools.sbom import sbom

PROJECT = Path(__file__).parents[1]
CHART = "charts/reverse-etl-operator"
VERSION = r"\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?"
"""Of what semantic versioning allows, what Python knows as a version, too."""
PLACES = {
    "pyproject.toml": rf'^version = "({VERSION})"$',
    "operator/retl/__init__.py": rf'^__version__ = "({VERSION})"$',
    f"{CHART}/Chart.yaml": rf"^(?:version|appVersion): ({VERSION})$",
    "deploy/kustomize/overlays/example/kustomization.yaml": rf"(?:newTag: |reverse-etl-runner:)({VERSION})",
    "examples/gitops/apps/operator.yaml": rf"^    targetRevision: v({VERSION})$",
}
"""Where the version stands. pyproject.toml is the one that counts; `--set` writes all."""
UNRELEASED = "## [Unreleased]\n"


def version(project: Path = PROJECT) -> str:
    """The project's version."""
    return str(tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"])


def set_version(new: str, today: date, project: Path = PROJECT) -> None:
    """Write the version to all its places, and what was unreleased under it (ValueError for a version that is none).

    Its snapshot begins with the objects of the version before; they may be added to until it is released.
    """
    if not re.fullmatch(VERSION, new):
        raise ValueError(f"{new}: write a version such as 0.2.0 or 0.2.0-rc.1")
    changes = project / "CHANGELOG.md"
    text = changes.read_text()
    if UNRELEASED not in text or f"## [{new}]" in text:
        raise ValueError(f"CHANGELOG.md: has no {UNRELEASED.strip()}, or has {new} already")
    snapshot, objects = project / f"tests/shipping/crds-{new}", "objects.yaml"
    shutil.copytree(project / "crds", snapshot, dirs_exist_ok=True)
    if not (snapshot / objects).exists():
        shutil.copy(project / f"tests/shipping/crds-{version(project)}" / objects, snapshot)
    for place, pattern in PLACES.items():
        path = project / place
        path.write_text(re.sub(pattern, lambda found: found[0].replace(found[1], new), path.read_text(), flags=re.M))
    changes.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## [{new}] - {today}\n"))


def build_wheel(to: Path) -> Path:
    """The wheel; hatchling makes the same one of the same files."""
    uv = shutil.which("uv")
    builder = [uv, "build", "--quiet", "--wheel"] if uv else [sys.executable, "-m", "pip", "wheel", "--no-deps"]
    builder += ["--out-dir" if uv else "--wheel-dir", str(to), str(PROJECT)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(committed().timestamp()))}
    subprocess.run(builder, check=True, env=environment)
    [wheel] = to.glob("*.whl")
    if wheel.name.split("-")[1] != str(Version(version())):
        raise ValueError(f"{wheel.name}: is not of {version()}, the version in pyproject.toml")
    return wheel


def build_chart(to: Path) -> Path:
    """The chart as helm packages it, but with the commit's moment in the place of each file's."""
    with tempfile.TemporaryDirectory() as directory:
        command = [str(program("helm")), "package", str(PROJECT / CHART), "--destination", directory]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{CHART}: helm does not package it: {done.stderr.strip()}")
        [packed] = Path(directory).iterdir()
        with tarfile.open(packed) as archive:
            files = {member.name: _content(archive, member) for member in archive if member.isfile()}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in sorted(files, key=lambda name: (not name.endswith("/Chart.yaml"), name)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), int(committed().timestamp()), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    path = to / packed.name
    path.write_bytes(gzip.compress(written.getvalue(), mtime=0))
    return path


def build_images(to: Path) -> list[Path]:
    """An archive of each image (docker-archive), and what it carries as CycloneDX."""
    from cyclonedx.schema import SchemaVersion  # the validator takes seconds, and only images need it
    from cyclonedx.validation.json import JsonStrictValidator

    made = []
    machine.install()
    labels = {"VERSION": version(), "REVISION": _git("rev-parse", "HEAD"), "CREATED": committed().isoformat()}
    for target in ("operator", "runner"):
        archive = to / f"reverse-etl-{target}-{version()}.tar"
        images.build(target, f"localhost/reverse-etl-{target}:{version()}", archive, labels)
        bill = sbom(archive)
        if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill):
            sys.exit(f"{archive.name}: its bill of materials is not CycloneDX 1.6: {wrong}")
        archive.with_suffix(".cdx.json").write_text(bill)
        made += [archive, archive.with_suffix(".cdx.json")]
    return made


def checksums(files: list[Path]) -> str:
    """What `sha256sum --check` reads."""
    return "".join(f"{_digest(path)}  {path.name}\n" for path in sorted(files))


def release(to: Path, with_images: bool) -> list[Path]:
    """Everything, with checksums, into an empty directory (ValueError when it would not be what the commit holds)."""
    if not (PROJECT / ".git").exists():
        raise ValueError(f"a release is made of a commit; {PROJECT} is no git checkout")
    if changed := _git("status", "--porcelain", "--untracked-files=all"):
        raise ValueError(f"a release is made of a commit; commit, remove or ignore first what is not in it:\n{changed}")
    if with_images and (reason := machine.missing()):
        raise ValueError(f"images cannot be built: {reason}; --without-images makes a release that has none")
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    made = [build_wheel(to), build_chart(to)]
    if with_images:
        made += build_images(to)
    (to / "SHA256SUMS").write_text(checksums(made))
    return [*made, to / "SHA256SUMS"]


def committed() -> datetime:
    """When the commit was made that is built."""
    return datetime.fromtimestamp(int(_git("log", "-1", "--format=%ct")), UTC)


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", PROJECT, *words], check=True, capture_output=True, text=True).stdout.strip()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", metavar="VERSION", help="give the project this version, and build nothing")
    parser.add_argument("--without-images", action="store_true", help="leave out images and their bills of materials")
    asked = parser.parse_args()
    try:
        if asked.set:
            set_version(asked.set, datetime.now(UTC).date())
            print("Now `make docs` writes what is generated; then commit, tag, and `make release`.")
            return
        made = release(PROJECT / "dist", with_images=not asked.without_images)
    except ValueError as error:
        parser.error(str(error))
    for path in made:
        print(f"{path.stat().st_size / 1e3:10,.0f} kB  {path.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
