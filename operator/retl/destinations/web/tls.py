"""What a connection must be like: whom it trusts, which certificate it shows, the oldest version it speaks."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx

from retl.errors import InvalidInput

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(
    minimum: Literal["1.2", "1.3"], *, authorities: str = "", certificate: str = "", key: str = ""
) -> ssl.SSLContext:
    """Whom to trust, for `Transport` (raises InvalidInput; nothing of a key is in the message).

    Args:
        authorities: certificates in PEM, trusted beside the machine's.
        certificate, key: of this client, in PEM.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = VERSIONS[minimum]
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError):
            raise InvalidInput("the Secret's ca_certificate is no certificate in PEM; put it there as it is") from None
    if certificate:
        with _readable(f"{certificate}\n{key}") as path:
            try:
                context.load_cert_chain(path, password=_no_passphrase)
            except (ssl.SSLError, ValueError):
                raise InvalidInput(
                    "the Secret's client_certificate and client_key are no certificate and its unencrypted key in PEM"
                ) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("a key with a passphrase")  # OpenSSL would ask at the terminal


@contextmanager
def _readable(text: str) -> Iterator[str]:
    """A path that OpenSSL, which reads a client's certificate from files alone, can read a text from: of no disk."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            yield file.name
