"""Objects that a tool keeps as Git, or a release, has them are not changed here: it would not last. Pure."""

from collections.abc import Mapping
from typing import Any

import yaml

from retl.resources.kinds import Manifest
from retl.resources.owners import owner
from retl.rest.problems import Problem


def check(manifest: Manifest, change: Mapping[str, Any] | None) -> None:
    """Return if nobody keeps the object.

    Args:
        change: merge patch to its spec, which a person can commit instead; None for a deletion.
    Raises:
        Problem: 409 naming who keeps it.
    """
    keeper = owner(manifest)
    if keeper is None:
        return
    further: dict[str, Any] = {"managed_by": {"tool": keeper.tool, "application": keeper.application}}
    metadata = {name: manifest["metadata"][name] for name in ("name", "namespace")}
    if change is not None:
        patch = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "spec": change}
        further["patch"] = yaml.safe_dump(patch, sort_keys=False, allow_unicode=True)
    detail = f"{manifest['kind']} {metadata['name']} is kept by {keeper.name}; {keeper.instead}"
    raise Problem(409, "managed-by-gitops", detail, further=further)
