"""What the client is told when the API server does not say who a caller is, or what they may do."""

import logging
from http import HTTPStatus

import orjson

from retl.apiserver.refusals import KubeError, refusal
from retl.apiserver.transport import Answer, Call, Transport
from retl.resources.kinds import Manifest
from retl.rest.problems import RETRY_AFTER, Problem

_log = logging.getLogger(__name__)


def unavailable(why: KubeError) -> Problem:
    """The API server cannot be asked at the moment; the log says why."""
    _log.warning("%s", why)
    return Problem(503, "kubernetes-unavailable", "the Kubernetes API does not answer; try again", RETRY_AFTER)


def overloaded(call: Call, answer: Answer) -> Problem | None:
    """The problem of an API server that has too much to do, or trouble of its own; None if it judged the request."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        said = answer.headers.get("Retry-After", "")
        wait = {"Retry-After": said if said.isdigit() and int(said) else "1"}
        return Problem(429, "too-many-requests", "the Kubernetes API has too much to do; try again", wait)
    return unavailable(_said(call, answer)) if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None


async def asked(transport: Transport, call: Call) -> Answer:
    """The API server's answer, unless it is none.

    Raises:
        Problem: 429 it has too much to do, with its own Retry-After; 503 it did not answer, or with an error.
    """
    try:
        answer = await transport.exchange(call)
    except KubeError as error:
        raise unavailable(error) from error
    if (problem := overloaded(call, answer)) is not None:
        raise problem
    return answer


async def found(own: Transport, call: Call) -> Manifest | None:
    """What this pod reads for itself; None if it is not there (raises Problem as `asked`; 503 without the right)."""
    answer = await asked(own, call)
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    if answer.status >= HTTPStatus.BAD_REQUEST:
        _log.error("the ClusterRole and the Role of this pod's ServiceAccount should allow %s", call)
        raise unavailable(_said(call, answer))
    manifest: Manifest = orjson.loads(answer.text)
    return manifest


def _said(call: Call, answer: Answer) -> KubeError:
    return refusal(str(call), answer.status, answer.text)
