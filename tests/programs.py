"""Where the programs are that the chart, its alerts and its images are tested with: `python -m tests.programs helm`.

Those of Go modules are built by `tests.cluster.build`. Prometheus and Alertmanager are Debian's: their packages are
unpacked into the cache directory and not installed, so no service starts and nothing of the machine changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.build import BINARIES, BuildError, build, cache_directory, kubectl, one_at_a_time

DOWNLOAD_LIMIT_SECONDS = 600

DEBIAN = {
    "prometheus": ("prometheus", "prometheus"),
    "promtool": ("prometheus", "promtool"),
    "alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager"),
    "amtool": ("prometheus-alertmanager", "amtool"),
}
"""Of each program, the Debian package and the name it has there."""
INSTALLED = ("mkdocs", "retl")
"""Programs of this Python environment."""


def program(name: str) -> Path:
    """The path of a program, built or fetched first where it is not there.

    Raises:
        BuildError: it cannot be made, or nobody knows it.
    """
    if name in BINARIES:
        return build(name)[name]
    if name in DEBIAN:
        return _unpacked(*DEBIAN[name])
    if name in INSTALLED:
        return Path(sys.executable).parent / name
    if name == "kubectl":
        return kubectl()
    known = ", ".join(sorted([*BINARIES, *DEBIAN, *INSTALLED, "kubectl"]))
    raise BuildError(f"there is no program {name}; there are {known}")


def _unpacked(package: str, name: str) -> Path:
    """A program of a Debian package: the one on PATH, else that of the package, unpacked once."""
    if found := shutil.which(name):
        return Path(found)
    return unpacked(package) / "usr" / "bin" / name


def unpacked(package: str) -> Path:
    """The files of a Debian package, unpacked once and not installed (raises BuildError)."""
    directory = cache_directory() / "debian" / package
    if not directory.exists():
        if shutil.which("apt-get") is None:
            raise BuildError(f"there is no apt-get to fetch Debian's package {package}")
        with one_at_a_time():
            if not directory.exists():
                directory.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
                    _unpack(package, Path(temporary))
                    Path(temporary, "root").rename(directory)
    return directory


def _unpack(package: str, into: Path) -> None:
    if os.geteuid() == 0:
        _run("apt-get", "update", "-qq", into=into)
    _run("apt-get", "download", "-qq", package, into=into)
    [archive] = into.glob("*.deb")
    _run("dpkg-deb", "--extract", str(archive), str(into / "root"), into=into)


def _run(*command: str, into: Path) -> None:
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_SECONDS)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")


def main() -> int:
    """Print the paths of the programs that are named."""
    try:
        for name in sys.argv[1:]:
            print(program(name))
    except BuildError as error:
        print(f"programs: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
