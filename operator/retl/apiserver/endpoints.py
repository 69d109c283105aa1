"""Where the kinds live in the API."""

from dataclasses import dataclass

from retl.resources import GROUP, KINDS, VERSION

JOB, POD, SECRET, LEASE, EVENT = "Job", "Pod", "Secret", "Lease", "Event"
NAMESPACE, ACCOUNT, ROLE_BINDING = "Namespace", "ServiceAccount", "RoleBinding"
WHO_AM_I, MAY_I = "SelfSubjectReview", "SelfSubjectAccessReview"
"""They are created to be asked, and kept nowhere."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a kind lives in the API."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection (all namespaces when None), an object, or a subresource of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return "/".join([f"{root}{scope}/{self.plural}", *(part for part in (name, subresource) if part)])


ENDPOINTS = {kind: Endpoint(GROUP, VERSION, model.plural) for kind, model in KINDS.items()} | {
    JOB: Endpoint("batch", "v1", "jobs"),
    POD: Endpoint("", "v1", "pods"),
    SECRET: Endpoint("", "v1", "secrets"),
    LEASE: Endpoint("coordination.k8s.io", "v1", "leases"),
    EVENT: Endpoint("events.k8s.io", "v1", "events"),
    NAMESPACE: Endpoint("", "v1", "namespaces"),
    ACCOUNT: Endpoint("", "v1", "serviceaccounts"),
    ROLE_BINDING: Endpoint("rbac.authorization.k8s.io", "v1", "rolebindings"),
    WHO_AM_I: Endpoint("authentication.k8s.io", "v1", "selfsubjectreviews"),
    MAY_I: Endpoint("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
}
