"""What connectors share that speak HTTP: where they may call, tokens, what a vendor's answers mean."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from retl.destinations.base import LoginRefused, TryLater
from retl.destinations.web.egress import Egress
from retl.destinations.web.login import Bearer, Fixed, grant, signed_jwt
from retl.destinations.web.service import Service
from retl.destinations.web.transport import Reply, Request, Transport
from retl.errors import DestinationError, InvalidInput
from tests.destinations.simulators.base import Fault, Handler, Simulator, reply

TIMEOUT = timedelta(seconds=5)


class Vendor(Simulator):
    """An API behind OAuth 2.0 client credentials."""

    free = ("/token",)

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", "/token", self._token),
            ("POST", "/token/echo", self._echo),
            ("GET", "/things", self._things),
            ("POST", "/things", self._things),
        ]

    def authorized(self, request: web.Request) -> bool:
        return self.has_token(request)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["client_secret"] != "hunter2-secret":
            return reply({"error": "invalid_client", "error_description": "hunter3-wrong is wrong"}, 400)
        return reply({"access_token": self.issue_token(), "expires_in": 3600})

    async def _echo(self, request: web.Request) -> web.Response:
        """Repeats all that it was asked with, as debugging proxies do."""
        said = f"{await request.text()} {request.headers.get('Authorization', '')}"
        return reply({"error": said, "error_description": f"why: {said}"}, 400)

    async def _things(self, request: web.Request) -> web.Response:
        return reply([1])


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor().serving() as served:
        yield served


def service(vendor: Vendor, secret: str = "hunter2-secret") -> Service:
    form = {"grant_type": "client_credentials", "client_id": "c", "client_secret": secret}
    fetch = grant(lambda *call: made.send(*call), "POST /token", f"{vendor.url}/token", lambda: form)
    made = Service(vendor.url, Bearer(fetch, [secret]), timeout=TIMEOUT)
    return made


async def test_calls_that_need_a_token_at_once_fetch_one(vendor: Vendor) -> None:
    api = service(vendor)
    await asyncio.gather(*(api.call("GET", "/things") for _ in range(8)))
    assert [call.path for call in vendor.calls].count("/token") == 1
    await api.close()


async def test_a_token_that_expires_is_renewed_once_for_all_calls(vendor: Vendor) -> None:
    api = service(vendor)
    await api.call("GET", "/things")
    vendor.expire_tokens()
    await asyncio.gather(*(api.call("GET", "/things") for _ in range(8)))
    assert [call.path for call in vendor.calls].count("/token") == 2
    await api.close()


async def test_a_client_that_is_refused_ends_the_run_without_its_secret(vendor: Vendor) -> None:
    api = service(vendor, "hunter3-wrong")
    with pytest.raises(LoginRefused, match=r"gave no token: status 400 \(invalid_client\)") as caught:
        await api.call("GET", "/things")
    assert "hunter3" not in str(caught.value)
    await api.close()


async def test_an_endpoint_that_repeats_what_it_was_asked_with_shows_no_secret(vendor: Vendor) -> None:
    secrets = {"assertion": "signed-jwt", "client_secret": "hunter3-wrong", "refresh_token": "once-given"}
    basic = f"Basic {base64.b64encode(b'c:in-the-header').decode()}"
    transport = Transport(TIMEOUT, headers={"Authorization": basic}, redact=str)
    fetch = grant(transport.send, "POST /token", f"{vendor.url}/token/echo", lambda: {"grant_type": "x", **secrets})
    with pytest.raises(LoginRefused) as caught:
        await Bearer(fetch, [basic]).headers()
    assert caught.value.said.startswith(": why: grant_type=x")
    for secret in (*secrets.values(), basic):
        assert secret not in f"{caught.value}{caught.value.said}"
    await transport.close()


@pytest.mark.parametrize(
    ("status", "error"), [(429, "RATE_LIMIT"), (503, "DESTINATION_UNAVAILABLE"), (408, "DESTINATION_UNAVAILABLE")]
)
async def test_a_call_that_failed_for_the_vendors_sake_may_be_made_later(
    vendor: Vendor, status: int, error: str
) -> None:
    api = service(vendor)
    vendor.faults.next.append(Fault(status, {"Retry-After": "7"}, {"message": "busy"}))
    with pytest.raises(TryLater) as caught:
        await api.call("GET", "/things")
    assert (caught.value.code, caught.value.retry_after, caught.value.said) == (error, timedelta(seconds=7), ": busy")
    await api.close()


@pytest.mark.parametrize("error", ["hunter2-secret", "the secret hunter2-secret is wrong"])
async def test_a_secret_that_the_token_endpoint_repeats_is_shown_nowhere(error: str) -> None:
    async def send(where: str, method: str, request: Request) -> Reply:
        return Reply(401, {}, json.dumps({"error": error, "message": "x" * 480 + " hunter2-secret"}).encode())

    login = Bearer(grant(send, "POST /token", "https://x.example/token", dict), ["hunter2-secret"])
    with pytest.raises(LoginRefused, match="gave no token: status 401") as caught:
        await login.headers()
    assert "hunter2" not in f"{caught.value}{caught.value.said}"


async def test_a_reply_that_is_lost_leaves_the_outcome_unknown(vendor: Vendor) -> None:
    api = service(vendor)
    vendor.faults.next.append(Fault(drop=True, effect=True))
    with pytest.raises(TryLater) as caught:
        await api.call("POST", "/things", json=[])
    assert caught.value.code == "OUTCOME_UNKNOWN"
    await api.close()


async def test_words_hide_secrets_that_were_fetched(vendor: Vendor) -> None:
    api = service(vendor)
    await api.call("GET", "/things")
    [token] = vendor.tokens
    assert token not in api.redact(f"bad token {token}")
    await api.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://127.1:1/",
        "http://127\u30020\u30020\u30021:1/",
        "http://127\uff611:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://localhost:1/",
    ],
)
async def test_addresses_that_are_not_allowed_are_not_called(url: str) -> None:
    transport = Transport(TIMEOUT, headers={}, redact=str, egress=Egress(allowed=()))
    with pytest.raises((DestinationError, TryLater), match="RETL_ALLOWED_PRIVATE_NETWORKS"):
        await transport.send("GET there", "GET", Request(url))
    await transport.close()


async def test_a_url_with_a_login_in_it_is_told_where_logins_belong() -> None:
    transport = Transport(TIMEOUT, headers={}, redact=str, egress=Egress())
    with pytest.raises(DestinationError, match=r"GET there: the URL has a login .* not config\.url") as caught:
        await transport.send("GET there", "GET", Request("http://jane:hush@127.0.0.1:1/"))
    assert "hush" not in str(caught.value)
    await transport.close()


@pytest.mark.parametrize(
    ("allowed", "address", "may"),
    [
        (None, "10.0.0.1", True),
        (None, "127.0.0.1", True),
        (None, "169.254.169.254", False),
        (None, "fe80::1%eth0", False),
        ("", "10.0.0.1", False),
        ("", "8.8.8.8", True),
        ("", "::ffff:10.0.0.1", False),
        ("10.0.0.0/8, fd00::/8", "10.9.9.9", True),
        ("10.0.0.0/8, fd00::/8", "fd00::7", True),
        ("10.0.0.0/8", "192.168.0.1", False),
        ("169.254.0.0/16", "169.254.169.254", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        (None, "64:ff9b::a9fe:a9fe", False),  # 169.254.169.254 behind a gateway of NAT64
        (None, "::a9fe:a9fe", False),
        ("", "64:ff9b::808:808", True),
        (None, "::ffff:0:a9fe:a9fe", False),
        ("", "64:ff9b:1:a9fe:a9:fe00::", False),
        ("", "fec0::1", False),
        ("", "168.63.129.16", False),
        (None, "168.63.129.16", False),
        (None, "fd00:ec2::254", False),
        ("fd00:ec2::/32", "fd00:ec2::254", True),
        ("", "2002:a00:1::", False),  # 10.0.0.1 in 6to4
        ("", "::1", False),
        ("", "100.64.0.1", False),
        ("", "0.0.0.0", False),
    ],
)
def test_which_addresses_may_be_called(allowed: str | None, address: str, may: bool) -> None:
    environment = {} if allowed is None else {"RETL_ALLOWED_PRIVATE_NETWORKS": allowed}
    assert Egress.of_environment(environment).permits(address) is may


def test_a_network_that_is_none_is_told_with_what_to_write() -> None:
    with pytest.raises(InvalidInput, match=r"RETL_ALLOWED_PRIVATE_NETWORKS: .* write networks such as"):
        Egress.of_environment({"RETL_ALLOWED_PRIVATE_NETWORKS": "ten"})


def test_a_signed_jwt_can_be_verified_with_the_public_key() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    head, claims, signature = signed_jwt(pem, {"iss": "c"}).split(".")
    decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (head, claims, signature)]
    assert json.loads(decoded[0]) == {"alg": "RS256", "typ": "JWT"}
    assert json.loads(decoded[1]) == {"iss": "c"}
    key.public_key().verify(decoded[2], f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("text", ["", "no key"])
def test_a_key_that_is_none_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(InvalidInput, match="no unencrypted RSA key in PEM"):
        signed_jwt(text, {})


async def test_a_fixed_login_is_not_renewed() -> None:
    login = Fixed({"X-Api-Key": "k"}, ["k"])
    assert not await login.renew(await login.headers())
