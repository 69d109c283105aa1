"""How the API server is reached, and as whom."""

import os
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)

from retl.errors import InvalidInput

_IN_A_POD = "KUBERNETES_SERVICE_HOST"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_OF_THE_SERVER = (
    *("host", "proxy", "proxy_headers", "tls_server_name", "assert_hostname"),
    *("ssl_ca_cert", "ca_cert_data", "verify_ssl", "disable_strict_ssl_verification"),
)
"""Settings of the client that say where the server is and how it is told from others; all the rest is who we are."""


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


def anonymous(known: Configuration) -> Configuration:
    """The same server, reached as nobody: each request brings the credentials of whoever it is made for.

    A client certificate must not be on such a connection: the API server looks at it first, so that a request with a
    worthless token would be one of this process.
    """
    bare = Configuration()
    for setting in _OF_THE_SERVER:
        setattr(bare, setting, getattr(known, setting))
    return bare


def own_namespace() -> str | None:
    """Namespace of the pod that this process runs in; None outside of one."""
    try:
        return _OWN_NAMESPACE.read_text().strip() or None
    except OSError:
        return None
