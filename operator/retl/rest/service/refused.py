"""What a refusal of the API server is to a client of ours: its words are chosen here, and few of its own are passed on.

An API server's message may hold the whole object that it refused, or name what the caller has no right to know. Pure.
"""

import logging
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from retl.apiserver.endpoints import ENDPOINTS
from retl.apiserver.transport import Answer, Call
from retl.resources.problems import Location
from retl.rest.callers.refused import overloaded
from retl.rest.problems import RETRY_AFTER, FieldError, Problem, not_found, unauthorized

_log = logging.getLogger(__name__)

_IMPERSONATION = frozenset({"serviceaccounts", "userextras"})
"""Nothing that a caller asks for is of these: the pod may not speak for the account of their key."""
_POLICY = re.compile(
    r"is forbidden: (ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request: (?P<said>.*))"
    r"|^(admission webhook \"[^\"]*\" denied the request.*)|is forbidden: (exceeded quota: .*)",
    re.DOTALL,
)
_GITOPS = "managed-by-gitops:"
_PART = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")
_VALUE = re.compile(r'^(Invalid value|Duplicate value|Unsupported value|Forbidden|Required value): (.*": )?', re.DOTALL)


class Taken(Problem):
    """There is an object of that name."""


class Lost(Problem):
    """Somebody else wrote the object first, or it is another one by now."""


class Forbidden(Problem):
    """RBAC says no."""


class Expired(Problem):
    """The list that is to go on is forgotten.

    Attributes:
        further_on: goes on all the same, not quite with what the list would have held; empty if nothing does.
    """

    further_on = ""


def problem(call: Call, answer: Answer, workspace: str) -> Problem:
    """The problem that an answer of status 400 or above is."""
    if (passing := overloaded(call, answer)) is not None:
        return passing
    said = _status(answer.text)
    reason, details = str(said.get("reason") or ""), said.get("details") or {}
    causes = details.get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Problem(409, "namespace-terminating", f"workspace {workspace} is being deleted")
    match answer.status:
        case HTTPStatus.UNAUTHORIZED:
            return unauthorized()
        case HTTPStatus.FORBIDDEN:
            return _by_policy(said) or _forbidden(call, details, workspace)
        case HTTPStatus.NOT_FOUND:
            return _missing(call, details, workspace)
        case HTTPStatus.CONFLICT if reason == "AlreadyExists":
            return Taken(409, "conflict", f"there is a {call.kind} of that name")
        case HTTPStatus.CONFLICT:
            return Lost(409, "conflict", f"the {call.kind} was changed at the same time; try again")
        case HTTPStatus.GONE:
            expired = Expired(422, "cursor-expired", "the list has changed too much since; begin anew")
            expired.further_on = str((said.get("metadata") or {}).get("continue") or "")
            return expired
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Problem(413, "content-too-large", f"the {call.kind} would be too large")
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return _by_policy(said) or _invalid(call, causes)
        case _:
            return Problem(409, "conflict", f"the Kubernetes API refused to {call.verb} the {call.kind}")


def location(path: str) -> Location:
    """A place as the API server writes it, `spec.mappings[0].cast`; empty for one that is not in the spec."""
    parts = tuple(int(index) if index else name for name, index in _PART.findall(path))
    return parts if parts[:1] == ("spec",) else ()


def _status(text: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _by_policy(said: dict[str, Any]) -> Problem | None:
    found = _POLICY.search(str(said.get("message") or ""))
    if found is None:
        return None
    words = found["said"] or ""
    if words.startswith(_GITOPS):
        return Problem(409, "managed-by-gitops", words.removeprefix(_GITOPS).strip())
    return Problem(409, "refused-by-policy", next(group for group in found.groups() if group))


def _forbidden(call: Call, details: dict[str, Any], workspace: str) -> Problem:
    if details.get("kind") in _IMPERSONATION:
        _log.warning(
            "this pod may not impersonate %s %s: see docs/rest-access.md", details["kind"], details.get("name")
        )
        return unauthorized()
    endpoint = ENDPOINTS[call.kind]
    group = f" of {endpoint.group}" if endpoint.group else ""
    what = f"{endpoint.plural}/log" if call.path.endswith("/log") else endpoint.plural
    return Forbidden(403, "forbidden", f"you may not {call.verb} {what}{group} in workspace {workspace}")


def _missing(call: Call, details: dict[str, Any], workspace: str) -> Problem:
    if details.get("kind") == "namespaces":
        return not_found(f"workspace {workspace}")
    if not details.get("name"):
        return Problem(503, "kubernetes-unavailable", "the CustomResourceDefinitions are not installed", RETRY_AFTER)
    return not_found(f"such {call.kind}")


def _invalid(call: Call, causes: list[dict[str, Any]]) -> Problem:
    errors = tuple(_fields(causes))
    return Problem(422, "invalid-input", f"the Kubernetes API does not take the {call.kind} as it is", errors=errors)


def _fields(causes: list[dict[str, Any]]) -> Iterator[FieldError]:
    for cause in causes:
        if place := location(str(cause.get("field") or "")):
            yield FieldError(_VALUE.sub("", str(cause.get("message") or "is not valid")), place)
