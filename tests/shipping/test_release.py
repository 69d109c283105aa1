"""What a release is: one version everywhere, files that anybody can build again, checksums, and what images carry."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.chart import PROJECT
from tests.programs import program
from tools.release import PLACES, UNRELEASED, build_chart, build_wheel, checksums, set_version, version
from tools.sbom import sbom


def test_the_version_is_the_same_everywhere() -> None:
    found = {place: set(re.findall(pattern, (PROJECT / place).read_text(), re.M)) for place, pattern in PLACES.items()}
    assert found == {place: {version()} for place in PLACES}


def test_a_new_version_is_written_everywhere_with_a_heading_for_what_was_unreleased(tmp_path: Path) -> None:
    before = f"tests/shipping/crds-{version()}"
    texts = {place: (PROJECT / place).read_text() for place in PLACES}
    texts |= {"CHANGELOG.md": f"# Changelog\n\n{UNRELEASED}\n### Added\n\n- A thing.\n"}
    texts |= {"crds/one.yaml": "kind: A", f"{before}/one.yaml": "kind: Old", f"{before}/objects.yaml": "an: object"}
    for place, text in texts.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    set_version("7.8.9-rc.1", date(2027, 1, 2), tmp_path)
    for place, pattern in PLACES.items():
        assert set(re.findall(pattern, (tmp_path / place).read_text(), re.M)) == {"7.8.9-rc.1"}
    head = f"{UNRELEASED}\n## [7.8.9-rc.1] - 2027-01-02\n\n### Added\n"
    snapshot = (tmp_path / "tests/shipping/crds-7.8.9-rc.1").iterdir()
    assert {path.name: path.read_text() for path in snapshot} == {"one.yaml": "kind: A", "objects.yaml": "an: object"}
    assert head in (tmp_path / "CHANGELOG.md").read_text()
    for wrong in ("7.8.9-rc.1", "v1", "1.2", "1.2.3 ", "1.2.3-next"):
        with pytest.raises(ValueError, match=r"has 7\.8\.9-rc\.1 already|write a version such as"):
            set_version(wrong, date(2027, 1, 2), tmp_path)


def _git(checkout: Path, *words: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
    subprocess.run(["git", "-C", str(checkout), *who, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project's files as they are here, without the repository."""
    listed = ["git", "-C", str(PROJECT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.strip("\0").split("\0")
    for name in {name for name in names if (PROJECT / name).is_file()}:
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


def test_a_release_is_of_a_commit_and_has_no_images_only_when_that_is_asked_for(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "git").symlink_to(str(shutil.which("git")))

    def run(*words: str, path: str = os.environ["PATH"]) -> tuple[int, str]:
        command = [sys.executable, "-m", "tools.release", *words]
        done = subprocess.run(command, cwd=checkout, env=os.environ | {"PATH": path}, capture_output=True, text=True)
        return done.returncode, done.stderr

    def refused(*words: str, path: str = os.environ["PATH"]) -> str:
        code, why = run(*words, path=path)
        assert (code, (checkout / "dist").exists()) == (2, False)
        return why

    assert "is no git checkout" in refused("--without-images")
    _git(checkout, "init")
    _git(checkout, "add", ".")
    _git(checkout, "commit", "-m", "all")
    stray = checkout / "operator" / "retl" / "stray.py"
    stray.touch()
    assert "commit, remove or ignore first what is not in it:\n?? operator/retl/stray.py" in refused("--without-images")
    stray.unlink()
    assert "--without-images makes a release that has none" in refused(path=str(bare))

    assert run("--set", "7.8.9-rc.1") == (0, "")
    _git(checkout, "add", ".")
    _git(checkout, "commit", "-m", "7.8.9-rc.1")
    assert run("--without-images")[0] == 0

    files = {"reverse_etl_operator-7.8.9rc1-py3-none-any.whl", "reverse-etl-operator-7.8.9-rc.1.tgz"}
    sums = (checkout / "dist" / "SHA256SUMS").read_text()
    assert {line.split()[1] for line in sums.splitlines()} == files
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=checkout / "dist", check=True)


def test_wheel_and_chart_are_the_same_whoever_builds_them_and_their_checksums_hold(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    made, again = ([build_wheel(to), build_chart(to)] for to in (first, second))
    assert checksums(made) == checksums(again)
    (first / "SHA256SUMS").write_text(checksums(made))
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=first, check=True, capture_output=True)
    assert "retl/state/migrations/versions/0001_initial.py" in zipfile.ZipFile(made[0]).namelist()


def test_the_packaged_chart_is_whole(tmp_path: Path) -> None:
    packed = build_chart(tmp_path)
    command = [str(program("helm")), "template", "retl", str(packed), "--set", "state.existingSecret=s"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    kinds = [each["kind"] for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]
    assert kinds.count("CustomResourceDefinition") == 5
    assert {"Deployment", "Job", "ClusterRole", "ValidatingAdmissionPolicy"} <= set(kinds)


DPKG = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12
Description: C library
 in more lines

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


def _layer(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            layer.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("home", "python"),
    [("/usr/local/bin", {"pkg:generic/python@3.13.9": [{"license": {"id": "Python-2.0"}}]}), ("/usr/bin", {})],
    ids=["compiled", "of Debian"],
)
def test_a_bill_of_materials_names_what_the_last_layer_leaves(
    home: str, python: dict[str, object], tmp_path: Path
) -> None:
    site = "opt/retl/lib/python3.13/site-packages"
    mit = "Metadata-Version: 2.4\nName: Kept\nVersion: 2.0\nLicense-Expression: MIT\n\nLicense: not this line"
    below = {
        f"{site}/kept-2.0.dist-info/METADATA": mit,
        f"{site}/gone-1.0.dist-info/METADATA": "Name: gone\nVersion: 1.0\n",
        "opt/retl/pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = false\nversion = 3.13.9\n",
        "usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n',
        "var/lib/dpkg/status": DPKG,
    }
    labels = {"org.opencontainers.image.title": "image", "org.opencontainers.image.version": "1.2.3"}
    config = {"created": "2026-11-22T10:00:00.123456789Z", "config": {"Labels": labels}}
    archive = tmp_path / "image.tar"
    files = {"config.json": json.dumps(config).encode(), "a.tar": _layer(**below)}
    files["b.tar"] = _layer(**{f"{site}/.wh.gone-1.0.dist-info": ""})
    files["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": ["a.tar", "b.tar"]}]).encode()
    with tarfile.open(archive, "w") as written:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))

    bill = sbom(archive)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert bill == sbom(archive)
    told = json.loads(bill)
    assert {each["purl"]: each.get("licenses") for each in told["components"]} == {
        "pkg:pypi/kept@2.0": [{"license": {"id": "MIT"}}],
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13": None,
        **python,
    }
    assert (told["metadata"]["component"]["name"], told["metadata"]["component"]["version"]) == ("image", "1.2.3")
    assert told["metadata"]["timestamp"] == "2026-11-22T10:00:00+00:00"


@pytest.mark.parametrize("file", sorted((PROJECT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_what_is_installed_is_known_by_its_digest_wherever_it_comes_from(file: Path) -> None:
    pinned = file.read_text().replace("\\\n", "").splitlines()
    assert pinned
    for line in pinned:
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+(?: ; [^#:]+)?(?:\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line[:80]
