"""Writes deploy/kustomize/base out of the Helm chart, for those without Helm; `--check` says whether it is current.

One file for each of the chart's templates, without what only Helm wants to know. The tests of the cluster apply the
same files, so what they show holds for both ways of installing. The namespace is a file that the base does not list:
with `kubectl delete -k` it would go, and the Secret with the key of the state database in it.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.chart import CHART, RELEASE, SYSTEM, Helm
from tools.generated import PROJECT, settle

PLACE = PROJECT / "deploy" / "kustomize"
HEAD = "# Written by tools/kustomize.py out of charts/reverse-etl-operator; do not edit.\n"
SOURCE = re.compile(r"^# Source: [^/]+/templates/(.+)\.yaml$", re.MULTILINE)
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}


def rendered() -> str:
    """What helm makes of the chart (raises HelmError)."""
    return Helm(Path(os.devnull))("template", RELEASE, CHART, "-n", SYSTEM, "-f", PLACE / "values.yaml")


def files(text: str) -> dict[str, str]:
    """The base's files by name, out of what helm rendered."""
    found: dict[str, list[Any]] = defaultdict(list)
    for document in text.split("\n---\n"):
        source, manifest = SOURCE.search(document), yaml.safe_load(document)
        if source and manifest:
            found[source[1].replace("/", "-")].append(_plain(manifest))
    written = {f"{name}.yaml": HEAD + _dump_all(manifests) for name, manifests in found.items()}
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(written)}
    return {
        **written,
        "namespace.yaml": HEAD + _dump_all([NAMESPACE]),
        "kustomization.yaml": HEAD + _dump_all([listed]),
    }


def _plain(manifest: dict[str, Any]) -> dict[str, Any]:
    pod = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    for metadata in (manifest["metadata"], pod):
        for label in OF_HELM:
            metadata.get("labels", {}).pop(label, None)
        metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not manifest["metadata"].get("annotations", True):
        del manifest["metadata"]["annotations"]
    return manifest


def _dump_all(manifests: list[Any]) -> str:
    return yaml.safe_dump_all(manifests, sort_keys=False, width=120)


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` say whether they are current; the exit code."""
    base = PLACE / "base"
    return settle({base / name: text for name, text in files(rendered()).items()}, arguments, base.glob("*.yaml"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
