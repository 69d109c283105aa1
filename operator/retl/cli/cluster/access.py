"""Which cluster, which namespace, and as whom: what the options, the kubeconfig and the pod around us say."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_kube_config
from kubernetes.aio.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)

from retl.cli.cluster.client import Cluster
from retl.errors import InvalidInput
from retl.resources.problems import suggestion

T = TypeVar("T")
DEFAULT_NAMESPACE = "default"
_IN_A_POD = "KUBERNETES_SERVICE_HOST"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Reach:
    """What the options say; None leaves it to the kubeconfig."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    def words(self) -> list[str]:
        """The options again, for a command that a person is told to type."""
        pairs = (("--kubeconfig", self.kubeconfig), ("--context", self.context), ("-n", self.namespace))
        return [word for option, value in pairs if value is not None for word in (option, str(value))]


def ask(reach: Reach, question: Callable[[Cluster], Awaitable[T]]) -> T:
    """Ask the cluster.

    Raises:
        InvalidInput: it cannot be told which cluster is meant.
        ClusterError: it does not answer, or refuses.
    """

    async def asked() -> T:
        async with connected(reach) as cluster:
            return await question(cluster)

    return asyncio.run(asked())


@asynccontextmanager
async def connected(reach: Reach) -> AsyncIterator[Cluster]:
    """The cluster, for as long as the block lasts (raises as `ask` does)."""
    configuration, where, namespace = await _configuration(reach)
    client = ApiClient(configuration)
    try:
        yield Cluster(client, reach.namespace or namespace or DEFAULT_NAMESPACE, where)
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _configuration(reach: Reach) -> tuple[Configuration, str, str | None]:
    """How to reach it, a name for it, and the namespace that goes with it."""
    configuration = Configuration()
    path = str(reach.kubeconfig) if reach.kubeconfig else None
    try:
        if (
            path is None
            and reach.context is None
            and _IN_A_POD in os.environ
            and not any(file.exists() for file in _files(path))
        ):
            return _of_this_pod(configuration)
        _check_there(_files(path))
        contexts, current = list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
        names = [str(each["name"]) for each in contexts]
        if reach.context is not None and reach.context not in names:
            where = path or "the kubeconfig"
            raise InvalidInput(f"--context: {where} has no context {reach.context!r}{suggestion(reach.context, names)}")
        chosen = next((each for each in contexts if each["name"] == reach.context), current)
        await load_kube_config(path, chosen["name"], configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError, KeyError, TypeError) as error:
        tried = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise InvalidInput(
            f"cannot tell which cluster is meant: {tried}: {_reason(error)}; "
            "name a kubeconfig with --kubeconfig or KUBECONFIG, and one of its contexts with --context"
        ) from None
    return configuration, f"context {chosen['name']} ({configuration.host})", chosen["context"].get("namespace")


def _of_this_pod(configuration: Configuration) -> tuple[Configuration, str, str | None]:
    loader = InClusterConfigLoader(SERVICE_TOKEN_FILENAME, SERVICE_CERT_FILENAME)  # type: ignore[no-untyped-call]
    loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    return configuration, f"this pod's cluster ({configuration.host})", _POD_NAMESPACE.read_text().strip()


def _files(path: str | None) -> list[Path]:
    """The kubeconfig, or those that are merged into it."""
    named = path or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return [Path(file).expanduser() for file in ([named] if path else named.split(os.pathsep)) if file]


def _check_there(files: list[Path]) -> None:
    if not any(file.exists() for file in files):
        raise ConfigException("there is no such file")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, yaml.YAMLError | KeyError | TypeError):
        return "it is no kubeconfig"
    return str(error)
