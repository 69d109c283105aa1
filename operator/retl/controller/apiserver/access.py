"""How the API server is reached: one configuration, for the controller's own requests and for kopf's watches."""

import os
from pathlib import Path

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)

from retl.controller.settings import LeaseSettings
from retl.errors import InvalidInput

_IN_A_POD = "KUBERNETES_SERVICE_HOST"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def lease_settings(wanted: bool | None, namespace: str | None, name: str) -> LeaseSettings | None:
    """The Lease to work by; None works without one.

    Args:
        wanted: None leaves it to where the process runs: in a pod there may be another one like it.
        namespace: of the Lease; None takes the pod's own.
    Raises:
        InvalidInput: one is wanted, and nothing says where.
    """
    if wanted is False:
        return None
    namespace = namespace or _own_namespace()
    if namespace is None and wanted:
        raise InvalidInput("--leader-elect: this is no pod, so say where the Lease is to be: --lease-namespace NAME")
    return LeaseSettings(namespace, name) if namespace else None


def _own_namespace() -> str | None:
    """Namespace of the pod that this process runs in; None outside of one."""
    try:
        return _OWN_NAMESPACE.read_text().strip() or None
    except OSError:
        return None


async def load(kubeconfig: Path | None, context: str | None) -> Configuration:
    """Read the kubeconfig, or the pod's own ServiceAccount where there is one and no kubeconfig is named.

    Raises:
        InvalidInput: neither can be used; the message says what was tried.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None and _IN_A_POD in os.environ:
            loader = InClusterConfigLoader(SERVICE_TOKEN_FILENAME, SERVICE_CERT_FILENAME)  # type: ignore[no-untyped-call]
            loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        else:
            path = str(kubeconfig) if kubeconfig else None
            await load_kube_config(path, context, configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise InvalidInput(f"cannot tell how to reach Kubernetes: {error}; name a file with --kubeconfig") from None
    return configuration


def for_kopf(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same access in kopf's terms; asked for again whenever the API server refuses the token."""
    if configuration.refresh_api_key_hook is not None:
        configuration.refresh_api_key_hook(configuration)
    scheme, _, token = configuration.api_key.get("BearerToken", "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username,
        password=configuration.password,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
