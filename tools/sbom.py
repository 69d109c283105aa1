"""Writes what an image carries as CycloneDX 1.6: Python, its distributions and Debian packages that are in its files.

Read from the archive that is shipped (docker-archive, layers uncompressed), not from what was asked for in the build.

    python tools/sbom.py IMAGE.tar > IMAGE.cdx.json
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

DPKG = "var/lib/dpkg/status"
RELEASE = "usr/lib/os-release"
VENV = "pyvenv.cfg"
"""Says of which Python a virtual environment is, and where that is."""
DEBIANS = "/usr/bin"
LABEL = "org.opencontainers.image."
_GONE, _ALL_GONE = ".wh.", ".wh..wh..opq"
_LONGEST_LICENSE = 100
"""Characters; some distributions put the whole text into the field."""


def sbom(archive: Path) -> str:
    """The bill of materials of an image as JSON; the same image has the same one."""
    config, files = _opened(archive)
    labels: Mapping[str, str] = config["config"].get("Labels") or {}
    name, version = labels[f"{LABEL}title"], labels[f"{LABEL}version"]
    image = Component(name=name, version=version, type=ComponentType.CONTAINER, bom_ref=name)
    components = sorted(
        [*_interpreter(files), *_python(files), *_debian(files)], key=lambda each: str(each.bom_ref.value)
    )
    bom = Bom(
        components=components,
        serial_number=uuid5(NAMESPACE_OID, json.dumps(config, sort_keys=True)),
        metadata=BomMetaData(component=image, timestamp=datetime.fromisoformat(config["created"][:19] + "+00:00")),
    )
    bom.register_dependency(image, components)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _opened(archive: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The image's configuration, and the files of its root that say what is installed."""
    files: dict[str, str] = {}
    with tarfile.open(archive) as outer:
        [manifest] = json.loads(_read(outer, "manifest.json"))
        config: dict[str, Any] = json.loads(_read(outer, manifest["Config"]))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                for member in inner:
                    _take(files, inner, member)
    return config, files


def _take(files: dict[str, str], layer: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """What one entry of a layer does to the files that are of interest: adds, replaces or removes them."""
    path = PurePosixPath(member.name)
    if path.name.startswith(_GONE):
        gone = path.parent if path.name == _ALL_GONE else path.parent / path.name.removeprefix(_GONE)
        for name in [name for name in files if PurePosixPath(name).is_relative_to(gone)]:
            del files[name]
    elif member.isfile() and (str(path) in (DPKG, RELEASE) or path.name == VENV or path.match("*.dist-info/METADATA")):
        files[str(path)] = _read(layer, member)


def _read(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode(errors="replace")


def _python(files: Mapping[str, str]) -> Iterator[Component]:
    for name, text in files.items():
        if name.endswith("/METADATA"):
            told = HeaderParser().parsestr(text)
            license = told["License-Expression"] or (told["License"] or "").strip()
            yield _component(PackageURL("pypi", None, told["Name"].lower(), told["Version"]), license)


def _interpreter(files: Mapping[str, str]) -> Iterator[Component]:
    """Python itself, where it is not one of the Debian packages: official images of Python compile their own."""
    for name, text in files.items():
        if PurePosixPath(name).name == VENV:
            told = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
            if told["home"] != DEBIANS:
                known = f"cpe:2.3:a:python:python:{told['version']}:*:*:*:*:*:*:*"
                yield _component(PackageURL("generic", None, "python", told["version"]), "Python-2.0", known)


def _debian(files: Mapping[str, str]) -> Iterator[Component]:
    release = dict(line.split("=", 1) for line in files.get(RELEASE, "").splitlines() if "=" in line)
    distro = f"debian-{release.get('VERSION_ID', '').strip(chr(34))}"
    for paragraph in files.get(DPKG, "").split("\n\n"):
        told = HeaderParser().parsestr(paragraph.lstrip("\n"))
        if (told["Status"] or "").endswith(" installed"):
            qualifiers = {"arch": told["Architecture"], "distro": distro}
            yield _component(PackageURL("deb", "debian", told["Package"], told["Version"], qualifiers), "")


def _component(purl: PackageURL, license: str, cpe: str | None = None) -> Component:
    known = license if license and "\n" not in license and len(license) <= _LONGEST_LICENSE else None
    licenses = [LicenseFactory().make_from_string(known)] if known else []
    ref = purl.to_string()
    return Component(name=purl.name, version=purl.version, purl=purl, cpe=cpe, bom_ref=ref, licenses=licenses)


if __name__ == "__main__":
    sys.stdout.write(sbom(Path(sys.argv[1])))
