"""The certificate of the state service, taken anew from its files when they have been replaced.

Whoever renews it (cert-manager, a person) replaces a Secret; the kubelet replaces the files a minute later. Each new
connection asks whether the files are other ones, so no process has to start again and no request is dropped.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from retl.errors import InvalidInput

_log = logging.getLogger(__name__)

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate and its key are, both in PEM.

    Attributes:
        certificate: with the certificates between it and the CA, if any.
    """

    certificate: Path
    key: Path


class Certificate:
    """What a server proves its name with.

    Raises:
        InvalidInput: the files cannot be read, or do not belong together.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        try:
            self._version = self._look()
            self.context = self._current = self._read()
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"--state-tls-cert {files.certificate}, --state-tls-key {files.key}: {_words(error)}"
            ) from None
        self.context.sni_callback = self._choose  # called for each connection, whether it names a server or not

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        try:
            if (version := self._look()) != self._version:
                self._version = version
                self._current = self._read()
                _log.info("the state service shows its new certificate")
        except (OSError, ssl.SSLError) as error:
            _log.warning("%s: %s; the certificate before it stays", self._files.certificate, _words(error))
        connection.context = self._current

    def _look(self) -> Version:
        """What changes when one of the files does."""
        found = [path.stat() for path in (self._files.certificate, self._files.key)]
        return tuple(number for each in found for number in (each.st_ino, each.st_mtime_ns))

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # all clients are ours
        context.load_cert_chain(self._files.certificate, self._files.key)
        return context


def _words(error: OSError | ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"they are not a certificate in PEM and its key ({error.reason or error})"
    return str(error.strerror)


def files_of(certificate: Path | None, key: Path | None) -> CertificateFiles | None:
    """Both files, or none for a service without TLS (raises InvalidInput for only one of them)."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("TLS of the state service: give both --state-tls-cert and --state-tls-key, or neither")
    return CertificateFiles(certificate, key)
