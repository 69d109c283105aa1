"""What a container's spec means for a plain process: command line, environment, paths.

Pure. A process has no mount namespace of its own, so wherever a volume's mount path stands in an argument or in the
value of an environment variable, it is replaced by the directory that plays the volume. (Not so in mounted files.)
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

POD_IP = "127.0.0.1"
NODE_CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "50Gi"}

_SUFFIXES = {
    "n": "1e-9",
    "u": "1e-6",
    "m": "1e-3",
    "k": "1e3",
    "M": "1e6",
    "G": "1e9",
    "T": "1e12",
    "P": "1e15",
    "E": "1e18",
} | {f"{prefix}i": str(1024**power) for power, prefix in enumerate("KMGTPE", start=1)}
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(?P<key>[^']+)'\]")
_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^()]+)\))")


class UnsupportedPod(Exception):
    """The pod asks for something that a process node cannot play."""


class MissingReference(Exception):
    """The pod refers to a Secret, ConfigMap or key that is not there (yet)."""


def only_container(pod: Pod) -> Container:
    """The pod's one container, with a command: there is no image that could bring an entrypoint."""
    spec = pod["spec"]
    if spec.get("initContainers") or len(spec["containers"]) != 1:
        raise UnsupportedPod("the process node runs pods with exactly one container and no init containers")
    container: Container = spec["containers"][0]
    if not container.get("command"):
        raise UnsupportedPod(f"container {container['name']!r} has no command; the process node knows no images")
    return container


def quantity(text: str) -> Decimal:
    """The number a Kubernetes quantity stands for: 500m is 0.5, 1Ki is 1024."""
    match = re.fullmatch(r"([+-]?[\d.]+(?:[eE][+-]?\d+)?)([A-Za-z]*)", text)
    if match is None or (match[2] and match[2] not in _SUFFIXES):
        raise ValueError(f"not a quantity: {text!r}")
    return Decimal(match[1]) * Decimal(_SUFFIXES.get(match[2], "1"))


def field(pod: Pod, path: str) -> str:
    """The value of a downward-API `fieldPath`; labels and annotations as a whole give lines `key="value"`."""
    metadata, spec = pod["metadata"], pod["spec"]
    if subscript := _SUBSCRIPT.fullmatch(path):
        return str(metadata.get(subscript[1], {}).get(subscript["key"], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata[path.removeprefix("metadata.")])
        case "metadata.labels" | "metadata.annotations":
            pairs = sorted(metadata.get(path.removeprefix("metadata."), {}).items())
            return "\n".join(f'{key}="{_escape(value)}"' for key, value in pairs)
        case "spec.nodeName" | "spec.serviceAccountName":
            return str(spec.get(path.removeprefix("spec."), ""))
        case "status.podIP" | "status.hostIP":
            return POD_IP
    raise UnsupportedPod(f"the process node knows no field {path!r}")


def resource(container: Container, reference: Mapping[str, str]) -> str:
    """The value of a `resourceFieldRef`: a whole number, rounded up; the node's capacity where no limit is set."""
    kind, _, name = reference["resource"].partition(".")
    declared = container.get("resources", {}).get(kind, {})
    amount = declared.get(name, NODE_CAPACITY.get(name, "0") if kind == "limits" else "0")
    divisor = quantity(reference.get("divisor", "1")) or Decimal(1)
    return str(math.ceil(quantity(amount) / divisor))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; an unknown name stays as it is and `$$` stands for `$`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match["name"] is None else variables.get(match["name"], match[0])

    return _REFERENCE.sub(value, text)


def environment(
    pod: Pod, container: Container, sources: Mapping[tuple[str, str], Mapping[str, str] | None]
) -> dict[str, str]:
    """The container's variables, before paths are replaced.

    Args:
        pod: the pod.
        container: its container.
        sources: contents of each Secret and ConfigMap referred to, by (kind, name); None for one that does not exist.
    Raises:
        MissingReference: a Secret, ConfigMap or key that is not optional does not exist.
    """
    variables: dict[str, str] = {}
    for entry in container.get("envFrom", []):
        for kind, reference in _references(entry):
            contents = sources[kind, reference["name"]]
            if contents is None and not reference.get("optional"):
                raise MissingReference(f'{kind} "{reference["name"]}" not found')
            variables |= {entry.get("prefix", "") + key: value for key, value in (contents or {}).items()}
    for entry in container.get("env", []):
        value = _value(pod, container, entry, variables, sources)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def sources_of(container: Container) -> set[tuple[str, str]]:
    """Each (kind, name) of Secret and ConfigMap that the container's environment refers to."""
    entries = [*container.get("envFrom", []), *(entry.get("valueFrom", {}) for entry in container.get("env", []))]
    return {(kind, reference["name"]) for entry in entries for kind, reference in _references(entry)}


def replace_paths(text: str, places: Mapping[str, Path]) -> str:
    """Replace each mount path that begins a path in `text` by its place; the longest mount path wins."""
    if not places:
        return text
    paths = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
    # Not in the middle of a longer path or after an expansion; after the slashes of file:/// and sqlite://// it is.
    begins = r"(?:(?<![\w./})~])|(?<=://)|(?<=:///))"
    ends = r"(?=/|$|[^\w.-])"
    return re.sub(f"{begins}(?:{paths}){ends}", lambda match: str(places[match[0]]), text)


def command_line(container: Container, variables: Mapping[str, str], places: Mapping[str, Path]) -> list[str]:
    """Command and arguments with variables expanded and paths replaced."""
    words: Sequence[str] = [*container["command"], *container.get("args", [])]
    return [replace_paths(expand(word, variables), places) for word in words]


def find_program(program: str, path: str) -> str:
    """The file to execute, looked up on the pod's own PATH rather than the node's."""
    found = shutil.which(program, path=path)
    if found is None:
        raise FileNotFoundError(f'exec: "{program}": executable file not found in $PATH')
    return found


def _value(
    pod: Pod,
    container: Container,
    entry: Mapping[str, Any],
    variables: Mapping[str, str],
    sources: Mapping[tuple[str, str], Mapping[str, str] | None],
) -> str | None:
    """The value of one `env` entry; None when it is optional and absent."""
    origin = entry.get("valueFrom")
    if not origin:
        return expand(entry.get("value", ""), variables)
    if "fieldRef" in origin:
        return field(pod, origin["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in origin:
        return resource(container, origin["resourceFieldRef"])
    for kind, reference in _references(origin):
        contents = sources[kind, reference["name"]]
        if contents is not None and reference["key"] in contents:
            return contents[reference["key"]]
        if reference.get("optional"):
            return None
        if contents is None:
            raise MissingReference(f'{kind} "{reference["name"]}" not found')
        where = f"{kind} {pod['metadata']['namespace']}/{reference['name']}"
        raise MissingReference(f"couldn't find key {reference['key']} in {where}")
    raise UnsupportedPod(f"the process node cannot take {entry['name']} from {', '.join(origin)}")


def _references(entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The Secret and ConfigMap references of an `envFrom` entry or a `valueFrom`."""
    kinds = {
        "secretRef": "secret",
        "secretKeyRef": "secret",
        "configMapRef": "configmap",
        "configMapKeyRef": "configmap",
    }
    return [(kind, entry[key]) for key, kind in kinds.items() if key in entry]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
