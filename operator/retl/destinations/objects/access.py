"""Who speaks to a bucket, and where: the Secret's login, or else the identity of the runner's ServiceAccount.

The library that speaks to buckets would ask the machine for its own credentials where it has no others. A manifest must
not get at them: without a Secret, a workload identity is needed whose token the pod was given, or a metadata service
that runners may call (GKE's workload identity).
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr

from retl.destinations.base import LoginRefused
from retl.destinations.web.egress import Egress, literal
from retl.errors import DestinationError, DestinationUnavailable

METADATA_SERVICE = "169.254.169.254"


def check_identity(where: str, *variables: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise LoginRefused if there is no identity of the runner's own that may be used.

    Args:
        variables: of the environment; each is set where a pod has such an identity.
    """
    if all(environment.get(name) for name in variables):
        return
    if Egress.of_environment(environment).permits(METADATA_SERVICE):
        return
    raise LoginRefused(
        f"{where}: there is no login; set credentials.secretRef, or give the runner's ServiceAccount an identity "
        f"({', '.join(variables)})"
    )


async def check_endpoint(endpoint: str) -> None:
    """Raise EgressRefused if a server that a manifest names may not be called, in so far as names say it now.

    The library resolves the name once more, so a NetworkPolicy is what holds against a name that changes in between.
    """
    host = urlsplit(endpoint).hostname or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(literal(host) or host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise DestinationUnavailable(f"config.endpoint: {host} has no address; correct it") from None
    egress = Egress.of_environment()
    for *_, address in found:
        egress.check(host, str(address[0]))


def complete_key(where: str, given: Mapping[str, SecretStr | None]) -> list[str]:
    """The values of keys that belong together, in order (raises DestinationError if only some are given)."""
    if missing := [name for name, value in given.items() if value is None]:
        raise DestinationError(f"{where}: the Secret lacks {', '.join(missing)}")
    return [value.get_secret_value() for value in given.values() if value is not None]
