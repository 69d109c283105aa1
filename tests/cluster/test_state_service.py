"""The state service with real tokens, reviewed by a real API server."""

import base64
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from kubernetes.aio import client, config
from kubernetes.aio.client import AuthenticationV1Api

from retl.errors import InvalidInput, StateError
from retl.resources.run import RunCounts
from retl.rest import auth
from retl.rest.auth import REMEMBERED_SECONDS, Caller, TokenReviewer
from retl.rest.problems import Problem
from retl.runspec.pod import STATE_AUDIENCE
from retl.state.http import HttpStateStore
from retl.state.sql import SqlStateStore
from retl.state.store import Claim, Commit
from tests.cluster.cluster import Cluster
from tests.cluster.controlplane import ControlPlane
from tests.postgres import free_port
from tests.rest.process import Api, api
from tests.unit.state.databases import KEY, hashes, letter, pairs, parts, request, result

PATIENCE = timedelta(seconds=60)


@pytest.fixture
def state_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
async def service(cluster: Cluster, state_url: str) -> AsyncIterator[Api]:
    async with api(state_url, cluster.kubeconfig) as running:
        await running.says("the state database is open")
        yield running


@pytest.fixture
def other_namespace(cluster: Cluster, namespace: str) -> str:
    name = f"{namespace}-other"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("create", "serviceaccount", "runner", "-n", name)
    return name


def new_token(cluster: Cluster, namespace: str, account: str = "default", *audiences: str) -> str:
    """A token as the kubelet projects it."""
    wanted = [f"--audience={audience}" for audience in audiences or (STATE_AUDIENCE,)]
    return cluster.kubectl("create", "token", account, "-n", namespace, "--duration=10m", *wanted).strip()


@pytest.fixture
async def runner(cluster: Cluster, namespace: str, service: Api, tmp_path: Path) -> AsyncIterator[HttpStateStore]:
    """A runner's client in `namespace`."""
    store = HttpStateStore(service.internal_url, _token_file(tmp_path, cluster, namespace), patience=PATIENCE)
    yield store
    await store.close()


def _token_file(tmp_path: Path, cluster: Cluster, namespace: str) -> Path:
    path = tmp_path / "token"
    path.write_text(new_token(cluster, namespace))
    return path


async def refusal(service: Api, claim: Claim, token: str | None) -> tuple[int, str]:
    """Status and words of the answer to a read of the snapshot."""
    path = f"/internal/v1/syncs/{claim.sync_uid}/runs/{claim.run_uid}/claims/{claim.fence}/snapshot"
    async with httpx.AsyncClient(base_url=service.internal_url, trust_env=False) as client:
        response = await client.get(path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, str(response.json()["detail"])


async def test_a_token_for_the_state_service_speaks_for_its_namespace(runner: HttpStateStore, namespace: str) -> None:
    claim = await runner.claim(request(namespace=namespace))
    keys, rows = hashes(3), hashes(3)
    await runner.commit(claim, Commit(1, RunCounts(read=4, created=3, rejected=1), keys, rows, [letter(hashes(1))]))
    assert len(await pairs(runner, claim)) == 3
    ended = await runner.finish(claim, result(counts=RunCounts(read=4, created=3, rejected=1)))
    assert ended.dead_letters == 1


def _held(directory: Path) -> bytes:
    """All bytes of the state database's files."""
    files = list(directory.glob("state.db*"))
    assert files
    return b"".join(path.read_bytes() for path in files)


async def test_a_mirror_needs_a_state_key_in_the_api_pod(
    cluster: Cluster, state_url: str, namespace: str, tmp_path: Path
) -> None:
    token, key = _token_file(tmp_path, cluster, namespace), base64.b64encode(KEY).decode()
    commit = Commit(1, RunCounts(read=1, created=1), hashes(1), hashes(1), records=b'{"email":"ada@example.com"}\n')
    async with api(state_url, cluster.kubeconfig) as without:
        runner = HttpStateStore(without.internal_url, token, patience=PATIENCE)
        with pytest.raises(InvalidInput, match="set RETL_STATE_KEY"):
            await runner.commit(await runner.claim(request(namespace=namespace)), commit)
        await runner.close()
    async with api(state_url, cluster.kubeconfig, key=key) as pod:
        runner = HttpStateStore(pod.internal_url, token, patience=PATIENCE)
        claim = await runner.claim(request(attempt=2, namespace=namespace))
        await runner.commit(claim, commit)
        assert [part.records for part in await parts(runner, claim)] == [commit.records]
        await runner.close()
    assert b"ada@example.com" not in _held(tmp_path)


async def test_a_sync_of_another_namespace_does_not_exist_for_it(
    cluster: Cluster, runner: HttpStateStore, service: Api, namespace: str, other_namespace: str
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    strangers = new_token(cluster, other_namespace, "runner")
    assert await refusal(service, claim, strangers) == (404, "there is no such sync")
    with pytest.raises(StateError, match="there is no such sync"):
        await runner.claim(request("run-2", sync="deals", namespace=other_namespace))


@pytest.mark.parametrize("audience", ["https://kubernetes.default.svc", "vault"])
async def test_a_token_for_another_audience_is_refused(
    cluster: Cluster, runner: HttpStateStore, service: Api, namespace: str, audience: str
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    status, said = await refusal(service, claim, new_token(cluster, namespace, "default", audience))
    assert (status, said) == (401, "the token is not valid for audience reverse-etl-state")


async def test_a_token_for_several_audiences_counts_if_one_is_ours(
    cluster: Cluster, service: Api, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "several"
    path.write_text(new_token(cluster, namespace, "default", "vault", STATE_AUDIENCE))
    runner = HttpStateStore(service.internal_url, path, patience=PATIENCE)
    await runner.claim(request(namespace=namespace))
    await runner.close()


@pytest.fixture
def forge(control_plane: ControlPlane, tmp_path: Path) -> Callable[[str, int, Path | None], str]:
    """Changes when a token expires, and signs it again, with the cluster's own key unless told otherwise."""

    def sign(token: str, expires: int, key: Path | None = None) -> str:
        header, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        signed = f"{header}.{_base64(json.dumps(claims | {'exp': expires}).encode())}"
        key = key or control_plane.directory / "pki" / "apiserver.key"
        command = ["openssl", "dgst", "-sha256", "-sign", str(key)]
        signature = subprocess.run(command, input=signed.encode(), capture_output=True, check=True).stdout
        return f"{signed}.{_base64(signature)}"

    return sign


@pytest.fixture
def other_key(tmp_path: Path) -> Path:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    return key


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_an_expired_token_is_refused(
    cluster: Cluster,
    runner: HttpStateStore,
    service: Api,
    namespace: str,
    forge: Callable[[str, int, Path | None], str],
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    token, now = new_token(cluster, namespace), int(time.time())
    assert (await refusal(service, claim, forge(token, now - 120, None)))[0] == 401
    valid = httpx.AsyncClient(headers={"Authorization": f"Bearer {forge(token, now + 120, None)}"}, trust_env=False)
    async with valid as caller:  # the forged signature itself is good
        path = f"/internal/v1/syncs/{claim.sync_uid}/runs/{claim.run_uid}/claims/{claim.fence}/waiting"
        assert (await caller.get(service.internal_url + path)).status_code == 200


async def test_a_token_signed_by_another_key_is_refused(
    cluster: Cluster,
    runner: HttpStateStore,
    service: Api,
    namespace: str,
    forge: Callable[[str, int, Path | None], str],
    other_key: Path,
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    token = forge(new_token(cluster, namespace), int(time.time()) + 600, other_key)
    assert (await refusal(service, claim, token))[0] == 401


async def test_the_token_of_a_deleted_service_account_is_refused(
    cluster: Cluster, runner: HttpStateStore, service: Api, namespace: str
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    cluster.kubectl("create", "serviceaccount", "leaver", "-n", namespace)
    token = new_token(cluster, namespace, "leaver")
    cluster.kubectl("delete", "serviceaccount", "leaver", "-n", namespace)
    assert (await refusal(service, claim, token))[0] == 401


@pytest.mark.parametrize("token", [None, "garbage", "a.b.c"])
async def test_no_token_and_garbage_are_refused(
    runner: HttpStateStore, service: Api, namespace: str, token: str | None
) -> None:
    claim = await runner.claim(request(namespace=namespace))
    assert (await refusal(service, claim, token))[0] == 401


async def test_a_person_is_no_service_account(
    cluster: Cluster, control_plane: ControlPlane, runner: HttpStateStore, service: Api, namespace: str
) -> None:
    """The harness' own login is a static token: it has no audience, so it cannot be one for the state service."""
    claim = await runner.claim(request(namespace=namespace))
    admin = (control_plane.directory / "tokens.csv").read_text().split(",")[0]
    assert (await refusal(service, claim, admin))[0] in {401, 403}


@pytest.fixture
async def reviews(cluster: Cluster) -> AsyncIterator[AuthenticationV1Api]:
    settings = client.Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(cluster.kubeconfig), client_configuration=settings
    )
    async with client.ApiClient(configuration=settings) as connection:
        yield AuthenticationV1Api(connection)


async def test_an_accepted_token_is_remembered_for_a_minute_and_a_refusal_is_not(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, reviews: AuthenticationV1Api
) -> None:
    now = 1_000.0
    token, runner = new_token(cluster, namespace), Caller(namespace, "default")
    reviewer = TokenReviewer(reviews, clock=lambda: now)
    assert await reviewer.identify(token) == runner
    control_plane.halt("kube-apiserver")  # from here on, only what is remembered can be accepted
    try:
        now += REMEMBERED_SECONDS - 1
        assert await reviewer.identify(token) == runner
        now += 1
        with pytest.raises(Problem) as refused:
            await reviewer.identify(token)
    finally:
        control_plane.resume("kube-apiserver")
    assert refused.value.status == 503
    assert await reviewer.identify(token) == runner


async def test_no_more_tokens_are_remembered_than_the_bound(
    cluster: Cluster, namespace: str, reviews: AuthenticationV1Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_TOKENS", 2)
    reviewer = TokenReviewer(reviews)
    for _ in range(4):
        await reviewer.identify(new_token(cluster, namespace))
    assert len(reviewer._accepted) == 2


async def test_a_killed_api_pod_loses_nothing_of_a_run_that_goes_on(
    cluster: Cluster, state_url: str, namespace: str, tmp_path: Path
) -> None:
    port, internal_port = free_port(), free_port()
    runner = HttpStateStore(
        f"http://127.0.0.1:{internal_port}", _token_file(tmp_path, cluster, namespace), patience=PATIENCE
    )
    sent: dict[bytes, bytes] = {}
    claim: Claim | None = None
    for incarnation in range(3):
        async with api(state_url, cluster.kubeconfig, port=port, internal_port=internal_port) as pod:
            claim = claim or await runner.claim(request(namespace=namespace))
            for step in range(1, 6):
                key, row = hashes(1), hashes(1)
                await runner.commit(claim, Commit(incarnation * 5 + step, RunCounts(), key, row))
                sent[key] = row
            pod.process.send_signal(signal.SIGKILL)
            await pod.process.wait()
    async with api(state_url, cluster.kubeconfig, port=port, internal_port=internal_port):
        assert claim is not None
        assert await pairs(runner, claim) == sent
        await runner.finish(claim, result())
    await runner.close()
    store = await SqlStateStore.open(state_url)
    [run] = await store.runs(namespace=namespace)
    assert (run.state, run.attempt) == ("Succeeded", 1)
    await store.close()
