"""Who a request is from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID, uuid5

_PEOPLE = UUID("0b7f9a52-3c1e-5d7a-8f4e-6f2d9c0a1b35")
"""Namespace of the ids of callers. They are written into people's objects: it never changes."""

NOBODY = UUID(int=0)
"""In the place of a caller that nothing tells of: the object was made by other means."""
SCHEDULE = uuid5(_PEOPLE, "schedule")
"""What triggered the run of a tick."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whom the API server knows.

    Attributes:
        username: as the API server says it, such as `system:serviceaccount:growth:retl-operator`.
        namespace: of the ServiceAccount; None for anybody else. It is the workspace where none is named.
        headers: what each request that is made for them carries: their token, or that they are impersonated.
        impersonated: the headers go with the pod's own login; otherwise on a connection that is nobody's.
        key: id of the API key that they showed; empty for a token.
    """

    username: str
    namespace: str | None
    headers: Mapping[str, str] = field(repr=False)
    impersonated: bool = False
    key: str = ""

    @property
    def id(self) -> UUID:
        """The same for the same user name, in every process and for good."""
        return uuid5(_PEOPLE, f"user:{self.username}")


class Authenticate(Protocol):
    """Says who holds a credential."""

    async def __call__(self, credential: str) -> Caller:
        """The caller, as the API server knows them now.

        Args:
            credential: what follows `Bearer` in the Authorization header: a Kubernetes token, or an API key.
        Raises:
            Problem: 401 the credential is not valid here (unknown, revoked, expired, for another audience: all told
                alike, in words that do not say which); 503 the API server does not answer.
        """


@dataclass(frozen=True, slots=True)
class Right:
    """What somebody may do, as RBAC says it; for resources that exist in RBAC only, see `rights`.

    Attributes:
        verb: get, list, create, update, …
        resource: plural, of the group reverseetl.io.
        subresource: empty for the resource itself.
    """

    verb: str
    resource: str
    subresource: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'/' if self.subresource else ''}{self.subresource}"


LIST_SYNCS = Right("list", "reverseetlsyncs")
LIST_RUNS = Right("list", "syncruns")
GET_RUN = Right("get", "syncruns")
GET_DESTINATION = Right("get", "syncdestinations")
READ_LETTERS = Right("list", "deadletters")
COUNT_LETTERS = Right("get", "deadletters", "statistics")
RESOLVE_LETTERS = Right("update", "deadletters")
READ_PLAN = Right("get", "syncruns", "plan")
READ_LOG = Right("get", "syncruns", "log")
APPROVE = Right("update", "syncruns", "approval")


class Require(Protocol):
    """Asks the API server, as the caller, whether they may (SelfSubjectAccessReview); nothing is remembered."""

    async def __call__(self, caller: Caller, namespace: str, right: Right) -> None:
        """Return if they may.

        Raises:
            Problem: 401; 403 naming the right and the workspace; 503.
        """
