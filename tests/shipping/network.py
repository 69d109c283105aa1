"""What NetworkPolicies let through: their meaning as Kubernetes documents it, for the pods and policies of a chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod, or where `address` is set something outside of the cluster.

    Attributes:
        ports: numbers of its named ports.
    """

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


def reaches(policies: Iterable[Manifest], one: Peer, other: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether one pod may open a connection to another: its own policies and those of the other must let it."""
    known = list(policies)
    out = _lets(known, one, "Egress", "egress", "to", other, (port, protocol), other)
    return out and _lets(known, other, "Ingress", "ingress", "from", one, (port, protocol), other)


def _lets(
    policies: list[Manifest],
    pod: Peer,
    type: str,
    rules: str,
    peers: str,
    partner: Peer,
    door: tuple[int, str],
    target: Peer,
) -> bool:
    """A pod that no policy of a type selects is free; else any rule of any policy that does is enough."""
    mine = [each["spec"] for each in policies if _selects(each, pod) and type in each["spec"]["policyTypes"]]
    found = [rule for spec in mine for rule in spec.get(rules, [])]
    return not mine or any(_among(rule.get(peers), partner, pod) and _through(rule, door, target) for rule in found)


def _selects(policy: Manifest, pod: Peer) -> bool:
    in_it = policy["metadata"]["namespace"] == pod.namespace and not pod.address
    return in_it and _matches(policy["spec"]["podSelector"], pod.labels)


def _among(peers: list[Manifest] | None, partner: Peer, pod: Peer) -> bool:
    return not peers or any(_is(peer, partner, pod) for peer in peers)


def _is(peer: Manifest, partner: Peer, pod: Peer) -> bool:
    if "ipBlock" in peer:
        inside = bool(partner.address) and ip_address(partner.address) in ip_network(peer["ipBlock"]["cidr"])
        return inside and not any(
            ip_address(partner.address) in ip_network(each) for each in peer["ipBlock"].get("except", ())
        )
    if partner.address:
        return False
    if "namespaceSelector" in peer:
        near = _matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": partner.namespace})
    else:
        near = partner.namespace == pod.namespace
    return near and _matches(peer.get("podSelector", {}), partner.labels)


def _through(rule: Manifest, door: tuple[int, str], target: Peer) -> bool:
    doors = rule.get("ports")
    if not doors:
        return True
    return any((target.ports.get(each["port"], each["port"]), each.get("protocol", "TCP")) == door for each in doors)


def _matches(selector: Manifest, labels: Mapping[str, str]) -> bool:
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In", "only what the chart uses is understood"
        if labels.get(each["key"]) not in each["values"]:
            return False
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
