"""The mirror example does what its comments say: who leaves the file leaves the CRM, and nobody else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.accounts import CRM_URL
from tests.cli.retl_command import retl
from tests.examples.crm_process import PROJECT, RunningCrm, running_crm

EXAMPLE = PROJECT / "examples" / "mirror"


@pytest.fixture
def crm() -> Iterator[RunningCrm]:
    with running_crm() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, crm: RunningCrm) -> Path:
    """The example in a folder of its own, with the CRM's address and login filled in."""
    (tmp_path / "secrets" / "crm-login").mkdir(parents=True)
    (tmp_path / "secrets" / "crm-login" / "token").write_text(crm.token)
    text = (EXAMPLE / "customers.yaml").read_text().replace(CRM_URL, crm.url).replace("examples/mirror/", "")
    login = "credentials: {secretRef: {name: crm-login}}"
    (tmp_path / "customers.yaml").write_text(text.replace("connector: http", f"connector: http\n  {login}"))
    (tmp_path / "customers.csv").write_text((EXAMPLE / "customers.csv").read_text())
    return tmp_path


def _keys(crm: RunningCrm) -> set[str]:
    with crm.client() as http:
        return {record["account_id"] for record in http.get("/api/objects/account").json()["records"]}


def _run(folder: Path, verb: str, *options: str) -> tuple[int, dict[str, object]]:
    answer = retl(verb, "-f", "customers.yaml", "--secrets-dir", "secrets", "-o", "json", *options, cwd=folder)
    return answer.code, answer.object


def test_the_mirror_follows_the_file_and_never_beyond_its_limit(folder: Path, crm: RunningCrm) -> None:
    with crm.client() as http:
        mine = {"account_id": "A-9999", "name": "Typed in by hand", "country": "AT"}
        http.post("/api/objects/account/batch", json={"records": [mine]}).raise_for_status()
    code, first = _run(folder, "run")
    assert (code, first["created"]) == (0, 7)
    with crm.client() as http:
        record = http.get("/api/objects/account/A-2001").json()
    assert (record["country"], record["annual_revenue"], record["renewal"]) == ("NO", 14406.0, "2026-02-01")

    csv = folder / "customers.csv"
    csv.write_text(csv.read_text().replace("ie,pro", "ie,free"))
    code, done = _run(folder, "run")
    assert (code, done["deleted"], done["unchanged"]) == (0, 1, 6)
    assert "A-2007" not in _keys(crm)

    csv.write_text(csv.read_text().replace(",pro,", ",free,"))
    code, held = _run(folder, "run")
    assert (code, held["status"], held["deleted"]) == (4, "AwaitingApproval", 0)
    assert len(_keys(crm)) == 7, "six customers, and the record that the sync did not write"

    code, approved = _run(folder, "run", "--approve", str(held["plan_hash"]))
    assert (code, approved["deleted"]) == (0, 6)
    assert _keys(crm) == {"A-9999"}
