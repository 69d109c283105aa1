"""The requests that the command line makes of an API server, each as the person whose kubeconfig it is."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from retl.apiserver import following
from retl.apiserver.endpoints import ENDPOINTS
from retl.apiserver.media import JSON, MERGE_PATCH
from retl.errors import InvalidInput, RetlError
from retl.resources import GROUP
from retl.resources.kinds import Manifest

FIELD_MANAGER = "retl"
"""Owner of the fields that the command line writes."""
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=5)
_PAGE = 500


class ClusterError(RetlError):
    """The API server did not answer, or refused.

    Attributes:
        status: HTTP status; 0 when there was no answer.
    """

    reason = "ClusterUnavailable"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Refused(InvalidInput):
    """The API server does not take the object as it is."""


class Cluster:
    """One API server.

    Attributes:
        namespace: the one that is meant where none is named.
        where: for messages, such as `context prod (https://…)`.
    """

    def __init__(self, client: ApiClient, namespace: str, where: str) -> None:
        self.namespace = namespace
        self.where = where
        self._client = client

    async def list(
        self, kind: str, *, namespace: str | None = None, everywhere: bool = False, labels: str = "", fields: str = ""
    ) -> list[Manifest]:
        """All objects of a kind in a namespace, or in all."""
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        found: list[Manifest] = []
        path = _path(kind, None if everywhere else namespace or self.namespace)
        while True:
            page = await self._json("GET", path, query)
            head = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
            found += [head | item for item in page["items"]]
            if not page["metadata"].get("continue"):
                return found
            query["continue"] = page["metadata"]["continue"]

    async def find(self, kind: str, name: str) -> Manifest | None:
        """One object; None if there is none of that name."""
        try:
            return await self._json("GET", _path(kind, self.namespace, name))
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND and not isinstance(error, NotInstalled):
                return None
            raise

    async def lacks_namespace(self) -> bool:
        """Whether it is certain that there is no such namespace: not everybody may ask."""
        try:
            await self._json("GET", f"/api/v1/namespaces/{self.namespace}")
        except ClusterError as error:
            return error.status == HTTPStatus.NOT_FOUND
        return False

    async def create(self, kind: str, manifest: Manifest) -> Manifest:
        """Create an object in the namespace (raises Refused)."""
        return await self._json("POST", _path(kind, self.namespace), {"fieldManager": FIELD_MANAGER}, manifest)

    async def patch(self, kind: str, name: str, change: Manifest) -> Manifest:
        """Change fields of an object (raises Refused)."""
        path = _path(kind, self.namespace, name)
        return await self._json("PATCH", path, {"fieldManager": FIELD_MANAGER}, change, MERGE_PATCH)

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object of the namespace."""
        await self._json("DELETE", _path(kind, self.namespace, name))

    async def token(self, account: str, audience: str) -> str:
        """A new token of a ServiceAccount of the namespace, good for ten minutes."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600},
        }
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        answer = await self._json("POST", path, body=body)
        return str(answer["status"]["token"])

    def watch(self, kind: str, name: str) -> AsyncGenerator[Manifest | None, None]:
        """The object as it is, and again after each change; None when it is gone, which is the last."""
        return following.follow(
            name,
            lambda: self.find(kind, name),
            lambda query: aclosing(self._lines(_path(kind, self.namespace), query)),
        )

    async def first(self, kind: str, labels: str) -> Manifest:
        """The first object with these labels, once there is one."""
        query = {"watch": "1", "labelSelector": labels, "timeoutSeconds": "240"}
        while True:
            async for line in self._lines(_path(kind, self.namespace), query):
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    found: Manifest = event["object"]
                    return found

    async def log(self, pod: str, *, follow: bool, tail: int | None) -> AsyncIterator[bytes]:
        """What the pod's runner has written, and with `follow` what it goes on to write until it ends."""
        query = {"container": "runner"} | ({"follow": "true"} if follow else {})
        query |= {"tailLines": str(tail)} if tail is not None else {}
        async for line in self._lines(_path("Pod", self.namespace, pod) + "/log", query):
            yield line

    async def websocket(
        self, path: str, query: Mapping[str, str], protocol: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """A connection to what stands behind the API server, such as a pod's port."""
        _, url, headers, _, _ = await self._prepared("GET", path, query)
        rest = self._client.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
        server = rest.configuration.tls_server_name
        return rest.pool_manager.ws_connect(
            url, headers=headers, protocols=[protocol], proxy=rest.proxy, server_hostname=server, max_msg_size=0
        )

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
    ) -> Manifest:
        response = await self._send(method, path, query, body, content_type, _TIMEOUT)
        answer: Manifest = json.loads(await response.read())
        return answer

    async def _lines(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        response = await self._send("GET", path, query, None, JSON, _STREAM)
        try:
            while line := await response.content.readline():
                yield line
        except aiohttp.ClientError as error:
            raise ClusterError(f"{self.where}: the answer broke off: {str(error) or type(error).__name__}") from error
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Manifest | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        prepared = await self._prepared(method, path, query, body, content_type)
        try:
            answer = await self._client.call_api(*prepared, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status < HTTPStatus.BAD_REQUEST:
                return response
            text = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            said = "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise ClusterError(f"{self.where}: the API server does not answer: {said}") from error
        raise _refusal(self.where, self.namespace, response.status, text)

    async def _prepared(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
    ) -> tuple[Any, Any, Any, Any, Any]:
        prepared: tuple[Any, Any, Any, Any, Any] = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "*/*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return prepared


class NotInstalled(ClusterError):
    """The cluster does not know the kinds of this program."""


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    return ENDPOINTS[kind].path(namespace, name)


def _refusal(where: str, namespace: str, status: int, text: bytes) -> RetlError:
    """What a person should know of an answer that is none."""
    try:
        said: Manifest = json.loads(text)
    except ValueError:
        said = {}
    details = said.get("details") or {}
    message = said.get("message") or text.decode(errors="replace").strip()[:500] or HTTPStatus(status).phrase
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return ClusterError(f"{where}: the API server does not accept this login; log in again", status)
        case HTTPStatus.FORBIDDEN:
            return ClusterError(
                f"{where}: {message}; to see what you may do: kubectl auth can-i --list -n {namespace}", status
            )
        case HTTPStatus.NOT_FOUND if details.get("kind") == "namespaces":
            missing = f"there is no namespace {details.get('name')!r}; choose another with -n"
            return ClusterError(f"{where}: {missing}", status)
        case HTTPStatus.NOT_FOUND if not details.get("name"):
            return NotInstalled(
                f"{where}: the CustomResourceDefinitions of {GROUP} are not installed there; "
                "install the operator, or choose another cluster with --context",
                status,
            )
        case HTTPStatus.UNPROCESSABLE_ENTITY | HTTPStatus.BAD_REQUEST:
            return Refused(message)
        case _:
            return ClusterError(f"{where}: {message}", status)
