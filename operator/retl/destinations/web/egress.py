"""Which addresses a connector may call: a manifest's URL must not lead a runner where its author has no way to go.

What counts is the address that a name leads to when the connection is made, not the name. RETL_ALLOWED_PRIVATE_NETWORKS
lists networks, `10.20.0.0/16,fd00::/8`: with it, of addresses that are not public, only those. Without it, as on one's
own machine, all but link-local ones, where clouds answer with the credentials of the machine.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from retl.errors import DestinationError, InvalidInput
from retl.runspec.pod import ENV_PRIVATE_NETWORKS as VARIABLE

EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
"""IPv6 addresses that end with an IPv4 address which gateways send them to (RFC 6052, RFC 2765), or did (RFC 4291)."""

Network = IPv4Network | IPv6Network
NOT_PUBLIC: tuple[Network, ...] = (IPv6Network("64:ff9b:1::/48"), IPv6Network("fec0::/10"))
"""What Python does not know of, or some of its versions: gateways of one's own (RFC 8215), sites (RFC 3879)."""
MACHINES: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),  # Azure's WireServer
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fd00:ec2::254/128"),  # AWS
)
"""Where clouds answer with the credentials of the machine beside link-local addresses."""
Address = IPv4Address | IPv6Address


class EgressRefused(DestinationError):
    """The address is none that may be called."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be called. Public addresses always may.

    Attributes:
        allowed: of all others, those; None for all but link-local ones and those of MACHINES.
    """

    allowed: tuple[Network, ...] | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Egress":
        """As RETL_ALLOWED_PRIVATE_NETWORKS says (raises InvalidInput)."""
        text = environment.get(VARIABLE)
        return cls() if text is None else cls(networks(text, VARIABLE))

    def permits(self, text: str) -> bool:
        """Whether an address, as text, may be called."""
        address = _plain(ip_address(text.partition("%")[0]))
        of_machine = _within(address, MACHINES)
        if address.is_global and not address.is_multicast and not _within(address, NOT_PUBLIC) and not of_machine:
            return True
        if self.allowed is None:
            return not (address.is_link_local or address.is_multicast or address.is_unspecified or of_machine)
        return _within(address, self.allowed)

    def check(self, host: str, text: str) -> None:
        """Raise EgressRefused if the address that a host has may not be called."""
        if not self.permits(text):
            raise EgressRefused(
                f"{host} leads to {text}, an address that is not public; if it is meant, its network must be allowed "
                f"in {VARIABLE}, which the Helm chart sets from runner.allowedPrivateNetworks"
            )


def networks(text: str, where: str) -> tuple[Network, ...]:
    """Networks with commas between; those of a host's address with its mask, too (raises InvalidInput)."""
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}; write networks such as 10.20.0.0/16, with commas between") from None


def literal(host: str) -> str | None:
    """The address that a URL's host is, in whatever way it is written; None if it is a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f000001 and the like, which resolvers take
    except (OSError, UnicodeError):
        return None


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if _within(address, EMBEDDING) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
