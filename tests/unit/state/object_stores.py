"""Object stores for tests: servers that speak S3, Google Cloud Storage and Azure Blob Storage on a port of 127.0.0.1.

Each is installed once, pinned, into the cache directory. The project's environment cannot hold them: moto's botocore
and the Kubernetes client want different versions of dateutil, and Azurite is a Node program.
"""

import base64
import fcntl
import hashlib
import hmac
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import httpx

from tests.cluster.build import BuildError, cache_directory
from tests.cluster.processes import Program, free_ports

MOTO = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")
AZURITE = "azurite@3.37.0"
INSTALL_LIMIT_SECONDS = 600

BUCKET = "snapshots"
_AZURE_ACCOUNT = "devstoreaccount1"
# Azurite's well-known key, as its documentation gives it.
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one empty bucket.

    Attributes:
        url: of the bucket, as RETL_SNAPSHOT_URL names it.
        environment: what its clients need.
    """

    url: str
    port: int
    environment: Mapping[str, str] = field(repr=False)

    def place(self, setenv: Callable[[str, str], None]) -> str:
        """URL of a place in it that nobody else uses, once `setenv` has told the environment what clients need."""
        for name, value in self.environment.items():
            setenv(name, value)
        return f"{self.url}/{uuid.uuid4().hex}"


@contextmanager
def s3() -> Iterator[ObjectStore]:
    """Amazon S3, as moto plays it."""
    python = _installed(f"moto-{_key(*MOTO)}", _install_python)
    with _running("moto", lambda port: [str(python / "bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)]) as port:
        httpx.put(f"http://127.0.0.1:{port}/{BUCKET}", trust_env=False).raise_for_status()
        yield ObjectStore(f"s3://{BUCKET}", port, s3_environment(port))


def s3_environment(port: int) -> dict[str, str]:
    """What a client of an S3 server at a port of this machine needs."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "hunter2-secret",
    }


@contextmanager
def gs() -> Iterator[ObjectStore]:
    """Google Cloud Storage's XML API, whose requests for one object are those of S3, so moto can answer them.

    The emulators of Google's API do not: fake-gcs-server 1.56 refuses such uploads, gcp-storage-emulator gives no ETag.
    """
    with s3() as server:
        token = "Credential=AKIATEST/20260101/us-east-1/s3/aws4_request"  # moto looks for the service's name in it
        environment = {"GOOGLE_BASE_URL": f"http://127.0.0.1:{server.port}", "GOOGLE_BEARER_TOKEN": token}
        yield ObjectStore(f"gs://{BUCKET}", server.port, environment)


@contextmanager
def az() -> Iterator[ObjectStore]:
    """Azure Blob Storage, as Azurite plays it."""
    program = _installed(f"azurite-{_key(AZURITE)}", _install_node) / "node_modules/.bin/azurite-blob"
    options = ("--blobHost", "127.0.0.1", "--inMemoryPersistence", "--skipApiVersionCheck", "--silent")
    with _running("azurite", lambda port: [str(program), *options, "--blobPort", str(port)]) as port:
        endpoint = f"http://127.0.0.1:{port}/{_AZURE_ACCOUNT}"
        _create_container(endpoint)
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": _AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
        }
        yield ObjectStore(f"az://{BUCKET}", port, environment)


STORES = {"s3": s3, "gs": gs, "az": az}


def _create_container(endpoint: str) -> None:
    """Signed with the account's key: Microsoft, "Authorize with Shared Key"."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    named = [f"{name}:{value}" for name, value in headers.items()]
    resource = f"/{_AZURE_ACCOUNT}/{_AZURE_ACCOUNT}/{BUCKET}"
    signed = "\n".join(["PUT", *[""] * 11, *named, resource, "restype:container"])
    signature = hmac.digest(base64.b64decode(_AZURE_KEY), signed.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {_AZURE_ACCOUNT}:{base64.b64encode(signature).decode()}"
    query = {"restype": "container"}
    httpx.put(f"{endpoint}/{BUCKET}", params=query, headers=headers, trust_env=False).raise_for_status()


@contextmanager
def _running(name: str, command: Callable[[int], list[str]]) -> Iterator[int]:
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix=f"retl-{name}-") as directory:
        program = Program(name, command(port), Path(directory) / "log", directory=Path(directory))
        try:
            program.start()
            program.wait_ready(lambda: _answers(port))
            yield port
        finally:
            program.stop()


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _key(*pins: str) -> str:
    return hashlib.sha256("\0".join(pins).encode()).hexdigest()[:16]


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """The directory of this name in the cache, made by `install` where it is not there (raises BuildError)."""
    directory = cache_directory() / "object-stores" / name
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = directory / "done"
        if not done.exists():
            shutil.rmtree(directory, ignore_errors=True)
            install(directory)
            done.touch()
    return directory


def _install_python(directory: Path) -> None:
    if uv := shutil.which("uv"):
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(directory)])
        _run([uv, "pip", "install", "--quiet", "--python", str(directory / "bin/python"), *MOTO])
    else:
        _run([sys.executable, "-m", "venv", str(directory)])
        _run([str(directory / "bin/python"), "-m", "pip", "install", "--quiet", *MOTO])


def _install_node(directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError("Azurite needs Node: npm is not on PATH")
    directory.mkdir()
    _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), AZURITE])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_SECONDS)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
