"""Who a credential speaks for, what they may do, and which workspace is meant, against a real API server."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes.aio.client import ApiClient

from retl.apiserver import access
from retl.apiserver.endpoints import ENDPOINTS
from retl.apiserver.transport import Call, Transport
from retl.resources.kinds import SYNC
from retl.rest.callers import keys
from retl.rest.callers.caller import APPROVE, COUNT_LETTERS, LIST_SYNCS, READ_LETTERS, RESOLVE_LETTERS, Caller
from retl.rest.callers.identify import Identify
from retl.rest.callers.namespaces import Namespaces
from retl.rest.callers.rights import Review
from retl.rest.callers.transport import AsCaller
from retl.rest.problems import Problem
from tests.cli.retl_command import Answer, retl
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.controllers import service_account_kubeconfig
from tests.cluster.controlplane import ControlPlane

KEYS = "retl-system"
SOON = timedelta(hours=1)


@dataclass(frozen=True)
class Place:
    """A workspace with ServiceAccounts of which `retl-viewer` and `clerk` may view, and `default` nothing."""

    cluster: Cluster
    name: str
    pod: Path

    def token(self, account: str, *options: str) -> str:
        return self.cluster.kubectl("create", "token", account, "-n", self.name, *options).strip()

    def key(self, account: str = "retl-viewer", expires: timedelta = SOON, **changes: Any) -> str:
        """The text of a new key."""
        identity, text = keys.generate()
        wanted = keys.Key(identity, keys.Account(self.name, account), datetime.now(UTC) + expires, keys.digest(text))
        secret = wanted.secret
        secret["stringData"] |= changes.pop("data", {})
        secret["metadata"]["namespace"] = KEYS
        self.cluster.kubectl("create", "-f", "-", input=json.dumps(secret | changes))
        return text

    def revoke(self, text: str) -> None:
        self.cluster.kubectl("delete", "secret", keys.secret_name(keys.id_of(text) or ""), "-n", KEYS)


@pytest.fixture(scope="module")
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pod = service_account_kubeconfig(cluster, "retl-api", tmp_path_factory.mktemp("pod"))
    name = f"test-{secrets.token_hex(4)}"
    kubectl = cluster.kubectl
    kubectl("create", "namespace", name)
    for account in ("retl-viewer", "clerk", "retl-operator"):
        kubectl("create", "serviceaccount", account, "-n", name)
    accounts = [f"--serviceaccount={name}:{account}" for account in ("retl-viewer", "clerk")]
    kubectl("create", "rolebinding", "viewers", "--clusterrole=retl-viewer", "-n", name, *accounts)
    yield Place(cluster, name, pod)
    kubectl("delete", "namespace", name, "--wait=false")


@dataclass(frozen=True)
class Connections:
    """Both kinds, as the API pod has them."""

    own: Transport
    bare: Transport


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Connections]:
    known = await access.load(kubeconfig, None)
    patience = timedelta(seconds=10)
    made = Connections(Transport(ApiClient(known), patience), Transport(ApiClient(access.anonymous(known)), patience))
    try:
        yield made
    finally:
        await made.own.close()
        await made.bare.close()


@pytest.fixture
async def connections(place: Place) -> AsyncIterator[Connections]:
    async with connected(place.pod) as made:
        yield made


@pytest.fixture
def identify(connections: Connections) -> Identify:
    return Identify(connections.own, connections.bare, KEYS)


@pytest.fixture
def review(connections: Connections) -> Review:
    return Review(connections.own, connections.bare)


async def list_syncs(connections: Connections, caller: Caller, namespace: str) -> int:
    call = Call("list", SYNC, ENDPOINTS[SYNC].path(namespace), headers=caller.headers)
    return (await AsCaller(connections.own, connections.bare).of(caller).exchange(call)).status


async def refused(identify: Identify, credential: str) -> dict[str, Any]:
    with pytest.raises(Problem) as problem:
        await identify(credential)
    return problem.value.document()


async def test_a_token_speaks_for_its_holder_with_nothing_of_the_pod(
    place: Place, identify: Identify, connections: Connections
) -> None:
    caller = await identify(place.token("retl-viewer"))
    assert caller.username == f"system:serviceaccount:{place.name}:retl-viewer"
    assert (caller.namespace, caller.impersonated, caller.key) == (place.name, False, "")
    assert await list_syncs(connections, caller, place.name) == 200
    nobody = await identify(place.token("default"))
    assert await list_syncs(connections, nobody, place.name) == 403


async def test_a_key_speaks_for_its_service_account(place: Place, identify: Identify, connections: Connections) -> None:
    text = place.key()
    caller = await identify(text)
    by_token = await identify(place.token("retl-viewer"))
    assert (caller.username, caller.namespace, caller.id) == (by_token.username, place.name, by_token.id)
    assert (caller.impersonated, caller.key) == (True, keys.id_of(text))
    assert await list_syncs(connections, caller, place.name) == 200
    assert await list_syncs(connections, caller, "default") == 403


async def test_the_audit_log_names_the_account_and_the_key(
    place: Place, identify: Identify, connections: Connections, control_plane: ControlPlane
) -> None:
    caller = await identify(place.key())
    assert await list_syncs(connections, caller, place.name) == 200
    [event] = [
        event
        for event in control_plane.audit_events()
        if caller.key in event.get("impersonatedUser", {}).get("extra", {}).get("reverseetl.io/api-key", [])
        and event["objectRef"]["resource"] == "reverseetlsyncs"
    ]
    assert event["user"]["username"] == f"system:serviceaccount:{KEYS}:retl-api"
    assert event["impersonatedUser"]["username"] == caller.username
    assert f"system:serviceaccounts:{place.name}" in event["impersonatedUser"]["groups"]


async def test_every_credential_that_is_worth_nothing_is_refused_in_the_same_words(
    place: Place, identify: Identify
) -> None:
    good = place.key()
    revoked = place.key()
    place.revoke(revoked)
    worthless = {
        "no token": "worthless",
        "half a token": place.token("retl-viewer")[:-9],
        "for another audience": place.token("retl-viewer", "--audience=reverse-etl-state"),
        "no key": "retl_",
        "a key of another form": good.upper().replace("RETL_", "retl_"),
        "a key that never was": keys.generate()[1],
        "a key with another secret": good[:26] + ("a" if good[26] != "a" else "b") + good[27:-1] + "a",
        "revoked": revoked,
        "expired": place.key(expires=timedelta(seconds=-1)),
        "a Secret of another type": place.key(type="Opaque"),
        "without an account": place.key(data={"service-account": ""}),
        "without an end": place.key(data={"expires-at": ""}),
        "of an account that is not there": place.key("retl-admin"),
        "of an account that the pod may not speak for": place.key("clerk"),
    }
    answers = {why: await refused(identify, credential) for why, credential in worthless.items()}
    assert {why: answer for why, answer in answers.items() if answer != answers["no token"]} == {}
    assert (answers["no token"]["status"], answers["no token"]["title"]) == (401, "Unauthorized")
    assert (await identify(good)).key == keys.id_of(good)


async def test_a_key_stops_at_once_when_it_is_revoked(place: Place, identify: Identify) -> None:
    text = place.key()
    await identify(text)
    place.revoke(text)
    assert (await refused(identify, text))["status"] == 401


async def test_the_log_says_why_a_key_is_refused_and_never_the_key(
    place: Place, identify: Identify, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retl")
    expired, foreign = place.key(expires=timedelta(seconds=-1)), place.key("clerk")
    await refused(identify, expired)
    await refused(identify, foreign)
    assert f"API key {keys.id_of(expired)} of ServiceAccount {place.name}/retl-viewer: it expired at" in caplog.text
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"API key {keys.id_of(foreign)}: POST /apis/authentication.k8s.io/v1/selfsubjectreviews: " in warning
    assert 'cannot impersonate resource "serviceaccounts"' in warning
    assert not [text for text in (expired, foreign) if text[22:] in caplog.text]


async def test_the_pod_speaks_for_another_account_where_it_is_given_the_right(place: Place, identify: Identify) -> None:
    kubectl, where = place.cluster.kubectl, ("-n", place.name)
    kubectl("create", "serviceaccount", "crm-nightly", *where)
    text = place.key("crm-nightly")
    assert (await refused(identify, text))["status"] == 401
    what = ("--verb=impersonate", "--resource=serviceaccounts", "--resource-name=crm-nightly")
    kubectl("create", "role", "speaks-for-crm", *what, *where)
    whom = f"--serviceaccount={KEYS}:retl-api"
    kubectl("create", "rolebinding", "speaks-for-crm", "--role=speaks-for-crm", whom, *where)
    assert (await identify(text)).username == f"system:serviceaccount:{place.name}:crm-nightly"


async def test_without_a_namespace_for_keys_there_are_none(place: Place, connections: Connections) -> None:
    assert (await refused(Identify(connections.own, connections.bare, None), place.key()))["status"] == 401


async def test_rights_are_those_that_rbac_gives(place: Place, identify: Identify, review: Review) -> None:
    viewer = await identify(place.key())
    for right in (LIST_SYNCS, COUNT_LETTERS):
        await review(viewer, place.name, right)
    for right in (READ_LETTERS, RESOLVE_LETTERS, APPROVE):
        with pytest.raises(Problem) as problem:
            await review(viewer, place.name, right)
        assert problem.value.detail == f"you may not {right} of reverseetl.io in workspace {place.name}"
    nobody = await identify(place.token("default"))
    with pytest.raises(Problem) as problem:
        await review(nobody, place.name, READ_LETTERS)
    assert problem.value.detail == "you may not list reverseetlsyncs of reverseetl.io in this workspace"


async def test_a_right_that_is_taken_away_is_gone_at_once(place: Place, identify: Identify, review: Review) -> None:
    kubectl = place.cluster.kubectl
    kubectl("create", "serviceaccount", "passing", "-n", place.name)
    account = f"--serviceaccount={place.name}:passing"
    kubectl("create", "rolebinding", "passing", "--clusterrole=retl-viewer", "-n", place.name, account)
    caller = await identify(place.token("passing"))
    assert await review.may(caller, place.name, LIST_SYNCS)
    kubectl("delete", "rolebinding", "passing", "-n", place.name)
    assert not await review.may(caller, place.name, LIST_SYNCS)


async def test_a_workspace_is_a_namespace_by_name_or_uid(
    place: Place, identify: Identify, review: Review, connections: Connections
) -> None:
    namespaces = Namespaces(connections.own, review)
    caller = await identify(place.token("default"))
    by_name = await namespaces.find(caller, place.name)
    uid = place.cluster.kubectl("get", "namespace", place.name, "-o", "jsonpath={.metadata.uid}")
    assert (by_name.name, by_name.uid) == (place.name, UUID(uid))
    assert await namespaces.find(caller, uid) == by_name
    assert await namespaces.find(caller, uid.upper()) == by_name


async def test_nobody_learns_which_namespaces_there_are(
    place: Place, identify: Identify, review: Review, connections: Connections
) -> None:
    namespaces = Namespaces(connections.own, review)
    nobody = await identify(place.token("default"))
    there = await review.forbidden(nobody, place.name, READ_LETTERS)
    phantom = await namespaces.find(nobody, "no-such-namespace")
    assert (await review.forbidden(nobody, phantom.name, READ_LETTERS)).document() == there.document()
    for name in (str(uuid4()), "No Namespace/../x", "x" * 64):
        with pytest.raises(Problem) as problem:
            await namespaces.find(nobody, name)
        assert problem.value.document() == there.document(), name


async def test_who_may_list_syncs_everywhere_learns_that_a_namespace_is_missing(
    place: Place, identify: Identify, review: Review, connections: Connections
) -> None:
    kubectl = place.cluster.kubectl
    kubectl("create", "serviceaccount", "overseer", "-n", place.name)
    kubectl(
        *("create", "clusterrolebinding", f"overseer-{place.name}", "--clusterrole=retl-viewer"),
        f"--serviceaccount={place.name}:overseer",
    )
    overseer = await identify(place.token("overseer"))
    for name in ("no-such-namespace", str(uuid4()), "No Namespace"):
        with pytest.raises(Problem) as problem:
            await Namespaces(connections.own, review).find(overseer, name)
        assert (problem.value.status, problem.value.detail) == (404, "there is no such workspace"), name
    kubectl("delete", "clusterrolebinding", f"overseer-{place.name}")


async def test_a_uid_means_nothing_once_its_namespace_was_made_anew(
    place: Place, identify: Identify, review: Review, connections: Connections
) -> None:
    kubectl, name = place.cluster.kubectl, f"again-{secrets.token_hex(3)}"
    time = [0.0]
    namespaces = Namespaces(connections.own, review, lambda: time[0])
    caller = await identify(place.token("default"))
    kubectl("create", "namespace", name)
    uid = kubectl("get", "namespace", name, "-o", "jsonpath={.metadata.uid}")
    assert (await namespaces.find(caller, uid)).name == name
    kubectl("delete", "namespace", name)
    kubectl("create", "namespace", name)
    time[0] += 60
    with pytest.raises(Problem):
        await namespaces.find(caller, uid)
    kubectl("delete", "namespace", name, "--wait=false")


async def test_a_key_of_the_command_line_is_as_good_as_any(
    place: Place, identify: Identify, connections: Connections, tmp_path: Path
) -> None:
    kubectl, name = place.cluster.kubectl, f"keys-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)

    def apikey(*words: str) -> Answer:
        return retl("apikey", *words, "-n", name, cwd=tmp_path, KUBECONFIG=str(place.cluster.kubeconfig))

    made = apikey("create", "--role", "operator", "--description", "nightly job")
    assert made.code == 0, made.err
    caller = await identify(made.out.strip())
    assert f"key {caller.key} speaks for ServiceAccount {name}/retl-operator until" in made.err
    assert await list_syncs(connections, caller, name) == 200
    assert made.out.strip()[22:] not in made.err

    again = apikey("create", "--role", "operator", "--expires", "1h", "-o", "json").object
    assert (await identify(again["key"])).username == caller.username
    [first, second] = sorted(
        apikey("list", "-o", "json").objects, key=lambda key: str(key["description"]), reverse=True
    )
    assert (first["id"], first["state"], first["description"]) == (caller.key, "valid", "nightly job")
    assert second == {name: value for name, value in again.items() if name != "key"} | {"state": "valid"}
    assert second["expires_at"] < first["expires_at"]
    assert "nightly job" in apikey("list").out

    revoked = retl("apikey", "revoke", caller.key, cwd=tmp_path, KUBECONFIG=str(place.cluster.kubeconfig))
    assert revoked.out == f"key {caller.key} is revoked\n"
    assert (await refused(identify, made.out.strip()))["status"] == 401
    assert [key["id"] for key in apikey("list", "-o", "json").objects] == [again["id"]]
    kubectl("delete", "serviceaccount", "retl-operator", "-n", name)
    assert [key["state"] for key in apikey("list", "-o", "json").objects] == ["its ServiceAccount is gone"]
    kubectl("delete", "namespace", name, "--wait=false")


def test_a_key_has_the_role_of_the_installation_that_is_named(place: Place, tmp_path: Path) -> None:
    """Of any other role, the pod of an installation with a nameOverride could not speak for the key."""
    where = ["--operator-name", "growth", "-n", place.name]
    made = retl("apikey", "create", "--role", "viewer", *where, cwd=tmp_path, KUBECONFIG=str(place.cluster.kubeconfig))
    assert f"speaks for ServiceAccount {place.name}/growth-viewer until" in made.err
    binding = ["get", "rolebinding", "growth-viewer", "-n", place.name, "-o", "jsonpath={.roleRef.name}"]
    assert place.cluster.kubectl(*binding) == "growth-viewer"


def test_a_damaged_key_is_shown_so_that_it_can_be_mended(place: Place, tmp_path: Path) -> None:
    damaged = keys.id_of(place.key(data={"service-account": ""}))
    shown = retl("apikey", "list", cwd=tmp_path, KUBECONFIG=str(place.cluster.kubeconfig), COLUMNS="200")
    [line] = [line for line in shown.out.splitlines() if line.startswith(str(damaged))]
    assert "service-account is not NAMESPACE/NAME" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["create"], "give --role, or --service-account"),
        (["create", "--role", "viewer", "--service-account", "clerk"], "give --role, or --service-account"),
        (["create", "--service-account", "nobody-there"], "there is no ServiceAccount nobody-there in"),
        (["create", "--role", "viewer", "--expires", "367d"], "at most 366d"),
        (["create", "--role", "viewer", "--expires", "soon"], "write a duration such as"),
        (["create", "--role", "viewer", "--description", "x" * 256], "at most 255 characters"),
        (["revoke", "no-id"], "no id of a key; retl apikey list shows them"),
        (["revoke", "a" * 16], "there is no such key in namespace retl-system"),
    ],
)
def test_the_command_line_says_what_to_change(place: Place, words: list[str], told: str, tmp_path: Path) -> None:
    where = ["-n", place.name] if words[0] == "create" else []
    answer = retl("apikey", *words, *where, cwd=tmp_path, KUBECONFIG=str(place.cluster.kubeconfig))
    assert answer.code == 2, answer
    assert told in " ".join(answer.err.split())


def test_a_binding_of_the_same_name_is_left_alone(place: Place, tmp_path: Path) -> None:
    account = f"--serviceaccount={place.name}:clerk"
    place.cluster.kubectl("create", "rolebinding", "retl-admin", "--clusterrole=retl-viewer", account, "-n", place.name)
    environment = {"KUBECONFIG": str(place.cluster.kubeconfig)}
    answer = retl("apikey", "create", "--role", "admin", "-n", place.name, cwd=tmp_path, **environment)
    assert (answer.code, answer.out) == (2, "")
    assert "RoleBinding retl-admin" in answer.err


async def test_a_client_certificate_of_the_pod_lends_its_rights_to_nobody(tmp_path: Path) -> None:
    authority = Authority.create()
    (tmp_path / "ca.crt").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    flags = {"kube-apiserver": [f"--client-ca-file={tmp_path / 'ca.crt'}"]}
    with ControlPlane(crds=PROJECT / "crds", flags=flags) as plane:
        kubeconfig = authority.kubeconfig(plane.kubeconfig, tmp_path)
        worthless = Caller("", None, {"Authorization": "Bearer worthless"})
        async with connected(kubeconfig) as connections:
            # What would happen without connections of nobody: the token is not even looked at.
            assert await list_syncs(Connections(connections.own, connections.own), worthless, "default") == 200
            assert await list_syncs(connections, worthless, "default") == 401
            identify = Identify(connections.own, connections.bare, KEYS)
            assert (await refused(identify, "worthless"))["status"] == 401


@dataclass(frozen=True)
class Authority:
    """Signs a client certificate of a member of system:masters."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
        return cls(key, cls._sign(name, key.public_key(), name, key, authority=True))

    def kubeconfig(self, admin: Path, directory: Path) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
                x509.NameAttribute(NameOID.COMMON_NAME, "pod"),
            ]
        )
        certificate = self._sign(name, key.public_key(), self.certificate.subject, self.key)
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        (directory / "pod.crt").write_bytes(certificate.public_bytes(pem))
        (directory / "pod.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        config = yaml.safe_load(admin.read_text())
        files = {"client-certificate": str(directory / "pod.crt"), "client-key": str(directory / "pod.key")}
        config["users"][0]["user"] = files
        (directory / "pod.kubeconfig").write_text(yaml.safe_dump(config))
        return directory / "pod.kubeconfig"

    @staticmethod
    def _sign(
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SOON)
            .not_valid_after(now + SOON)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
