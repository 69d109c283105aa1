"""What the client is told when the API server does not say who a caller is, or what they may do."""

import logging

import orjson

from retl.apiserver.refusals import KubeError, refusal
from retl.apiserver.transport import Answer, Call, Transport
from retl.resources.kinds import Manifest
from retl.rest.problems import RETRY_AFTER, Problem

_log = logging.getLogger(__name__)


def unavailable() -> Problem:
    """The API server cannot be asked at the moment."""
    return Problem(503, "kubernetes-unavailable", "the Kubernetes API does not answer; try again", RETRY_AFTER)


async def asked(transport: Transport, call: Call) -> Answer:
    """The API server's answer, unless it is none.

    Raises:
        Problem: 429 it has too much to do, with its own Retry-After; 503 it did not answer, or with an error.
    """
    try:
        answer = await transport.exchange(call)
    except KubeError as error:
        _log.warning("%s", error)
        raise unavailable() from error
    if answer.status == 429:
        headers = {"Retry-After": answer.headers.get("Retry-After", "1")}
        raise Problem(429, "too-many-requests", "the Kubernetes API has too much to do; try again", headers)
    if answer.status >= 500:
        _log.warning("%s", refusal(str(call), answer.status, answer.text))
        raise unavailable()
    return answer


async def found(own: Transport, call: Call) -> Manifest | None:
    """What this pod reads for itself; None if it is not there (raises Problem as `asked`; 503 without the right)."""
    answer = await asked(own, call)
    if answer.status == 404:
        return None
    if answer.status >= 400:
        _log.error("%s; the ClusterRole and the Role of this pod's ServiceAccount should allow it", _said(call, answer))
        raise unavailable()
    manifest: Manifest = orjson.loads(answer.text)
    return manifest


def _said(call: Call, answer: Answer) -> KubeError:
    return refusal(str(call), answer.status, answer.text)
