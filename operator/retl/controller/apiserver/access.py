"""What the process is told of where it runs: the Lease to work by, and the access to the API server in kopf's terms."""

import kopf
from kubernetes.aio.client import Configuration

from retl.apiserver.access import own_namespace
from retl.controller.settings import LeaseSettings
from retl.errors import InvalidInput


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
    namespace = namespace or own_namespace()
    if namespace is None and wanted:
        raise InvalidInput("--leader-elect: this is no pod, so say where the Lease is to be: --lease-namespace NAME")
    return LeaseSettings(namespace, name) if namespace else None


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
