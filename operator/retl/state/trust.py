"""Whom clients of the state service believe to be it: who has the certificate of a CA that they were told.

Without that, whoever answers at the service's address would be given tokens and the rows of dead letters.
"""

import ssl
from contextlib import suppress
from pathlib import Path

from retl.errors import InvalidInput, StateError


def verification(url: str, ca: str | None, named: str) -> ssl.SSLContext | bool:
    """What httpx is to check certificates with.

    Args:
        url: of the state service.
        ca: certificates in PEM of which one must have signed the service's; None: those that this machine trusts.
        named: where `ca` comes from, for the message.
    Raises:
        InvalidInput: `ca` is not what it should be.
    """
    if not url.startswith("https:"):
        return False  # spares the time to read a hundred certificates
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise InvalidInput(f"{named}: holds no certificate in PEM; give it the ca.crt of the state service") from None


class CaFile:
    """Certificates in a file that may be replaced at any time.

    Raises:
        InvalidInput: there is no such file, or no certificate in it.
    """

    def __init__(self, path: Path, option: str) -> None:
        self._path = path
        try:
            self._text = path.read_text()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{option} {path}: {getattr(error, 'strerror', 'is not text')}") from None
        verification("https:", self._text, f"{option} {path}")

    def text(self) -> str:
        """What it holds; what it held before, while it cannot be read."""
        with suppress(OSError, ValueError):
            self._text = self._path.read_text()
        return self._text


def refusal(url: str, error: Exception) -> StateError | None:
    """In words why a certificate is not believed, if that is what broke a connection; to wait mends nothing then."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    return StateError(
        f"state service {url}: its certificate is not believed: {cause.verify_message}; "
        "let RETL_STATE_CA_FILE of the client or controller name the ca.crt that belongs to the service's tls.crt"
    )


def broken(url: str, error: Exception) -> str:
    """What broke a connection, in words."""
    said = str(error) or type(error).__name__
    if url.startswith("http:") and "disconnected" in said:
        return f"{said} If it speaks TLS, its URL must begin with https://"
    if url.startswith("https:") and "[SSL" in said:
        return f"{said}; if it does not speak TLS, its URL must begin with http://"
    return said
