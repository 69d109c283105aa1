"""Who calls: tokens by client credentials, API keys, signatures, certificates; and what of it is never shown."""

import asyncio
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from retl.destinations.base import ACKNOWLEDGED, BatchRejected, LoginRefused, TryLater
from retl.destinations.registry import DESTINATIONS
from retl.destinations.web.signature import Signature, signing_key
from retl.destinations.web.transport import Request
from retl.errors import DestinationError, DestinationUnavailable, InvalidInput
from tests.destinations.http.calling import CLIENT_LOGIN, connector, send
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.http import RestApi

JANE = {"id": 1, "name": "Jane"}


def oauth2(api: RestApi, **more: Any) -> dict[str, Any]:
    return {"url": f"{api.url}/any/x", "oauth2": {"tokenUrl": f"{api.url}/token", **more}}


@pytest.mark.parametrize("client", ["header", "body"])
async def test_a_token_is_fetched_with_the_clients_secret(api: RestApi, client: str) -> None:
    settings = oauth2(api, client=client, scope="write read", parameters={"audience": "crm"})
    async with connector(settings, CLIENT_LOGIN) as made:
        assert await send(made, JANE) == [ACKNOWLEDGED]
    form = api.bodies[0]
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", "write read", "crm")
    assert ("client_secret" in form) is (client == "body")


async def test_a_token_that_expires_in_mid_run_is_renewed_once_for_all_calls(api: RestApi) -> None:
    async with connector(oauth2(api), CLIENT_LOGIN) as made:
        await send(made, JANE)
        api.expire_tokens()
        assert await asyncio.gather(*(send(made, JANE) for _ in range(6))) == [[ACKNOWLEDGED]] * 6
    assert [call.path for call in api.calls].count("/token") == 2


async def test_a_client_that_is_refused_is_told_before_the_run(api: RestApi) -> None:
    with pytest.raises(LoginRefused, match=r"POST http://127.0.0.1:\d+/token gave no token: status 401") as raised:
        async with connector(oauth2(api), {"client_id": "retl", "client_secret": "wrong-s3cret"}):
            pass
    assert "s3cret" not in str(raised.value)


async def test_tokens_that_cannot_be_had_now_may_be_had_later(api: RestApi) -> None:
    with pytest.raises(DestinationUnavailable):
        async with connector(
            {"url": f"{api.url}/any/x", "oauth2": {"tokenUrl": "http://127.0.0.1:1/token"}}, CLIENT_LOGIN
        ):
            pass


async def test_an_api_key_may_stand_in_the_query_and_is_shown_nowhere(api: RestApi) -> None:
    config = {"url": f"{api.url}/any/x?v=1", "tokenQuery": "api_key", "headers": {"Authorization": "Bearer test-token"}}
    async with connector(config, {"token": "k3y&="}) as made:
        await send(made, JANE)
        assert api.query == [{"v": "1", "api_key": "k3y&="}]
        assert "k3y" not in made._client.redact("GET /x?api_key=k3y%26%3D")
        api.faults.next.append(Fault(503))
        with pytest.raises(TryLater) as raised:
            await send(made, JANE)
    assert "k3y" not in str(raised.value)


async def test_calls_are_signed_as_the_endpoint_verifies_it(api: RestApi) -> None:
    api.signing_key = b"whsec"
    config = {
        "url": f"{api.url}/any/x",
        "signature": {"value": "t={timestamp},v1={signature}", "content": "{timestamp}.{body}"},
    }
    async with connector(config, {"token": "test-token", "signing_key": "whsec"}) as made:
        assert await send(made, JANE) == [ACKNOWLEDGED]
    async with connector(config, {"token": "test-token", "signing_key": "another"}) as made:
        with pytest.raises(BatchRejected, match="bad signature"):
            await send(made, JANE)


def test_a_signature_is_the_one_that_rfc_4231_and_github_publish() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rfc = Signature(bytes([0x0B]) * 20).headers("POST", Request("http://x", {}, b"Hi There"), now)
    assert rfc == {"X-Signature": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"}
    github = Signature(b"It's a Secret to Everybody", "X-Hub-Signature-256", "sha256={signature}")
    assert github.headers("POST", Request("http://x", {}, b"Hello, World!"), now) == {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    }


def test_a_signature_covers_what_it_is_told_to() -> None:
    now = datetime.fromtimestamp(1_700_000_000, UTC)
    request = Request("https://crm.example/a%2Fb?x=1", {}, b"{timestamp}")
    whole = Signature(
        b"k", content="{method}\n{path}\n{timestamp}\n{body}", timestamp_header="X-Time", encoding="base64"
    )
    plain = Signature(b"k", encoding="base64")
    signed = b"PUT\n/a%2Fb?x=1\n1700000000\n{timestamp}"
    headers = whole.headers("PUT", request, now)
    assert headers["X-Time"] == "1700000000"
    assert headers["X-Signature"] == plain.headers("", Request("http://x", {}, signed), now)["X-Signature"]


@pytest.mark.parametrize(("text", "written"), [("6b", "hex"), ("aw==", "base64"), ("k", "text")])
def test_a_signing_key_is_read_as_it_is_written(text: str, written: Any) -> None:
    assert signing_key(text, written) == b"k"


def test_a_signing_key_that_is_none_is_told_without_showing_it() -> None:
    with pytest.raises(InvalidInput, match="signing_key is not hex") as raised:
        signing_key("s3cret", "hex")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "login", "words"),
    [
        ({"oauth2": {"tokenUrl": "http://x/token"}}, {}, "config.oauth2 needs the keys client_id and client_secret"),
        ({"tokenQuery": "key"}, {}, "config.tokenQuery needs the key token"),
        ({"signature": {}}, {}, "config.signature needs the key signing_key"),
        ({}, {"ca_certificate": "s3cret"}, "ca_certificate is no certificate in PEM"),
        ({}, {"client_certificate": "s3cret", "client_key": "s3cret"}, "no certificate and its unencrypted key"),
    ],
)
async def test_a_secret_that_does_not_fit_the_settings_is_told(config: Any, login: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        async with connector({"url": "http://127.0.0.1:9/x", **config}, login):
            pass
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("key", ["client_id", "client_secret", "client_key", "client_certificate", "username"])
def test_keys_of_the_secret_that_belong_together_are_asked_for(key: str) -> None:
    with pytest.raises(InvalidInput, match="belong together"):
        DESTINATIONS.login("http", "crm", {key: "x"})


@dataclass(frozen=True)
class Authority:
    """A certificate authority and what it signed, in PEM.

    Attributes:
        server, client: certificate and key.
    """

    certificate: str
    server: tuple[str, str]
    client: tuple[str, str]


@pytest.fixture(scope="module")
def authority() -> Authority:
    root, root_key = _certificate("authority", None)
    signed = [_certificate(name, (root, root_key)) for name in ("server", "client")]
    server, client = ((_pem(certificate), _key_pem(key)) for certificate, key in signed)
    return Authority(_pem(root), server, client)


Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _certificate(name: str, by: Signed | None) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((by[1] if by else key).public_key()), critical=False
        )
    )
    return made.sign(by[1] if by else key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@asynccontextmanager
async def over_tls(
    authority: Authority, directory: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[str]:
    """The URL of an endpoint that demands a client's certificate."""
    file = directory / "server.pem"
    file.write_text("".join(authority.server))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    context.load_cert_chain(file)

    async def taken(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/x", taken)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/x"
    finally:
        await runner.cleanup()


async def test_a_server_of_ones_own_authority_is_trusted_and_shown_the_clients_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.client
    login = {"ca_certificate": authority.certificate, "client_certificate": certificate, "client_key": key}
    async with over_tls(authority, tmp_path) as url, connector({"url": url}, login) as made:
        assert await send(made, JANE) == [ACKNOWLEDGED]


async def test_a_server_that_nobody_vouches_for_gets_nothing(authority: Authority, tmp_path: Path) -> None:
    async with over_tls(authority, tmp_path) as url, connector({"url": url}) as made:
        with pytest.raises(TryLater, match="CERTIFICATE_VERIFY_FAILED"):
            await send(made, JANE)


async def test_a_version_of_tls_that_is_too_old_is_not_spoken(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.client
    login = {"ca_certificate": authority.certificate, "client_certificate": certificate, "client_key": key}
    config = {"tls": {"minimumVersion": "1.3"}}
    async with (
        over_tls(authority, tmp_path, ssl.TLSVersion.TLSv1_2) as url,
        connector({"url": url, **config}, login) as made,
    ):
        with pytest.raises(TryLater, match="cannot be reached"):
            await send(made, JANE)


@pytest.mark.parametrize("allowed", ["", "10.0.0.0/8"])
async def test_a_runner_that_may_not_call_private_addresses_sends_nothing_there(
    api: RestApi, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv("RETL_ALLOWED_PRIVATE_NETWORKS", allowed)
    with pytest.raises(DestinationError, match=r"127\.0\.0\.1, an address that is not public"):
        async with connector(oauth2(api), CLIENT_LOGIN):
            pass
    async with connector({"url": f"{api.url}/any/x"}, {"token": "test-token"}) as made:
        with pytest.raises(DestinationError, match=r"runner\.allowedPrivateNetworks"):
            await send(made, JANE)
    assert api.calls == []


async def test_a_private_network_that_is_allowed_is_called(api: RestApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETL_ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/8,127.0.0.0/8")
    async with connector(oauth2(api), CLIENT_LOGIN) as made:
        assert await send(made, JANE) == [ACKNOWLEDGED]


async def test_basic_login_is_as_it_was(api: RestApi) -> None:
    api.authorized = lambda request: (  # type: ignore[method-assign]
        request.headers.get("Authorization") == "Basic " + b64encode(b"jane:pw").decode()
    )
    async with connector({"url": f"{api.url}/any/x"}, {"username": "jane", "password": "pw"}) as made:
        assert await send(made, JANE) == [ACKNOWLEDGED]
