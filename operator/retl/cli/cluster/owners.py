"""Which tool keeps an object as Git, or a release, has it: what a person changes there by hand does not last. Pure."""

from dataclasses import dataclass

from retl.resources.kinds import Manifest

_ARGO = "argocd.argoproj.io/tracking-id"
_FLUX = {"kustomize.toolkit.fluxcd.io": "Flux Kustomization", "helm.toolkit.fluxcd.io": "Flux HelmRelease"}
_HELM = "meta.helm.sh/release-name"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who keeps it, and what to do instead of changing it here."""

    name: str
    instead: str


def owner(manifest: Manifest) -> Owner | None:
    """The tool, by marks that it alone sets; a mark that was copied from another object does not count."""
    metadata = manifest["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    group = manifest["apiVersion"].rpartition("/")[0]
    own = f"{group}/{manifest['kind']}:{metadata['namespace']}/{metadata['name']}"
    application, _, tracked = annotations.get(_ARGO, "").partition(":")
    if application and tracked == own:
        return Owner(f"Argo CD application {application}", "change it in Git")
    for prefix, tool in _FLUX.items():
        name, namespace = labels.get(f"{prefix}/name"), labels.get(f"{prefix}/namespace")
        if name and namespace:
            return Owner(f"{tool} {namespace}/{name}", "change it in Git")
    if labels.get("app.kubernetes.io/managed-by") == "Helm" and _HELM in annotations:
        return Owner(f"Helm release {annotations[_HELM]}", "change the release's values")
    return None
