"""The controller's requests, one by one, against the real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from retl.apiserver import access
from retl.apiserver.transport import Call
from retl.controller.apiserver.kube import AlreadyExists, Conflict, Kube, KubeError
from retl.controller.kinds import Key
from retl.controller.settings import FIELD_MANAGER
from retl.resources.kinds import RUN, SYNC
from tests.cluster.objects import Namespace, run_of, sync


class Listening(Kube):
    """A Kube that remembers what came back."""

    answers: list[dict[str, Any]]

    async def _request(self, call: Call) -> dict[str, Any]:
        answer = await super()._request(call)
        self.answers.append(answer)
        return answer


@pytest.fixture
async def kube(account: Path) -> AsyncIterator[Listening]:
    configuration = await access.load(account, None)
    opened = Listening(ApiClient(configuration), timedelta(seconds=10))
    opened.answers = []
    yield opened
    await opened.close()


async def test_of_a_secret_only_its_existence_is_learned(kube: Listening, shop: Namespace) -> None:
    shop.cluster.kubectl("create", "secret", "generic", "login", "-n", shop.name, "--from-literal=password=s3cret")
    assert await kube.secret_exists(shop.name, "login")
    assert not await kube.secret_exists(shop.name, "nobody")
    [answer] = kube.answers
    assert answer["kind"] == "PartialObjectMetadata"
    assert base64.b64encode(b"s3cret").decode() not in str(answer)


async def test_a_status_is_written_only_over_the_version_that_was_seen(kube: Listening, shop: Namespace) -> None:
    shop.apply(sync("accounts"))
    key = Key(SYNC, shop.name, "accounts")
    seen = await kube.get(key)
    assert seen is not None
    written = await kube.put_status(key, seen, {"observedGeneration": 1})
    assert written["status"]["observedGeneration"] == 1
    assert {entry["manager"] for entry in written["metadata"]["managedFields"]} >= {FIELD_MANAGER}
    with pytest.raises(Conflict):
        await kube.put_status(key, seen, {"observedGeneration": 2})


async def test_a_name_is_taken_once_and_a_namesake_is_not_deleted(kube: Listening, shop: Namespace) -> None:
    manifest = run_of("accounts") | {"metadata": {"name": "one", "namespace": shop.name}}
    made = await kube.create(RUN, manifest)
    with pytest.raises(AlreadyExists):
        await kube.create(RUN, manifest)
    key = Key(RUN, shop.name, "one")
    await kube.delete(key, "another-uid")
    assert await kube.get(key) is not None
    await kube.delete(key, made["metadata"]["uid"])
    await kube.delete(key, made["metadata"]["uid"])
    assert await kube.get(key) is None


async def test_what_its_account_may_not_do_is_refused_by_the_api_server(kube: Listening, shop: Namespace) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": shop.name}}
    with pytest.raises(KubeError) as refused:
        await kube.create("Pod", pod)
    assert (refused.value.status, refused.value.kube_reason) == (403, "Forbidden")


async def test_a_list_comes_in_pages(kube: Listening, shop: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retl.controller.apiserver.kube._PAGE", 2)
    shop.apply(*(sync(f"sync-{number}") for number in range(5)))
    pages = [[item["metadata"]["name"] for item in page] async for page, _ in kube.list(SYNC, shop.name)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(name for page in pages for name in page) == [f"sync-{number}" for number in range(5)]


async def test_a_silent_api_server_is_not_waited_for_beyond_the_time_limit(account: Path) -> None:
    silence = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    configuration = await access.load(account, None)
    configuration.host = f"https://127.0.0.1:{silence.sockets[0].getsockname()[1]}"
    kube = Kube(ApiClient(configuration), timedelta(seconds=1))
    with pytest.raises(KubeError, match="no answer from the API server"):
        await kube.get(Key(SYNC, "x", "y"))
    await kube.close()
    silence.close()
