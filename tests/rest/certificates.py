"""A certificate authority of the tests' own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its certificate and key.

    Attributes:
        certificate: in PEM, what clients are told to trust.
    """

    issuer: x509.Certificate
    key: EllipticCurvePrivateKey

    @property
    def certificate(self) -> str:
        return self.issuer.public_bytes(Encoding.PEM).decode()

    def issue(self, directory: Path, *names: str) -> x509.Certificate:
        """Write tls.crt and tls.key of a server at 127.0.0.1 with these names over those that are there."""
        key = generate_private_key(SECP256R1())
        names_of = x509.SubjectAlternativeName(
            [x509.IPAddress(IPv4Address("127.0.0.1")), *(x509.DNSName(name) for name in names)]
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        issued = (
            _builder("state service", self.issuer.subject, key)
            .add_extension(names_of, critical=False)
            .add_extension(identifier, critical=False)
            .sign(self.key, SHA256())
        )
        # As the kubelet does it: nobody ever sees half of a file.
        for name, content in (
            ("tls.crt", issued.public_bytes(Encoding.PEM)),
            ("tls.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ):
            written = directory / f".{name}"
            written.write_bytes(content)
            written.rename(directory / name)
        return issued


def authority() -> Authority:
    """A new one."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of the tests")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = _builder("CA of the tests", subject, key).add_extension(x509.BasicConstraints(True, 0), critical=True)
    return Authority(builder.add_extension(usage, critical=True).sign(key, SHA256()), key)


def _builder(name: str, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
