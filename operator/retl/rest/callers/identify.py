"""Who holds a credential: the holder of a Kubernetes token, or the ServiceAccount of an API key.

What an API key is worth is looked up for each request, and a token is shown to the API server with each request that is
made for its holder. Remembered is only what the API server calls the caller; so a revoked credential stops at once.
"""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from time import monotonic

import orjson

from retl.apiserver.endpoints import ACCOUNT, ENDPOINTS, SECRET, WHO_AM_I
from retl.apiserver.refusals import refusal
from retl.apiserver.transport import Call, Transport
from retl.resources.marks import API_KEY
from retl.rest.callers import keys
from retl.rest.callers.caller import Caller
from retl.rest.callers.refused import asked, found
from retl.rest.callers.transport import AsCaller
from retl.rest.problems import unauthorized
from retl.rest.recent import Recent

REMEMBERED_SECONDS = 60.0
"""What the API server calls a caller is not asked again for so long."""
REMEMBERED_CALLERS = 10_000
_KEY_EXTRA = "Impersonate-Extra-" + API_KEY.capitalize().replace("/", "%2F")
"""The audit log shows it as the extra `reverseetl.io/api-key` of the user that was impersonated."""
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):[^:]+")

_log = logging.getLogger(__name__)


class Identify:
    """Says who holds a credential (an Authenticate).

    Args:
        own: connections of this pod, which may read the Secrets of keys and speak for their ServiceAccounts.
        bare: connections of nobody, for tokens.
        keys_namespace: where the Secrets of keys are; None: there are no keys.
    """

    def __init__(
        self, own: Transport, bare: Transport, keys_namespace: str | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._own = own
        self._as = AsCaller(own, bare)
        self._keys_namespace = keys_namespace
        self._clock = clock
        self._known: Recent[bytes, tuple[str, float]] = Recent(REMEMBERED_CALLERS)

    async def __call__(self, credential: str) -> Caller:
        """The caller (raises Problem as Authenticate says)."""
        if credential.startswith(keys.PREFIX):
            supposed = await self._key_holder(credential)
        else:
            supposed = Caller("", None, {"Authorization": f"Bearer {credential}"})
        username = await self._username(supposed, sha256(credential.encode()).digest())
        account = _SERVICE_ACCOUNT.fullmatch(username)
        namespace = account[1] if account else None
        return Caller(username, namespace, supposed.headers, supposed.impersonated, supposed.key)

    async def _key_holder(self, text: str) -> Caller:
        identity = keys.id_of(text)
        if identity is None or self._keys_namespace is None:
            _log.info("an API key was shown, but %s", "it is none" if identity is None else "this API takes none")
            raise unauthorized()
        name = keys.secret_name(identity)
        secret = await found(self._own, _get(SECRET, self._keys_namespace, name))
        key = keys.read(secret) if secret else "there is no such Secret"
        if isinstance(key, str):
            _log.info("API key %s: Secret %s/%s: %s", identity, self._keys_namespace, name, key)
            raise unauthorized()
        if wrong := await self._wrong(key, text):
            _log.info("API key %s of ServiceAccount %s: %s", identity, key.account, wrong)
            raise unauthorized()
        headers = {"Impersonate-User": key.account.username, _KEY_EXTRA: identity}
        return Caller(key.account.username, key.account.namespace, headers, impersonated=True, key=identity)

    async def _wrong(self, key: keys.Key, text: str) -> str:
        """Why a key is worth nothing; empty if it is worth something."""
        if not key.is_text(text):
            return "its secret is another"
        if key.expires <= datetime.now(UTC):
            return f"it expired at {key.expires.isoformat()}"
        account = await found(self._own, _get(ACCOUNT, key.account.namespace, key.account.name))
        return "" if account else "there is no such ServiceAccount"

    async def _username(self, supposed: Caller, digest: bytes) -> str:
        """What the API server calls whoever it takes these headers for (raises Problem 401 if that is nobody)."""
        name, until = self._known.get(digest, ("", 0.0))
        if self._clock() < until:
            return name
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": WHO_AM_I}
        call = Call("create", WHO_AM_I, ENDPOINTS[WHO_AM_I].path(None), body=body, headers=supposed.headers)
        answer = await asked(self._as.of(supposed), call)
        if answer.status != HTTPStatus.CREATED:
            said = refusal(str(call), answer.status, answer.text)
            # Of a key it is this pod's right to speak for the ServiceAccount that is missing.
            level = logging.WARNING if supposed.impersonated else logging.INFO
            _log.log(level, "%s%s", f"API key {supposed.key}: " if supposed.key else "", said)
            raise unauthorized()
        name = str(orjson.loads(answer.text)["status"]["userInfo"]["username"])
        self._known.keep(digest, (name, self._clock() + REMEMBERED_SECONDS))
        return name


def _get(kind: str, namespace: str, name: str) -> Call:
    return Call("get", kind, ENDPOINTS[kind].path(namespace, name))
