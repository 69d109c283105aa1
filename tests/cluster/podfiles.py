"""A pod's directory on this machine: its volumes, made from what the API server holds.

As in a kubelet, a volume whose Secret is missing makes the pod wait, and projected tokens come from the TokenRequest
API, bound to the pod, and are renewed after four fifths of their life. Changes of a Secret do not reach a running pod.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.cluster import podspec
from tests.cluster.api import Api, ApiError
from tests.cluster.podspec import MissingReference, Pod, UnsupportedPod

TERMINATION_LOG = "/dev/termination-log"
RENEW_AFTER = 0.8
RETRY_SECONDS = 1.0
_RESOURCES = {"secret": "secrets", "configmap": "configmaps"}


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A projected token on disk and the moment (monotonic seconds) from which it should be renewed."""

    path: Path
    projection: Mapping[str, Any]
    renew_at: float


class PodFiles:
    """The files of one pod, below one directory."""

    def __init__(self, api: Api, pod: Pod, directory: Path) -> None:
        self._api = api
        self._pod = pod
        self._namespace = pod["metadata"]["namespace"]
        self._tokens: list[TokenFile] = []
        self.directory = directory
        self.home = directory / "home"
        self.temporary = directory / "tmp"
        self.termination_log = directory / "termination-log"

    def prepare_places(self, container: podspec.Container) -> dict[str, Path]:
        """Where each path that the container sees as mounted really is; what is not there yet is made, empty."""
        mounts = {
            mount["mountPath"].rstrip("/"): self._volume(mount["name"]) / mount.get("subPath", "")
            for mount in container.get("volumeMounts", [])
        }
        for place in mounts.values():
            if not place.exists():
                place.mkdir(parents=True)
        self.termination_log.touch()
        return (
            self._parents(mounts)
            | mounts
            | {container.get("terminationMessagePath", TERMINATION_LOG): self.termination_log}
        )

    def _parents(self, mounts: Mapping[str, Path]) -> dict[str, Path]:
        """Directories that exist in the container only because something is mounted in them, by their path."""
        parents: dict[str, Path] = {}
        for path, place in mounts.items():
            parent = Path(path).parent
            if parent.exists() or str(parent) in mounts:
                continue
            parents[str(parent)] = self.directory / "parents" / parent.relative_to("/")
            parents[str(parent)].mkdir(parents=True, exist_ok=True)
            link = parents[str(parent)] / Path(path).name
            link.unlink(missing_ok=True)
            link.symlink_to(place)
        return parents

    async def write(self) -> None:
        """Make the directory and all volumes.

        Raises:
            MissingReference: a Secret or ConfigMap that is not optional is not there.
            UnsupportedPod: a kind of volume that the process node does not know.
        """
        for directory in (self.home, self.temporary):
            directory.mkdir(parents=True, exist_ok=True)
        self._tokens.clear()
        for volume in self._pod["spec"].get("volumes", []):
            place = self._volume(volume["name"])
            place.mkdir(parents=True, exist_ok=True)
            try:
                for path, content in (await self._contents(volume, place)).items():
                    _write(place / path, content)
            except MissingReference as missing:
                raise MissingReference(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing}'
                ) from missing

    async def keep_tokens_fresh(self) -> None:
        """Renew each projected token before it expires; runs until cancelled."""
        while self._tokens:
            soonest = min(self._tokens, key=lambda token: token.renew_at)
            await asyncio.sleep(max(0.0, soonest.renew_at - time.monotonic()))
            self._tokens.remove(soonest)
            try:
                _write(soonest.path, await self._token(soonest.projection, soonest.path))
            except MissingReference:  # the ServiceAccount is away; the old token is good for a while yet
                self._tokens.append(replace(soonest, renew_at=time.monotonic() + RETRY_SECONDS))

    async def read(self, kind: str, name: str) -> dict[str, bytes] | None:
        """Contents of a Secret or ConfigMap; None when there is none."""
        path = f"/api/v1/namespaces/{self._namespace}/{_RESOURCES[kind]}/{name}"
        try:
            found = await self._api.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if kind == "secret":
            return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        text = {key: value.encode() for key, value in found.get("data", {}).items()}
        return text | {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}

    async def _contents(self, volume: Mapping[str, Any], place: Path) -> dict[str, bytes]:
        """The files of a volume by their path within it."""
        if "emptyDir" in volume:
            return {}
        if "projected" not in volume:
            return await self._source_contents(volume, place)
        contents: dict[str, bytes] = {}
        for source in volume["projected"].get("sources", []):
            contents |= await self._source_contents(source, place)
        return contents

    async def _source_contents(self, source: Mapping[str, Any], place: Path) -> dict[str, bytes]:
        if "secret" in source:
            wanted = source["secret"]
            return await self._keyed("secret", wanted.get("secretName") or wanted["name"], wanted)
        if "configMap" in source:
            return await self._keyed("configmap", source["configMap"]["name"], source["configMap"])
        if "downwardAPI" in source:
            return {item["path"]: self._downward(item) for item in source["downwardAPI"].get("items", [])}
        if "serviceAccountToken" in source:
            projection = source["serviceAccountToken"]
            return {projection["path"]: await self._token(projection, place / projection["path"])}
        kind = next((key for key in source if key != "name"), "nothing")
        raise UnsupportedPod(f"the process node has no {kind} volumes")

    async def _keyed(self, kind: str, name: str, wanted: Mapping[str, Any]) -> dict[str, bytes]:
        """The chosen keys of a Secret or ConfigMap under the paths they are to have; all keys when none are chosen."""
        optional = wanted.get("optional", False)
        contents = await self.read(kind, name)
        if contents is None:
            if optional:
                return {}
            raise MissingReference(f'{kind} "{name}" not found')
        if not wanted.get("items"):
            return contents
        files: dict[str, bytes] = {}
        for item in wanted["items"]:
            if item["key"] in contents:
                files[item["path"]] = contents[item["key"]]
            elif not optional:
                raise MissingReference(f"references non-existent {kind} key: {item['key']}")
        return files

    def _downward(self, item: Mapping[str, Any]) -> bytes:
        if "fieldRef" in item:
            return podspec.field(self._pod, item["fieldRef"]["fieldPath"]).encode()
        return podspec.resource(podspec.only_container(self._pod), item["resourceFieldRef"]).encode()

    async def _token(self, projection: Mapping[str, Any], path: Path) -> bytes:
        """A fresh token for the pod's ServiceAccount, bound to the pod, and a note of when to renew it."""
        metadata, seconds = self._pod["metadata"], projection.get("expirationSeconds", 3600)
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        audiences = [projection["audience"]] if projection.get("audience") else []
        account = self._pod["spec"].get("serviceAccountName", "default")
        request = {"spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound}}
        try:
            answer = await self._api.request(
                "POST", f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token", request
            )
        except ApiError as error:
            raise MissingReference(f"failed to fetch token: {error}") from error
        self._tokens.append(TokenFile(path, projection, time.monotonic() + RENEW_AFTER * seconds))
        return str(answer["status"]["token"]).encode()

    def _volume(self, name: str) -> Path:
        return self.directory / "volumes" / name


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
