"""The API server, as far as the controller uses it: the one place where requests are made.

Objects are plain dictionaries; every request has a time limit. Tests wrap a `Kube` to fail or die at a chosen request.
"""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from retl.controller.kinds import ENDPOINTS, SECRET, Key, Manifest
from retl.controller.settings import FIELD_MANAGER
from retl.errors import RetlError

_PAGE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MERGE_PATCH = "application/merge-patch+json"


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


class Conflict(KubeError):
    """Somebody else wrote the object first."""


class AlreadyExists(KubeError):
    """The name is taken."""


class NamespaceTerminating(KubeError):
    """The namespace is going away; nothing can be created in it, and nothing needs to be."""


class Kube:
    """Requests to one API server."""

    def __init__(self, client: ApiClient, timeout: timedelta) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def list(
        self, kind: str, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        """All objects of a kind in pages, each with the resource version of the list."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._request("GET", ENDPOINTS[kind].path(namespace), query)
            metadata = page.get("metadata", {})
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def get(self, key: Key) -> Manifest | None:
        """One object; None when it does not exist."""
        return await self._find(ENDPOINTS[key.kind].path(key.namespace, key.name))

    async def secret_exists(self, namespace: str, name: str) -> bool:
        """Whether a Secret is there. Only its metadata is asked for: no secret ever enters this process."""
        path = ENDPOINTS[SECRET].path(namespace, name)
        return await self._find(path, accept=_METADATA_ONLY) is not None

    async def create(self, kind: str, manifest: Manifest) -> Manifest:
        """Create an object (raises AlreadyExists, NamespaceTerminating)."""
        path = ENDPOINTS[kind].path(manifest["metadata"]["namespace"])
        return await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def put_status(self, key: Key, observed: Manifest, status: Manifest) -> Manifest:
        """Replace an object's status, if nobody has changed the object since it was observed (raises Conflict)."""
        metadata = {k: observed["metadata"][k] for k in ("namespace", "name", "uid", "resourceVersion")}
        body = {"apiVersion": observed["apiVersion"], "kind": key.kind, "metadata": metadata, "status": status}
        # The API server takes only the status of this request, yet wants to see a valid object.
        body["spec"] = observed["spec"]
        path = ENDPOINTS[key.kind].path(key.namespace, key.name, "status")
        return await self._request("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    async def replace(self, key: Key, manifest: Manifest) -> Manifest:
        """Replace an object of this program's own; its resource version is the precondition (raises Conflict)."""
        return await self._request(
            "PUT", ENDPOINTS[key.kind].path(key.namespace, key.name), {"fieldManager": FIELD_MANAGER}, manifest
        )

    async def patch(self, key: Key, change: Manifest) -> Manifest:
        """Merge a change into an object of this program's own; a null takes a field away."""
        path = ENDPOINTS[key.kind].path(key.namespace, key.name)
        return await self._request("PATCH", path, {"fieldManager": FIELD_MANAGER}, change, content=_MERGE_PATCH)

    async def delete(self, key: Key, uid: str, propagation: str = "Background") -> None:
        """Delete an object, unless it is gone or another one has its name."""
        options = {"propagationPolicy": propagation, "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", ENDPOINTS[key.kind].path(key.namespace, key.name), body=options)
        except Conflict:
            return
        except KubeError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def close(self) -> None:
        """Release connections; safe to call twice."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _find(self, path: str, accept: str = "application/json") -> Manifest | None:
        try:
            return await self._request("GET", path, accept=accept)
        except KubeError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        accept: str = "application/json",
        content: str = "application/json",
    ) -> Manifest:
        prepared = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._client.call_api(*prepared, _request_timeout=self._timeout)
            text = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, OSError) as error:
            raise KubeError(
                f"{method} {path}: no answer from the API server: {error or type(error).__name__}"
            ) from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(f"{method} {path}", response.status, text)
        answer: Manifest = json.loads(text)
        return answer


def _refusal(request: str, status: int, text: bytes) -> KubeError:
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        said = {}
    reason = str(said.get("reason", ""))
    kind = {"Conflict": Conflict, "AlreadyExists": AlreadyExists}.get(reason, KubeError)
    causes = ((said.get("details") or {}).get("causes")) or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        kind = NamespaceTerminating
    message = said.get("message") or text.decode(errors="replace")[:500] or HTTPStatus(status).phrase
    return kind(f"{request}: {message}", status=status, kube_reason=reason)
