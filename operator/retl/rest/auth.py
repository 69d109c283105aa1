"""Who speaks: a runner's projected ServiceAccount token, checked by the API server (TokenReview).

Only a token made for the state service counts (its audience), and it speaks for the namespace of its ServiceAccount.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiException, AuthenticationV1Api, V1TokenReview, V1TokenReviewSpec

from retl.rest.problems import RETRY_AFTER, Problem
from retl.rest.recent import Recent
from retl.runspec.pod import STATE_AUDIENCE

REMEMBERED_SECONDS = 60.0
"""A token that was accepted is not reviewed again for so long, so a revoked one works for so long at most."""
REMEMBERED_TOKENS = 4_096
REVIEW_TIMEOUT_SECONDS = 10.0

_log = logging.getLogger(__name__)

_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)")


@dataclass(frozen=True, slots=True)
class Caller:
    """A ServiceAccount."""

    namespace: str
    account: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.account}"


Identify = Callable[[str], Awaitable[Caller]]
"""Says who holds a bearer token (raises Problem)."""


def bearer(header: str | None) -> str:
    """The token in an Authorization header (raises Problem 401)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("send the pod's token for audience reverse-etl-state as Authorization: Bearer")
    return token.strip()


def unauthorized(detail: str) -> Problem:
    """The token does not say who speaks."""
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


class TokenReviewer:
    """Identifies callers by TokenReview; remembers those it accepted, by the token's SHA-256, for a minute."""

    def __init__(
        self,
        api: AuthenticationV1Api,
        audience: str = STATE_AUDIENCE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._api = api
        self._audience = audience
        self._clock = clock
        self._accepted: Recent[bytes, tuple[Caller, float]] = Recent(REMEMBERED_TOKENS)

    async def identify(self, token: str) -> Caller:
        """The ServiceAccount that holds the token.

        Raises:
            Problem: 401 the token is not valid for this service; 403 it is not a ServiceAccount's; 503 the API server
                does not answer.
        """
        digest = hashlib.sha256(token.encode()).digest()
        caller, until = self._accepted.get(digest, (None, 0.0))
        if caller is not None and self._clock() < until:
            return caller
        caller = self._judge(await self._review(token))
        self._accepted.keep(digest, (caller, self._clock() + REMEMBERED_SECONDS))
        return caller

    async def _review(self, token: str) -> Any:
        review = V1TokenReview(spec=V1TokenReviewSpec(token=token, audiences=[self._audience]))
        try:
            answer = await self._api.create_token_review(review, _request_timeout=REVIEW_TIMEOUT_SECONDS)
        except (TimeoutError, ApiException, aiohttp.ClientError) as error:
            said = f"{error.status} {error.reason}" if isinstance(error, ApiException) else type(error).__name__
            _log.warning("the API server does not review tokens: %s", said)
            raise Problem(
                503, "token-review-unavailable", f"the API server does not review tokens: {said}", RETRY_AFTER
            ) from error
        return answer.status

    def _judge(self, status: Any) -> Caller:
        if not status.authenticated or self._audience not in (status.audiences or ()):
            raise unauthorized(f"the token is not valid for audience {self._audience}")
        found = _SERVICE_ACCOUNT.fullmatch(status.user.username or "")
        if found is None:
            raise Problem(403, "forbidden", "only ServiceAccounts may use the state service")
        return Caller(namespace=found[1], account=found[2])
