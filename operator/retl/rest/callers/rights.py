"""What a caller may do, as the API server judges it at this moment (SelfSubjectAccessReview); nothing is remembered.

For dead letters, plans, logs and approvals, which exist in RBAC only, this is what guards them.
"""

from http import HTTPStatus

import orjson

from retl.apiserver.endpoints import ENDPOINTS, MAY_I
from retl.apiserver.transport import Call, Transport
from retl.resources import GROUP
from retl.rest.callers.caller import LIST_SYNCS, Caller, Right
from retl.rest.callers.refused import asked
from retl.rest.callers.transport import AsCaller
from retl.rest.problems import Problem, unauthorized

_EVERYWHERE = ""


def no_workspace() -> Problem:
    """There is no such workspace, or none for this caller: nobody can tell which."""
    return Problem(403, "forbidden", f"you may not {LIST_SYNCS} of {GROUP} in this workspace")


class Review:
    """Asks the API server as the caller (a Require).

    Args:
        own: connections of this pod, for callers that it speaks for.
        bare: connections of nobody, for tokens.
    """

    def __init__(self, own: Transport, bare: Transport) -> None:
        self._as = AsCaller(own, bare)

    async def __call__(self, caller: Caller, namespace: str, right: Right) -> None:
        """Return if they may (raises Problem as Require says)."""
        if not await self.may(caller, namespace, right):
            raise await self.forbidden(caller, namespace, right)

    async def forbidden(self, caller: Caller, namespace: str, right: Right) -> Problem:
        """The answer for somebody who may not do this.

        Whoever may not even list the syncs there is told only that, in the words for a workspace that is not there, so
        that nobody learns which there are.
        """
        if right == LIST_SYNCS or not await self.may(caller, namespace, LIST_SYNCS):
            return no_workspace()
        verb, _, resource = str(right).partition(" ")
        return Problem(403, "forbidden", f"you may not {verb} {resource} of {GROUP} in workspace {namespace}")

    async def may(self, caller: Caller, namespace: str | None, right: Right) -> bool:
        """Whether they may do this in a namespace, or in all (None) (raises Problem 401, 429 and 503)."""
        attributes = {
            "group": GROUP,
            "resource": right.resource,
            "subresource": right.subresource,
            "verb": right.verb,
            "namespace": namespace or _EVERYWHERE,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": MAY_I,
            "spec": {"resourceAttributes": attributes},
        }
        call = Call("create", MAY_I, ENDPOINTS[MAY_I].path(None), body=body, headers=caller.headers)
        answer = await asked(self._as.of(caller), call)
        if answer.status != HTTPStatus.CREATED:
            raise unauthorized()
        return bool(orjson.loads(answer.text)["status"]["allowed"])
