"""The cluster's DNS: `python -m tests.e2e.dns ADDRESS KUBECONFIG` answers with the addresses of Services.

What pods resolve is NAME.NAMESPACE.svc.cluster.local, so that is all it knows, and it asks the API server each time:
a Service that has just been made is there, a headless one with the address of one of its pods. It has no cache, and no
names outside the cluster.
"""

from __future__ import annotations

import ipaddress
import socketserver
import ssl
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cluster.kubectl import Access

PORT = 53
DOMAIN = "cluster.local"
SECONDS_VALID = 5
_HEADER = struct.Struct("!6H")
_ANSWERED, _NO_SUCH_NAME, _FAILED = 0, 3, 2
_AUTHORITATIVE_ANSWER, _RECURSION_DESIRED = 0x8400, 0x0100
_ADDRESS, _INTERNET = 1, 1  # record type A, class IN
_POINTER_TO_QUESTION = 0xC000 | _HEADER.size

Lookup = Callable[[str, str], str | None]


def answer(query: bytes, lookup: Lookup) -> bytes:
    """The reply to a query; `lookup` gives the address of a Service by name and namespace."""
    identity, flags, *_ = _HEADER.unpack_from(query)
    labels, end = _name(query)
    kind, _ = struct.unpack_from("!2H", query, end)
    record = b""
    try:
        address = _service(labels, lookup)
        code = _NO_SUCH_NAME if address is None else _ANSWERED
        if address is not None and kind == _ADDRESS:
            packed = ipaddress.IPv4Address(address).packed
            described = (_POINTER_TO_QUESTION, _ADDRESS, _INTERNET, SECONDS_VALID, len(packed))
            record = struct.pack("!3HIH", *described) + packed
    except httpx.HTTPError:
        code = _FAILED
    reply = _AUTHORITATIVE_ANSWER | (flags & _RECURSION_DESIRED) | code
    return _HEADER.pack(identity, reply, 1, bool(record), 0, 0) + query[_HEADER.size : end + 4] + record


def _name(query: bytes) -> tuple[list[str], int]:
    """The labels of the name that is asked for, and where they end."""
    labels, at = [], _HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return labels, at + 1


def _service(labels: list[str], lookup: Lookup) -> str | None:
    if len(labels) != 5 or labels[2:] != ["svc", *DOMAIN.split(".")]:
        return None
    return lookup(labels[0], labels[1])


def services(access: Access) -> Lookup:
    """Asks the API server (raises httpx.HTTPError)."""
    client = httpx.Client(
        base_url=access.server,
        headers={"Authorization": f"Bearer {access.token}"},
        verify=ssl.create_default_context(cafile=str(access.ca_file)),
        timeout=4,
        trust_env=False,
    )

    def lookup(name: str, namespace: str) -> str | None:
        found = client.get(f"/api/v1/namespaces/{namespace}/services/{name}")
        if found.status_code == httpx.codes.NOT_FOUND:
            return None
        address: str = found.raise_for_status().json()["spec"]["clusterIP"]
        return address if address != "None" else ready_pod(name, namespace)

    def ready_pod(name: str, namespace: str) -> str | None:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        found = client.get(path, params={"labelSelector": f"kubernetes.io/service-name={name}"}).raise_for_status()
        endpoints = [endpoint for piece in found.json()["items"] for endpoint in piece["endpoints"] or []]
        ready = (endpoint["addresses"][0] for endpoint in endpoints if endpoint["conditions"].get("ready"))
        return next(ready, None)

    return lookup


def main() -> None:
    """Answer until somebody ends the process."""
    address, kubeconfig = sys.argv[1:]
    lookup = services(Access.load(Path(kubeconfig)))

    class Query(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(answer(self.rfile.read(), lookup))

    with socketserver.ThreadingUDPServer((address, PORT), Query) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
