"""What a bucket's errors become, and which logins and servers are used at all."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from retl.destinations.base import Batch, LoginRefused, Target, TryLater
from retl.destinations.gcs.connector import identity
from retl.destinations.objects.access import check_identity
from retl.destinations.registry import DESTINATIONS
from retl.destinations.web.egress import EgressRefused
from retl.errors import DestinationError, DestinationUnavailable
from tests.destinations.simulators.base import Fault
from tests.destinations.simulators.objects import Gate

TARGET = Target("accounts", "changes", ("id",), ("id", "name"), timedelta(seconds=5))
KEY = {"access_key_id": "AKIATEST", "secret_access_key": "hunter2-secret"}
BATCH = Batch(1, payloads=[b'{"id":"secret-value"}'], operation="upsert", ids=["1"])


class Closed(Gate):
    """A gate with nothing behind it: lists are empty, and whatever is written fails as it is told."""

    def __init__(self) -> None:
        super().__init__(0)

    async def _pass_on(self, request: web.Request) -> web.Response:
        found = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name></ListBucketResult>'
        return web.Response(text=found, content_type="application/xml")


@pytest_asyncio.fixture
async def gate() -> AsyncIterator[Gate]:
    async with Closed().serving() as served:
        yield served


def connector(gate: Gate, login: Mapping[str, str] = KEY, **config: Any) -> Any:
    given = {"bucket": "exports", "endpoint": gate.url, "format": "jsonl", **config}
    return DESTINATIONS.code("s3")(DESTINATIONS.check("s3", given), DESTINATIONS.login("s3", "login", login))


def error(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>secret-value</Message></Error>"


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "AccessDenied", LoginRefused, "403 AccessDenied; check the login"),
        (401, "", LoginRefused, "401"),
        (400, "ExpiredToken", LoginRefused, "400 ExpiredToken"),
        (404, "NoSuchBucket", DestinationError, "there is no such bucket"),
        (301, "PermanentRedirect", DestinationError, "correct config.region"),
        (400, "EntityTooLarge", DestinationError, "takes no such file"),
        (503, "SlowDown", TryLater, "503 SlowDown"),
        (429, "", TryLater, "429"),
        (500, "InternalError", TryLater, "500 InternalError"),
    ],
)
async def test_an_error_is_told_in_our_words_with_the_vendors_code(
    gate: Gate, status: int, code: str, kind: type[Exception], words: str
) -> None:
    opened = connector(gate)
    await opened.open(TARGET)
    gate.faults.next.append(Fault(status, {}, error(code)))
    with pytest.raises(kind) as raised:
        await opened.write(BATCH)
    assert words in str(raised.value)
    assert "secret-value" not in str(raised.value)
    if isinstance(raised.value, TryLater):
        limited = code == "SlowDown" or status == 429
        assert raised.value.code == ("RATE_LIMIT" if limited else "DESTINATION_UNAVAILABLE")


@pytest.mark.parametrize(
    ("status", "kind"), [(403, LoginRefused), (404, DestinationError), (503, DestinationUnavailable)]
)
async def test_what_is_wrong_with_a_bucket_is_found_before_rows_are_read(
    gate: Gate, status: int, kind: type[Exception]
) -> None:
    gate.faults.next.append(Fault(status))
    with pytest.raises(kind):
        await connector(gate).open(TARGET)
    gate.faults.next.append(Fault(status))
    with pytest.raises(kind):
        await connector(gate).server()


async def test_a_server_that_is_not_there_is_unavailable(gate: Gate) -> None:
    with pytest.raises(DestinationUnavailable, match="no reply"):
        await connector(gate, endpoint="http://127.0.0.1:1").open(TARGET)


async def test_half_a_key_is_no_login(gate: Gate) -> None:
    with pytest.raises(DestinationError, match="the Secret lacks secret_access_key"):
        await connector(gate, {"access_key_id": "AKIATEST"}).open(TARGET)


async def test_the_machines_own_credentials_are_never_asked_for(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "RETL_ALLOWED_PRIVATE_NETWORKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LoginRefused, match=r"set credentials.secretRef"):
        await connector(gate, {}).open(TARGET)
    assert not gate.calls


def test_a_workload_identity_is_a_login_and_so_is_a_metadata_service_that_may_be_called() -> None:
    check_identity("here", "TOKEN_FILE", environment={"TOKEN_FILE": "/token"})
    check_identity("here", "TOKEN_FILE", environment={"RETL_ALLOWED_PRIVATE_NETWORKS": "169.254.169.254/32"})
    with pytest.raises(LoginRefused):
        check_identity("here", "TOKEN_FILE", environment={"RETL_ALLOWED_PRIVATE_NETWORKS": "10.0.0.0/8"})


@pytest.mark.parametrize("endpoint", ["http://169.254.169.254", "http://2852039166", "http://[fd00:ec2::254]"])
async def test_a_server_that_may_not_be_called_is_not_called(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("RETL_ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8")
    with pytest.raises(EgressRefused):
        await connector(gate, endpoint=endpoint).open(TARGET)


@pytest.mark.parametrize(
    ("name", "config", "login"),
    [
        ("gcs", {"bucket": "exports"}, {"service_account_key": "{not a key: s3cret}"}),
        ("azure", {"account": "exports", "container": "crm"}, {"account_key": "not base64: s3cret"}),
    ],
)
async def test_a_key_that_is_none_is_said_without_it(name: str, config: dict[str, str], login: dict[str, str]) -> None:
    made = DESTINATIONS.code(name)(DESTINATIONS.check(name, config), DESTINATIONS.login(name, "login", login))
    with pytest.raises(DestinationError) as raised:
        await made.open(TARGET)
    assert "s3cret" not in str(raised.value)
    await made.close()


def test_a_google_key_says_who_it_is_and_not_where_to_call() -> None:
    who = {"type": "service_account", "private_key": "k", "private_key_id": "1", "client_email": "a@b.example"}
    where = {"gcs_base_url": "https://10.0.0.1", "token_uri": "https://10.0.0.1/token", "disable_oauth": True}
    assert json.loads(identity(json.dumps(who | where))) == who
