"""How a request to the API server can fail, as classes: nobody matches on text."""

from http import HTTPStatus
from typing import Any

import orjson

from retl.errors import RetlError


class KubeError(RetlError):
    """The API server refused a request, or could not be reached.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        kube_reason: the API server's own word, such as Forbidden.
    """

    reason = "ApiRequestFailed"

    def __init__(self, message: str, *, status: int = 0, kube_reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kube_reason = kube_reason

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later: no answer, too many requests, trouble of the server's own."""
        return self.status in (0, HTTPStatus.TOO_MANY_REQUESTS) or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Conflict(KubeError):
    """Somebody else wrote the object first."""


class AlreadyExists(KubeError):
    """The name is taken."""


class NamespaceTerminating(KubeError):
    """The namespace is going away; nothing can be created in it, and nothing needs to be."""


def refusal(request: str, status: int, text: bytes) -> KubeError:
    """The error for an answer of status 400 or above.

    Args:
        request: what was asked, for the message.
        text: body of the answer; a Status object if the API server wrote it.
    """
    try:
        said = orjson.loads(text)
    except ValueError:
        said = None
    return refusal_of(request, status, said if isinstance(said, dict) else {}, text.decode(errors="replace")[:500])


def refusal_of(request: str, status: int, said: dict[str, Any], text: str = "") -> KubeError:
    """The same for a Status object that is read already, as the ERROR event of a watch carries one."""
    reason = str(said.get("reason") or "")
    kind = {"Conflict": Conflict, "AlreadyExists": AlreadyExists}.get(reason, KubeError)
    causes = ((said.get("details") or {}).get("causes")) or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        kind = NamespaceTerminating
    message = said.get("message") or text or reason or _phrase(status)
    return kind(f"{request}: {message}", status=status, kube_reason=reason)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
