"""Writes argocd/argocd-cm.yaml out of the Lua files beside it; `--check` says whether it is current.

The files lie as Argo CD's own repository has them, where their tests run and from where they can be handed in. Whoever
does not wait for that merges the ConfigMap into their argocd-cm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.generated import PROJECT, settle

PLACE = PROJECT / "argocd"
GROUP = "reverseetl.io"
HEAD = (
    "# Written by tools/argocd.py out of resource_customizations; do not edit. Merge it into Argo CD's own ConfigMap.\n"
)
STATUS_ALONE = {"jsonPointers": ["/status"]}
"""A change of this alone is no reason to compare the whole application anew, unless the health changes with it."""


class Text(str):
    """Written as a block: these are programs."""


def _block(dumper: yaml.SafeDumper, text: Text) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


yaml.SafeDumper.add_representer(Text, _block)


def config_map() -> str:
    """The ConfigMap as YAML."""
    data: dict[str, Text] = {}
    for directory in sorted((PLACE / "resource_customizations" / GROUP).iterdir()):
        name = f"{GROUP}_{directory.name}"
        data[f"resource.customizations.health.{name}"] = Text((directory / "health.lua").read_text())
        data[f"resource.customizations.ignoreResourceUpdates.{name}"] = Text(_dumped(STATUS_ALONE))
        if (directory / "actions").exists():
            data[f"resource.customizations.actions.{name}"] = Text(_dumped(_actions(directory / "actions")))
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": labels}
    return HEAD + _dumped({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _actions(directory: Path) -> dict[str, Any]:
    scripts = {path.parent.name: Text(path.read_text()) for path in sorted(directory.glob("*/action.lua"))}
    definitions = [{"name": name, "action.lua": script} for name, script in scripts.items()]
    return {"discovery.lua": Text((directory / "discovery.lua").read_text()), "definitions": definitions}


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=yaml.SafeDumper, sort_keys=False, width=120)


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with `--check` say whether it is current; the exit code."""
    return settle({PLACE / "argocd-cm.yaml": config_map()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
