"""TLS of the state service: whom its clients believe, and how a certificate is replaced while all goes on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from retl.controller.state_reads import StateReads
from retl.errors import InvalidInput, StateError
from retl.rest.certificate import Certificate, CertificateFiles, files_of
from retl.state import wire
from retl.state.http import HttpStateStore
from retl.state.reader_http import HttpStateReader
from retl.state.sql import SqlStateStore
from retl.state.trust import CaFile, verification
from tests.postgres import free_port
from tests.rest.certificates import Authority, authority
from tests.rest.process import api
from tests.rest.service import serving
from tests.rest.test_serve import UNREACHABLE_CLUSTER
from tests.unit.state.databases import request

AT_ONCE = timedelta(0)


@pytest.fixture
def ca() -> Authority:
    return authority()


@pytest.fixture
def files(ca: Authority, tmp_path: Path) -> CertificateFiles:
    """A certificate of that CA."""
    ca.issue(tmp_path)
    return CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


@pytest.fixture
async def secure(database: SqlStateStore, files: CertificateFiles) -> AsyncIterator[str]:
    """URL of the state service, which speaks TLS."""
    async with serving(database, certificate=Certificate(files)) as url:
        yield url


async def shown(url: str) -> x509.Certificate:
    """The certificate that the service shows to a new connection."""
    address = httpx.URL(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(found)


async def test_a_runner_works_over_tls_with_the_ca_that_it_was_told(secure: str, ca: Authority, token: Path) -> None:
    runner = HttpStateStore(secure, token, ca=ca.certificate)
    claim = await runner.claim(request())
    assert not (await runner.waiting(claim)).keys
    await runner.close()


@pytest.mark.parametrize("told", ["another CA", "the system's CAs"])
async def test_a_runner_sends_its_token_to_nobody_whose_certificate_it_does_not_believe(
    secure: str, token: Path, told: str
) -> None:
    runner = HttpStateStore(secure, token, ca=authority().certificate if told == "another CA" else None)
    async with asyncio.timeout(10):  # not until patience ends: to wait mends nothing
        with pytest.raises(
            StateError, match=f"{secure}: its certificate is not believed: .*RETL_STATE_CA_FILE"
        ) as said:
            await runner.claim(request())
    assert said.value.retriable  # the next attempt's pod is told the CA of then
    await runner.close()


async def test_a_certificate_of_another_name_is_not_believed(
    ca: Authority, database: SqlStateStore, files: CertificateFiles, token: Path
) -> None:
    async with serving(database, certificate=Certificate(files)) as url:
        runner = HttpStateStore(url.replace("127.0.0.1", "localhost"), token, ca=ca.certificate)
        with pytest.raises(StateError, match="not valid for 'localhost'"):
            await runner.claim(request())
        await runner.close()


async def test_a_client_with_the_wrong_scheme_is_told_the_right_one(secure: str, service: str, token: Path) -> None:
    for url, right in ((secure.replace("https", "http"), "https://"), (service.replace("http", "https"), "http://")):
        runner = HttpStateStore(url, token, patience=AT_ONCE)
        with pytest.raises(StateError, match=f"its URL must begin with {right}$"):
            await runner.claim(request())
        await runner.close()


async def test_a_new_certificate_is_shown_without_a_restart_and_connections_go_on(
    secure: str, ca: Authority, token: Path, tmp_path: Path
) -> None:
    runner = HttpStateStore(secure, token, ca=ca.certificate)
    claim = await runner.claim(request())
    before = await shown(secure)
    renewed = ca.issue(tmp_path)
    assert await shown(secure) == renewed != before
    await runner.waiting(claim)
    await runner.close()


async def test_half_of_a_new_certificate_leaves_the_one_before_in_place(
    secure: str, ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, key = await shown(secure), (tmp_path / "tls.key").read_bytes()
    renewed = ca.issue(tmp_path)
    new_key = (tmp_path / "tls.key").read_bytes()
    (tmp_path / "tls.key").write_bytes(key)
    assert await shown(secure) == before
    assert "the certificate before it stays" in caplog.text
    (tmp_path / "tls.key").write_bytes(new_key)
    assert await shown(secure) == renewed


async def test_the_controller_follows_a_ca_that_is_replaced(
    database: SqlStateStore, ca: Authority, files: CertificateFiles, token: Path, tmp_path: Path
) -> None:
    told = tmp_path / "ca.crt"
    told.write_text(authority().certificate)
    now = 0.0
    async with serving(database, certificate=Certificate(files)) as url:
        reads = StateReads(url, token, lambda: now, ca=CaFile(told, "--state-ca-file").text)
        assert await reads._ask("POST", "/progress", {"runs": []}) is None
        assert "its certificate is not believed" in reads._trouble
        told.write_text(ca.certificate)
        now = 60.0
        answer = await reads._ask("POST", "/progress", {"runs": []})
        assert wire.RunsProgress.model_validate_json(answer or b"").runs == {}
        await reads.close()


async def test_people_read_with_a_ca_and_through_a_tunnel_without_one(secure: str, ca: Authority) -> None:
    for verify in (verification(secure, ca.certificate, "ca"), False):
        reader = HttpStateReader(secure, "token-of-growth", verify)
        assert await reader.runs(namespace="growth") == []
        await reader.close()
    stranger = HttpStateReader(secure, "token-of-growth", verification(secure, None, "ca"))
    with pytest.raises(StateError, match="its certificate is not believed"):
        await stranger.runs(namespace="growth")
    await stranger.close()


async def test_the_api_process_speaks_tls_to_runners_and_none_to_people(
    ca: Authority, files: CertificateFiles, token: Path, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(UNREACHABLE_CLUSTER)
    options = ("--state-tls-cert", files.certificate, "--state-tls-key", files.key)
    async with api(f"sqlite:///{tmp_path}/api.db", kubeconfig, *options, internal_port=free_port()) as running:
        await running.says("the state database is open")
        assert (await running.public.get("/healthz")).status_code == 200
        runner = HttpStateStore(running.internal_url, token, patience=AT_ONCE, ca=ca.certificate)
        with pytest.raises(StateError, match="the API server does not review tokens"):
            await runner.claim(request())
        await runner.close()


def test_files_that_are_no_certificate_are_refused_at_the_start(ca: Authority, tmp_path: Path) -> None:
    ca.issue(tmp_path)
    crt, key, other = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "other"
    other.write_text("not PEM")
    with pytest.raises(InvalidInput, match=r"--state-tls-cert .*nothing.*: No such file"):
        Certificate(CertificateFiles(tmp_path / "nothing", key))
    with pytest.raises(InvalidInput, match="not a certificate in PEM and its key"):
        Certificate(CertificateFiles(crt, other))
    with pytest.raises(InvalidInput, match="give both --state-tls-cert and --state-tls-key, or neither"):
        files_of(crt, None)
    assert files_of(None, None) is None
    with pytest.raises(InvalidInput, match=r"--state-ca-file .*: holds no certificate in PEM"):
        CaFile(other, "--state-ca-file")
    with pytest.raises(InvalidInput, match=r"--state-ca-file .*: No such file"):
        CaFile(tmp_path / "nothing", "--state-ca-file")


def test_a_ca_file_that_is_gone_for_a_moment_counts_as_it_was(ca: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(ca.certificate)
    held = CaFile(file, "--state-ca-file")
    file.unlink()
    assert held.text() == ca.certificate
