"""Builds what a release consists of into dist/, or gives the project another version.

    python -m tools.release              wheel, chart, images with their bills of materials, SHA256SUMS
    python -m tools.release --set 0.2.0  the version, everywhere where it stands, and a heading in CHANGELOG.md;
                                         a snapshot of the CRDs, with which later ones must agree

Wheel and chart are the same, byte by byte, whoever builds them of a commit. Images need root on Debian; elsewhere they
are left out, which is said.
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

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.e2e import images, machine
from tests.programs import program
from tools.sbom import sbom

PROJECT = Path(__file__).parents[1]
CHART = "charts/reverse-etl-operator"
VERSION = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?"
PLACES = {
    "pyproject.toml": rf'^version = "({VERSION})"$',
    "operator/retl/__init__.py": rf'^__version__ = "({VERSION})"$',
    f"{CHART}/Chart.yaml": rf"^(?:version|appVersion): ({VERSION})$",
}
"""Where the version stands. pyproject.toml is the one that counts; `--set` writes all."""
UNRELEASED = "## [Unreleased]\n"


def version(project: Path = PROJECT) -> str:
    """The project's version."""
    return str(tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"])


def set_version(new: str, today: date, project: Path = PROJECT) -> None:
    """Write the version to all its places, and what was unreleased under it (ValueError for a version that is none)."""
    if not re.fullmatch(VERSION, new):
        raise ValueError(f"{new}: write a version such as 0.2.0 or 0.2.0-rc.1")
    changes = project / "CHANGELOG.md"
    text = changes.read_text()
    if UNRELEASED not in text or f"## [{new}]" in text:
        raise ValueError(f"CHANGELOG.md: has no {UNRELEASED.strip()}, or has {new} already")
    for place, pattern in PLACES.items():
        path = project / place
        path.write_text(re.sub(pattern, lambda found: found[0].replace(found[1], new), path.read_text(), flags=re.M))
    shutil.copytree(project / "crds", project / f"tests/shipping/crds-{new}", dirs_exist_ok=True)
    changes.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## [{new}] - {today}\n"))


def build_wheel(to: Path) -> Path:
    """The wheel; hatchling makes the same one of the same files."""
    uv = shutil.which("uv")
    builder = [uv, "build", "--quiet", "--wheel"] if uv else [sys.executable, "-m", "pip", "wheel", "--no-deps"]
    builder += ["--out-dir" if uv else "--wheel-dir", str(to), str(PROJECT)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(committed().timestamp()))}
    subprocess.run(builder, check=True, env=environment)
    return next(to.glob(f"*-{version()}-*.whl"))


def build_chart(to: Path) -> Path:
    """The chart as helm packages it, but with the commit's moment in the place of each file's."""
    with tempfile.TemporaryDirectory() as directory:
        command = [str(program("helm")), "package", str(PROJECT / CHART), "--destination", directory]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
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


def release(to: Path) -> list[Path]:
    """Everything, with checksums, into an empty directory."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    made = [build_wheel(to), build_chart(to)]
    if reason := machine.missing():
        print(f"images and their bills of materials are left out: {reason}", file=sys.stderr)
    else:
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
    asked = parser.parse_args()
    if asked.set:
        try:
            set_version(asked.set, datetime.now(UTC).date())
        except ValueError as error:
            sys.exit(str(error))
        print("Now `make chart docs` writes what is generated; then commit, tag, and `make release`.")
        return
    for path in release(PROJECT / "dist"):
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
