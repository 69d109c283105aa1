"""Virtual environments, one for each tool, so that none is slowed by what another needs.

Made once, by package name from the package registry, and kept in the user's cache directory.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def environment(requirements: Path, project: Path | None = None) -> Path:
    """Directory of the commands that the packages of a requirements file, and a project, bring along."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retl" / "bench"
    version = hashlib.sha256(requirements.read_bytes() + f"{sys.version} {project}".encode()).hexdigest()[:12]
    place = cache / f"{requirements.stem}-{version}"
    ready = place / ".ready"
    if not ready.exists():
        print(f"installing {requirements.name} into {place} (once)", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        if shutil.which("uv"):
            _call("uv", "venv", "--quiet", "--python", sys.executable, place)
            install: list[str | Path] = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", place]
        else:
            _call(sys.executable, "-m", "venv", place)
            install = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _call(*install, "-r", requirements)
        if project:
            _call(*install, "--no-deps", "--editable", project)
        ready.touch()
    return place / "bin"


def _call(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)
