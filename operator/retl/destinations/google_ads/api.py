"""Calls to the Data Manager API: logged in as a service account or a user, and Google's errors told apart."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from retl.destinations.base import BatchRejected, RateSignal, TryLater
from retl.destinations.google_ads.config import GoogleAccount, GoogleAdsConfig, GoogleAdsCredentials
from retl.destinations.google_ads.faults import fault
from retl.destinations.web.login import Bearer, grant, signed_jwt
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply
from retl.destinations.web.words import parsed
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput

SCOPE = "https://www.googleapis.com/auth/datamanager"
JWT_SECONDS = 3_600


class DataManager:
    """The API in one version, as one login sees it."""

    def __init__(
        self,
        config: GoogleAdsConfig,
        credentials: GoogleAdsCredentials,
        timeout: timedelta,
        signal: Callable[[RateSignal], None],
    ) -> None:
        form, hidden = _form(config.token_url, credentials)
        fetch = grant(lambda *call: self._service.send(*call), f"POST {config.token_url}", config.token_url, form)
        self._service = Service(
            f"{config.base_url.rstrip('/')}/{config.api_version}",
            Bearer(fetch, hidden),
            timeout=timeout,
            judge=lambda reply: fault(reply, datetime.now(UTC), self._service.redact),
            headers=_headers(config),
            signal=signal,
        )

    async def get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What there is, before anything is written, as JSON.

        Raises:
            DestinationUnavailable, LoginRefused.
            DestinationError: any other refusal, in Google's words.
        """
        query = urlencode(parameters)
        try:
            reply = await self._service.call("GET", f"{path}?{query}" if query else path)
        except TryLater as later:
            raise DestinationUnavailable(str(later)) from None
        except BatchRejected as refused:
            raise DestinationError(f"GET {path} was refused: {refused}") from None
        if not 200 <= reply.status < 300:
            raise DestinationError(f"GET {path} answered {reply.status}{self._service.words(reply)}")
        found = parsed(reply.body)
        if not isinstance(found, dict):
            raise DestinationError(f"GET {path} was answered with what is no JSON object; check config.baseUrl")
        return found

    async def status(self, request: str) -> Any:
        """What became of a request, as JSON; None if Google does not know it, or not yet (raises as `write`)."""
        path = f"/requestStatus:retrieve?{urlencode({'requestId': request})}"
        reply = await self._service.call("GET", path, refused_as_reply=frozenset({404}))
        return parsed(reply.body) if 200 <= reply.status < 300 else None

    async def send(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Write; the reply, a 400 if members are at fault (raises as `Destination.write`)."""
        return await self._service.call("POST", path, json=body)

    async def close(self) -> None:
        """Release the connections; safe to call twice."""
        await self._service.close()


def account_name(account: GoogleAccount) -> str:
    """An account's resource name."""
    return f"accountTypes/{account.type}/accounts/{account.id}"


def _headers(config: GoogleAdsConfig) -> dict[str, str]:
    """Who asks, where calls have no body that says it."""
    found = {}
    if config.login_account is not None:
        found["login-account"] = account_name(config.login_account)
    if config.linked_account is not None:
        found["linked-account"] = account_name(config.linked_account)
    if config.quota_project is not None:
        found["x-goog-user-project"] = config.quota_project
    return found


def _form(token_url: str, login: GoogleAdsCredentials) -> tuple[Callable[[], Mapping[str, str]], list[str]]:
    """What tokens are fetched with, and which of it is secret (raises InvalidInput)."""
    if login.service_account is None:
        parts = {
            "client_id": login.client_id,
            "client_secret": login.client_secret,
            "refresh_token": login.refresh_token,
        }
        held = {name: value.get_secret_value() for name, value in parts.items() if value is not None}
        form = {"grant_type": "refresh_token", **held}
        return lambda: form, [held["client_secret"], held["refresh_token"]]
    text = login.service_account.get_secret_value()
    try:
        key = json.loads(text)
        issuer, private = str(key["client_email"]), str(key["private_key"])
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(
            "service_account in the Secret is no key of a service account; put the JSON file there as Google gave it"
        ) from None

    def signed() -> Mapping[str, str]:
        now = int(time.time())
        claims = {"iss": issuer, "scope": SCOPE, "aud": token_url, "iat": now, "exp": now + JWT_SECONDS}
        assertion = signed_jwt(private, claims, {"kid": str(key.get("private_key_id", ""))})
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}

    return signed, [text, private]
