"""How kstatus reads an object: the rules that Flux, Argo CD's health assessment and `kubectl` plug-ins share.

After sigs.k8s.io/cli-utils pkg/kstatus/status: what is generic there, in its order, for a custom resource.
"""

from typing import Any, Literal

Status = Literal["Terminating", "InProgress", "Failed", "Current"]


def kstatus(manifest: dict[str, Any]) -> Status:
    """The status of an object as the API server gives it."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration") is not None and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    if conditions.get("Ready", "True") != "True":
        return "InProgress"
    return "Current"
