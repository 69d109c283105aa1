"""Which tool keeps an object as Git, or a release, has it: what a person changes there by hand does not last. Pure."""

from dataclasses import dataclass

from retl.resources.kinds import Manifest

_ARGO = "argocd.argoproj.io/tracking-id"
_FLUX = {"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}
_HELM = "meta.helm.sh/release-name"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who keeps it.

    Attributes:
        tool: such as `Argo CD`.
        kind: of what keeps it there, such as `application`.
        application: its name; in Flux with its namespace.
        instead: what to do instead of changing it here.
    """

    tool: str
    kind: str
    application: str
    instead: str

    @property
    def name(self) -> str:
        """Such as `Argo CD application growth`."""
        return f"{self.tool} {self.kind} {self.application}"


def owner(manifest: Manifest) -> Owner | None:
    """The tool, by marks that it alone sets; a mark that was copied from another object does not count."""
    metadata = manifest["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    group = manifest["apiVersion"].rpartition("/")[0]
    own = f"{group}/{manifest['kind']}:{metadata['namespace']}/{metadata['name']}"
    application, _, tracked = annotations.get(_ARGO, "").partition(":")
    if application and tracked == own:
        return Owner("Argo CD", "application", application, "change it in Git")
    for prefix, kind in _FLUX.items():
        name, namespace = labels.get(f"{prefix}/name"), labels.get(f"{prefix}/namespace")
        if name and namespace:
            return Owner("Flux", kind, f"{namespace}/{name}", "change it in Git")
    if labels.get("app.kubernetes.io/managed-by") == "Helm" and _HELM in annotations:
        return Owner("Helm", "release", str(annotations[_HELM]), "change the release's values")
    return None
