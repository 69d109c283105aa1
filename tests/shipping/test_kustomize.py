"""What those without Helm apply is what Helm would install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import PROJECT, SYSTEM, Helm, rendered
from tests.cluster.controlplane import ControlPlane
from tools import kustomize

KUSTOMIZE = PROJECT / "deploy" / "kustomize"
OVERLAYS = sorted(path.parent for path in KUSTOMIZE.glob("overlays/*/kustomization.yaml"))
DROPPED = (*kustomize.OF_HELM, "helm.sh/resource-policy")
Key = tuple[str, str]


def built(plane: ControlPlane, directory: Path) -> dict[Key, dict[str, Any]]:
    objects = yaml.load_all(plane.kubectl("kustomize", str(directory)), Loader=yaml.CSafeLoader)
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def without_helm(value: Any) -> Any:
    """What remains of an object without the labels and annotations that only Helm wants."""
    if isinstance(value, list):
        return [without_helm(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: without_helm(item) for name, item in value.items()}
    for place in ("labels", "annotations"):  # and not where a selector asks for the mark of runners
        if isinstance(kept.get(place), dict):
            kept[place] = {name: item for name, item in kept[place].items() if name not in DROPPED}
    return {name: item for name, item in kept.items() if name != "annotations" or item}


def test_the_base_is_as_the_chart_is() -> None:
    assert kustomize.main(["--check"]) == 0


def test_kustomize_makes_the_objects_that_helm_makes(plane: ControlPlane) -> None:
    values = yaml.safe_load((KUSTOMIZE / "values.yaml").read_text())
    wanted = {(each["kind"], each["metadata"]["name"]): without_helm(each) for each in rendered(values)}
    assert built(plane, KUSTOMIZE / "base") == wanted


def test_deleting_what_kustomize_makes_leaves_the_namespace_with_the_key(plane: ControlPlane) -> None:
    [namespace] = yaml.safe_load_all((KUSTOMIZE / "base" / "namespace.yaml").read_text())
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", SYSTEM)
    for directory in (KUSTOMIZE / "base", *OVERLAYS):
        assert not {"Namespace", "Secret"} & {kind for kind, _ in built(plane, directory)}


@pytest.mark.parametrize("directory", [KUSTOMIZE / "base", *OVERLAYS], ids=lambda path: path.name)
def test_the_api_server_takes_every_object(plane: ControlPlane, installed: Helm, directory: Path) -> None:
    forced = ("--server-side", "--force-conflicts", "--dry-run=server")
    taken = plane.kubectl("apply", *forced, "-k", str(directory)).splitlines()
    assert len(taken) == len(built(plane, directory))


def test_the_example_overlay_names_images_of_its_own_in_every_place(plane: ControlPlane) -> None:
    objects = built(plane, KUSTOMIZE / "overlays" / "example")
    [controller] = objects["Deployment", "retl-controller"]["spec"]["template"]["spec"]["containers"]
    [api] = objects["Deployment", "retl-api"]["spec"]["template"]["spec"]["containers"]
    settings = {each["name"]: each.get("value") for each in controller["env"]}
    images = [controller["image"], api["image"], settings["RETL_RUNNER_IMAGE"]]
    assert all(image.startswith("images.example/") for image in images), images
    assert settings["RETL_STATE_TOKEN_FILE"], "the patch adds to the settings and replaces none but its own"
