"""Calls to the Graph API: logged in, signed where the app wants that, and Meta's errors told apart."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from retl.destinations.base import BatchRejected, RateSignal, TryLater
from retl.destinations.meta_ads.config import MetaAdsConfig, MetaAdsCredentials
from retl.destinations.meta_ads.faults import fault, usage
from retl.destinations.web.login import Fixed
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed
from retl.errors import DestinationError, DestinationUnavailable


class Graph:
    """The Graph API in one version, as one system user sees it."""

    def __init__(
        self,
        config: MetaAdsConfig,
        credentials: MetaAdsCredentials,
        timeout: timedelta,
        signal: Callable[[RateSignal], None],
    ) -> None:
        token = credentials.access_token.get_secret_value()
        self._signed: dict[str, str] = {}
        hidden = [token, f"Bearer {token}"]
        if credentials.app_secret is not None:
            secret = credentials.app_secret.get_secret_value()
            proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
            self._signed = {"appsecret_proof": proof}
            hidden += [secret, proof]
        self._service = Service(
            f"{config.base_url.rstrip('/')}/{config.api_version}",
            Fixed({"Authorization": f"Bearer {token}"}, hidden),
            timeout=timeout,
            judge=self._judge,
            signal=signal,
            read_rate=usage,
        )

    async def get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What there is, before anything is written.

        Raises:
            DestinationUnavailable, LoginRefused.
            DestinationError: any other refusal, in Meta's words.
        """
        try:
            found = await self._call("GET", path, parameters, None)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as refused:
            raise DestinationError(f"GET {path} was refused: {refused}") from None
        if not isinstance(found, dict):
            raise DestinationError(f"GET {path} was answered with what is no JSON object; check config.baseUrl")
        return found

    async def send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Write; the reply's JSON, None if it is none (raises as `Destination.write`)."""
        return await self._call(method, path, {}, body)

    async def close(self) -> None:
        """Release the connections; safe to call twice."""
        await self._service.close()

    async def _call(self, method: str, path: str, parameters: Mapping[str, str], body: Any) -> Any:
        query = urlencode({**parameters, **self._signed})
        reply = await self._service.call(method, f"{path}?{query}" if query else path, json=body)
        if (error := self._judge(reply)) is not None:
            raise error
        if not 200 <= reply.status < 300:
            raise BatchRejected("DESTINATION_VALIDATION", f"status {reply.status}{self._service.words(reply)}")
        return parsed(reply.body)

    def _judge(self, reply: Reply) -> Exception | None:
        return fault(reply, self._service.redact)
